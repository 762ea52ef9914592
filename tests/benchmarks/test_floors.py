"""Operations are counted as LAPACK's are."""

import numpy as np
import pytest

from benchmarks import floors


def test_floor_is_the_slower_of_arithmetic_and_reading(monkeypatch):
    monkeypatch.setattr(floors, "product_rate", lambda dtype: {"float64": 10.0, "float32": 20.0}[dtype])
    monkeypatch.setattr(floors, "read_rate", lambda: 100.0)
    assert floors.floor_seconds(50, 100) == 5.0
    assert floors.floor_seconds(50, 100, "float32") == 2.5
    assert floors.floor_seconds(50, 1000) == 10.0


def test_operations_of_a_flow_are_those_of_its_matrices():
    """A multiplication and an addition for each weight and sample, forward once and backward twice."""
    weights = 6 * (8 * 64 + 64 * 16)
    assert floors.coupling_operations(16, 6, 64, seen=10) == 10 * 3 * 2 * weights


def test_operations_of_a_problem_are_more_than_those_of_its_joint_factor_alone():
    size = 3 * 16
    factor = sum((size - k) ** 2 for k in range(1, size))  # outer products of a Cholesky factorization
    assert factor == pytest.approx(size**3 / 3, rel=0.05)
    assert floors.gaussian_operations(16) > factor
    assert floors.gaussian_operations(32) == 8 * floors.gaussian_operations(16)
    assert floors.gaussian_bytes(16) == np.zeros((size, size)).nbytes
