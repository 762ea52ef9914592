"""Covariances of rows with weights: those of NumPy, however many weightings and rows there are."""

import numpy as np
import pytest

from pid_jax.inference import weighted
from pid_jax.inference.weighted import FEW, weighted_covariances


@pytest.mark.parametrize("count", [1, FEW - 1, FEW, 2 * FEW])
@pytest.mark.parametrize("products", [weighted.PRODUCTS, 150, 1])
def test_covariances_are_those_of_numpy(count, products, monkeypatch):
    """With 150 products at a time 103 rows of 5 coordinates are 11 blocks of 10, with 1 they are 103 blocks."""
    monkeypatch.setattr(weighted, "PRODUCTS", products)
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((2, 103, 5)) * [1, 10, 0.1, 1, 1]
    rows -= rows.mean(axis=1, keepdims=True)
    weights = rng.multinomial(103, np.full(103, 1 / 103), size=count).astype(float)
    found = weighted_covariances(rows, weights)
    for problem, x in zip(found, rows, strict=True):
        wanted = [np.cov(x.T, fweights=times.astype(int)) for times in weights]
        np.testing.assert_allclose(problem, wanted, rtol=1e-12, atol=1e-13)
