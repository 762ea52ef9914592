"""Maps of one variable: forward and inverse belong together, and log |det| is that of the Jacobian."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pid_jax.flow import spline as of_spline
from pid_jax.flow.block import REACH, bend
from pid_jax.flow.objective import joint_loss, log_density
from pid_jax.flow.weights import Architecture, FlowWeights, flow_forward, flow_inverse, init_weights

fit_spline = jax.jit(of_spline.fit_spline, static_argnums=1)
spline_forward, spline_inverse = jax.jit(of_spline.spline_forward), jax.jit(of_spline.spline_inverse)


def shaken(architecture: Architecture, key: jax.Array, size: float) -> FlowWeights:
    """Weights as drawn plus noise, so that no part of the map is the identity."""
    for_init, for_noise = jax.random.split(key)
    drawn = init_weights(for_init, architecture)
    leaves, tree = jax.tree.flatten(drawn.blocks)
    keys = jax.random.split(for_noise, len(leaves))
    noisy = [x + size * jax.random.normal(k, x.shape) for x, k in zip(leaves, keys, strict=True)]
    return FlowWeights(blocks=tree.unflatten(noisy), permutation=drawn.permutation)


@pytest.mark.fast_cases(1)
@pytest.mark.parametrize("dim", [1, 2, 5])
def test_flow_is_undone_by_its_inverse_and_knows_its_jacobian(dim, key):
    architecture = Architecture(dim, couplings=3, width=8)
    weights = shaken(architecture, key, 0.2)
    x = 1.5 * jax.random.normal(jax.random.fold_in(key, 1), (dim, 40))
    z, log_det = jax.jit(lambda x: flow_forward(weights, x, architecture))(x)
    back, log_det_back = jax.jit(lambda z: flow_inverse(weights, z, architecture))(z)
    assert float(jnp.abs(z - x).max()) > 0.1
    np.testing.assert_allclose(back, x, atol=2e-4)
    np.testing.assert_allclose(log_det_back, -log_det, atol=2e-4)
    jacobian = jax.vmap(jax.jacobian(lambda one: flow_forward(weights, one[:, None], architecture)[0][:, 0]))(x.T)
    np.testing.assert_allclose(jnp.linalg.slogdet(jacobian)[1], log_det, atol=2e-4)


@pytest.mark.slow
def test_flow_starts_as_a_permutation(key):
    architecture = Architecture(4, couplings=2, width=8)
    x = jax.random.normal(key, (4, 10))
    z, log_det = flow_forward(init_weights(key, architecture), x, architecture)
    np.testing.assert_allclose(jnp.sort(z, axis=0), jnp.sort(x, axis=0), atol=1e-5)
    np.testing.assert_allclose(log_det, 0, atol=1e-5)


@pytest.mark.slow
def test_far_samples_are_not_thrown_further_and_further(key):
    """Beyond the reach a block is a straight line: twice as far is twice as far, and not the exponential of it."""
    architecture = Architecture(3, couplings=1, width=8)
    weights = shaken(architecture, key, 0.5)
    direction = jnp.array([[1.0], [-1.0], [1.0]])
    near, far = (flow_forward(weights, scale * direction, architecture) for scale in (1e4, 2e4))
    assert float(jnp.linalg.norm(far[0] - 2 * near[0])) < 0.01 * float(jnp.linalg.norm(far[0]))
    np.testing.assert_allclose(far[1], near[1], atol=1e-5)


def plainly_bent(x: jax.Array, skew: jax.Array, tail: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The map of every coordinate as its docstring has it."""
    inside = jnp.clip(x, -REACH, REACH)
    y = jnp.sinh(jnp.exp(tail) * (jnp.arcsinh(inside) + skew))
    slope = jnp.exp(tail) * jnp.sqrt(1 + y**2) / jnp.sqrt(1 + inside**2)
    return y + slope * (x - inside), jnp.log(slope)


