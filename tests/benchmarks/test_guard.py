"""The guard finds what has become slower, and nothing else."""

import math

import pytest

from benchmarks import guard
from benchmarks.guard import TOLERANCE, find_slower
from benchmarks.kernels import KERNELS, REFERENCES

STORED = {"solve": 0.5, "whiten": 2.0, "read": 1.1}


def test_equal_ratios_pass():
    assert find_slower(STORED, STORED) == {}


def test_noise_and_speedups_pass():
    assert find_slower({"solve": 0.5 * TOLERANCE, "whiten": 0.1, "read": 1.2}, STORED) == {}


def test_a_slowdown_is_found_by_name_and_size():
    assert find_slower(STORED | {"whiten": 4.0}, STORED) == {"whiten": 2.0}


def test_a_ratio_that_is_not_a_number_counts_as_slower():
    assert list(find_slower(STORED | {"read": math.nan}, STORED)) == ["read"]


def test_another_set_of_kernels_is_refused():
    with pytest.raises(ValueError, match=r"\['new'\].*--write"):
        find_slower(STORED | {"new": 1.0}, STORED)


def test_a_kernel_that_was_slow_once_only_passes(monkeypatch, capsys):
    """Both measurements count, and the faster one decides."""
    runs = iter([STORED | {"whiten": 9.0, "solve": 5.0}, {"whiten": 2.1, "solve": 4.0}])
    asked = []

    def measure(names):
        asked.append(list(names))
        found = next(runs)
        return {name: {"ratio": found[name]} for name in names}

    monkeypatch.setattr(guard, "measure", measure)
    monkeypatch.setattr(guard, "KERNELS", STORED)
    assert guard.compare(STORED) == {"solve": 8.0}
    assert asked == [["solve", "whiten", "read"], ["solve", "whiten"]]
    table = {line.split()[0]: line for line in capsys.readouterr().out.splitlines() if line}
    assert "slower" in table["solve"]
    assert "slower" not in table["whiten"]


def test_every_kernel_has_a_reference_that_exists():
    assert {kernel.reference for kernel in KERNELS.values()} == set(REFERENCES)
