"""Every kernel that the guard times, and every reference, can be called."""

import pytest

from benchmarks.kernels import KERNELS, REFERENCES


@pytest.mark.slow
@pytest.mark.parametrize("name", KERNELS)
def test_kernel_runs(name):
    KERNELS[name].make()()


@pytest.mark.slow
@pytest.mark.parametrize("name", REFERENCES)
def test_reference_runs(name):
    REFERENCES[name]()()


def test_every_kernel_has_a_reference():
    assert {kernel.reference for kernel in KERNELS.values()} <= set(REFERENCES)