@pytest.mark.slow
def test_gradient_of_a_sinh_arcsinh_map_is_that_of_its_formula(key):
    """Within the reach and beyond, through images and slopes, for several problems at once."""
    keys = jax.random.split(key, 5)
    x = 2.5 * jax.random.normal(keys[0], (3, 4, 200))
    assert 0.02 < float((jnp.abs(x) > REACH).mean()) < 0.5
    skew, tail = (0.5 * jax.random.normal(k, (3, 4, 1)) for k in keys[1:3])
    by_y, by_slope = (jax.random.normal(k, x.shape) for k in keys[3:])

    def total(bend):
        def of_one(x, skew, tail, by_y, by_slope):
            y, log_slope = bend(x, skew, tail)
            return (by_y * y + by_slope * log_slope).sum()

        return jax.vmap(jax.value_and_grad(of_one, argnums=(0, 1, 2)))(x, skew, tail, by_y, by_slope)

    found, wanted = jax.tree.leaves(total(bend)), jax.tree.leaves(total(plainly_bent))
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_allclose(one, other, rtol=2e-4, atol=2e-4 * float(jnp.abs(other).max()))


@pytest.mark.fast_cases(1)
@pytest.mark.parametrize("name", ["lognormal", "cube", "student", "two_clusters", "ties"])
def test_spline_makes_samples_normal_and_is_undone(name, key):
    normal = np.asarray(jax.random.normal(key, (2000,)))
    column = {
        "lognormal": np.exp(normal),
        "cube": normal**3,
        "student": normal / np.abs(np.asarray(jax.random.normal(jax.random.fold_in(key, 1), (2000,)))),
        "two_clusters": normal + 8 * np.sign(normal),
        "ties": np.round(normal, 1),
    }[name]
    column = ((column - column.mean()) / column.std()).astype(np.float32)
    spline = fit_spline(jnp.asarray(column), 15, 1e-5)
    scores, log_slope = spline_forward(spline, jnp.asarray(column))
    assert abs(float(scores.mean())) < 0.05
    assert abs(float(scores.std()) - 1) < 0.06
    order = np.argsort(column, kind="stable")
    assert np.all(np.diff(np.asarray(scores)[order]) >= -1e-4)
    np.testing.assert_allclose(spline_inverse(spline, scores), column, atol=2e-3, rtol=2e-3)
    beyond = jnp.array([column.min() - 3, column.max() + 3])
    np.testing.assert_allclose(spline_inverse(spline, spline_forward(spline, beyond)[0]), beyond, rtol=1e-3)
    if name == "ties":  # values lie on knots, where left and right slopes differ
        return
    at = jnp.asarray(column[:50])
    slopes = jax.vmap(jax.grad(lambda v: spline_forward(spline, v[None])[0][0]))(at)
    np.testing.assert_allclose(jnp.log(slopes), log_slope[:50], atol=1e-3)


def test_joint_loss_is_the_likelihood_under_the_best_gaussian(key):
    z = jax.random.normal(key, (500, 3)) @ jnp.array([[1.0, 0.5, 0.0], [0.0, 1.0, 0.3], [0.0, 0.0, 0.5]])
    log_det = jax.random.normal(jax.random.fold_in(key, 1), (500,))
    mean, cov = z.mean(axis=0), jnp.cov(z.T, bias=True)
    expected = -log_density(z, log_det, mean, cov).mean()
    constant = 0.5 * 3 * (1 + np.log(2 * np.pi))
    penalty = 0.5e-3 * (z**2).sum(axis=1).mean()
    assert float(joint_loss(z.T, log_det) + constant - penalty) == pytest.approx(float(expected), abs=1e-3)


@pytest.mark.fast_cases(1)
@pytest.mark.parametrize("peak", [7e2, 6e7])
def test_spline_of_many_equal_values_far_out_is_finite_and_undone(peak, key):
    """Samples that are kept within a range lie on its ends, where single precision is coarser than any tie."""
    column = jnp.concatenate([jax.random.normal(key, (900,)), jnp.full(60, peak), jnp.full(40, -peak)])
    spline = fit_spline(column, 31, 1e-5)
    scores, log_slope = spline_forward(spline, column)
    assert np.isfinite(np.stack([scores, log_slope])).all()
    assert (np.diff(spline.knot) > 0).all()
    is_among_others = (np.abs(column) < 1.5) | (np.abs(column) == peak)  # the rest share one step with the end
    undone = spline_inverse(spline, scores)
    np.testing.assert_allclose(undone[is_among_others], column[is_among_others], rtol=1e-4, atol=1e-3)
