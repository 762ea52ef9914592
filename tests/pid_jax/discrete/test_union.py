"""The compiled core: bounds of the union information of one problem, mapped and of all sizes."""

from functools import cache, partial

import jax
import numpy as np
import pytest
from jax import lax

from pid_jax.discrete import newton
from pid_jax.discrete.union import solve_union
from pid_jax.runtime.precision import double_precision

pytestmark = pytest.mark.filterwarnings("error")


def smooth_pairs(seed, count, cells, classes):
    """Tables like those of posteriors: each class has its own distribution over cells, without zeros."""
    rng = np.random.default_rng(seed)
    of_y = rng.dirichlet(np.full(classes, 3.0), size=count)
    logits = rng.normal(size=(2, count, cells, classes)) * rng.uniform(0.2, 2.5, size=(2, count, 1, 1))
    each = np.exp(logits) / np.exp(logits).sum(axis=2, keepdims=True)
    return of_y[None, :, None, :] * each


@cache
def program(by):
    """The solver of a batch; tolerances and steps are arguments, so that it is compiled once for each shape."""

    def run(first, second, tol, max_steps):
        one = partial(solve_union, tol=tol, max_steps=max_steps)
        return lax.map(lambda pair: one(*pair), (first, second)) if by == "map" else jax.vmap(one)(first, second)

    return jax.jit(run)


def solve(first, second, by="map", tol=1e-9, max_steps=60):
    with double_precision():
        return jax.tree.map(np.asarray, program(by)(first, second, tol, max_steps))


@pytest.mark.slow
def test_map_and_vmap_agree():
    pairs = smooth_pairs(0, 4, 6, 3)
    mapped, batched = solve(*pairs), solve(*pairs, by="vmap")
    np.testing.assert_allclose(mapped.lower, batched.lower, atol=1e-9)
    assert (mapped.upper - mapped.lower).max() <= 1e-9
    assert mapped.steps.max() < 20


def test_empty_problems_take_no_step_and_nan_stays():
    pairs = smooth_pairs(0, 4, 6, 3)
    pairs[:, 1] = 0
    pairs[:, 2] = np.nan
    found = solve(*pairs)
    assert found.steps[1] == 0
    assert found.lower[1] == found.upper[1] == 0
    assert np.isnan(found.lower[2])
    assert (found.upper - found.lower)[[0, 3]].max() <= 1e-9


def test_few_steps_leave_bounds_that_hold():
    pairs = smooth_pairs(1, 4, 6, 3)
    exact = solve(*pairs)
    rough = solve(*pairs, max_steps=1)
    assert (rough.upper - rough.lower).max() > 1e-9
    assert (rough.lower <= exact.upper).all()
    assert (rough.upper >= exact.lower).all()


@pytest.mark.slow
def test_many_classes_and_cells_converge():
    """2400 rows of the linear systems, at which conjugate gradients end far from the optimum."""
    rng = np.random.default_rng(4)
    pmf = np.where(rng.random((24, 24, 100)) < 0.05, rng.gamma(0.3, size=(24, 24, 100)), 0)
    found = solve(pmf.sum(axis=1)[None] / pmf.sum(), pmf.sum(axis=0)[None] / pmf.sum())
    assert found.upper - found.lower <= 1e-9
    assert found.lower > 1


@pytest.mark.slow
def test_conjugate_gradients_find_the_same_bounds(monkeypatch):
    pairs = smooth_pairs(2, 4, 6, 3)
    exact = solve(*pairs)
    monkeypatch.setattr(newton, "DENSE_ROWS", 1)
    program.cache_clear()
    found = solve(*pairs, tol=1e-7)
    program.cache_clear()
    np.testing.assert_allclose(found.lower, exact.lower, atol=2e-7)
    assert (found.upper - found.lower).max() <= 1e-7
