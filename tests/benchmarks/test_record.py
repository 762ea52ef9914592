"""What a benchmark measures is written with its environment, and read again."""

import os

import numpy as np
import pytest

from benchmarks import record
from benchmarks.measure import Cost, apart, cpu_seconds
from benchmarks.tables import by, collect, markdown_table


def test_results_are_read_as_they_were_written(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(record, "RESULTS", tmp_path)
    rows = [{"way": "a", "nats": np.float64(0.5), "count": np.int64(3)}, {"way": "b", "nats": np.array(2.0)}]
    record.write_results("one", "One", "Text.", {"All": rows}, "numpy", card="a card")
    found = record.read_results(tmp_path)["one"]
    assert found.row("All", way="a") == {"way": "a", "nats": 0.5, "count": 3}
    assert found.row("All", way="b")["nats"] == 2.0
    assert found.hardware.startswith("a card and ")
    page = (tmp_path / "one.md").read_text()
    assert f"numpy {np.__version__}" in page
    assert page == capsys.readouterr().out.removesuffix("\n")


def test_rows_are_collected_in_order_whether_a_case_makes_one_or_several(capsys):
    rows = collect(lambda n: {"n": n} if n == 1 else [{"n": n}, {"n": -n}], (1, 2))
    assert rows == [{"n": 1}, {"n": 2}, {"n": -2}]
    assert len(capsys.readouterr().out.splitlines()) == 3
    assert list(by("n", rows)) == [1, 2, -2]


def test_columns_that_a_row_lacks_stay_empty():
    assert markdown_table([{"a": 1}, {"b": 2e-5}]).splitlines()[2:] == ["| 1 |  |", "|  | 2.0e-05 |"]


def test_cost_has_the_memory_that_was_held_inside_only():
    np.ones(40_000_000)  # 320 MB, before
    with Cost() as cost:
        np.ones(10_000_000)
    assert 70 < cost.peak < 200
    assert 0 < cost.cpu < 60


def test_calls_take_turns():
    calls = []
    cpu_seconds(lambda: calls.append("a"), lambda: calls.append("b"), blocks=2, seconds=0)
    assert calls == ["a", "b", "a", "b", "a", "b"]  # the first of each warms up


def test_another_process_has_its_environment_and_ours_stays():
    assert apart(os.getenv, "BENCHMARK_TEST", BENCHMARK_TEST="yes") == "yes"
    assert "BENCHMARK_TEST" not in os.environ


def test_what_fails_in_another_process_is_raised_here():
    with pytest.raises(ValueError, match="not-a-number"):
        apart(int, "not-a-number")
