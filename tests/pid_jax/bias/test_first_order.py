"""The scatter of the atoms to first order, against derivatives by the covariance and against samples."""

import jax.numpy as jnp
import numpy as np
import pytest

from pid_jax import BROJA
from pid_jax.decompose.pid import solve_pid
from pid_jax.decompose.result import ATOMS
from pid_jax.gaussian.channels import split_channels
from pid_jax.inference.influence import slopes_by_covariance
from pid_jax.pid.calibration import first_order_scatter
from pid_jax.runtime.precision import double_precision
from pid_jax.testing.problems import random_channel
from pid_jax.testing.systems import parallel_channels


def scatter_of(cov, dims, freedom):
    with double_precision():
        found = first_order_scatter(split_channels(jnp.asarray(cov), dims), jnp.asarray(float(freedom)))
        return {atom: float(getattr(found, atom)) for atom in ATOMS}


@pytest.mark.fast_cases(1)
@pytest.mark.parametrize("dims", [(2, 2, 2), (3, 5, 4), (1, 1, 4), (6, 2, 3)])
def test_scatter_is_that_of_the_slopes(dims):
    """The variance of tr G S for a Wishart matrix S is 2 tr (G Σ)² / (n − 1)."""
    cov = random_channel(np.random.default_rng(3), dims, (0.8, 0.5)).cov
    slopes, found = slopes_by_covariance(cov[None], dims, BROJA()), scatter_of(cov, dims, 99)
    for atom in ATOMS:
        moved = getattr(slopes, atom)[0] @ cov
        np.testing.assert_allclose(found[atom], np.sqrt(2 * np.trace(moved @ moved) / 99), rtol=1e-9)


def test_scatter_is_that_of_samples_where_directions_differ_clearly():
    """Standard deviations of 400 data sets are known to 3.5 %; five times that, and little is beyond first order."""
    problem = parallel_channels([4.0, 0.5], [0.5, 4.0], 0.2).problem
    rng, root = np.random.default_rng(0), np.linalg.cholesky(problem.cov)
    cov = np.stack([np.cov(root @ rng.standard_normal((len(root), 2000))) for _ in range(400)])
    atoms, found = solve_pid(cov, problem.dims, BROJA()).atoms, scatter_of(problem.cov, problem.dims, 1999)
    for atom in ATOMS:
        np.testing.assert_allclose(np.asarray(getattr(atoms, atom)).std(), found[atom], rtol=5 * 0.035)


def test_an_atom_that_one_sign_makes_zero_does_not_scatter():
    problem = parallel_channels(np.full(3, 2.0), 0.5, 0.2).problem
    found = scatter_of(problem.cov, problem.dims, 99)
    assert found["unique_2"] == 0
    assert min(found["redundancy"], found["unique_1"], found["synergy"]) > 0.01
