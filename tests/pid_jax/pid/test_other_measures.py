"""I_dep, I_ig, I_ccs and the deficiency, against formulas of their authors and slow routes from the definitions."""

import cvxpy as cp
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg
from scipy.optimize import minimize_scalar

from pid_jax import ICCS, IIG, Deficiency, IDep, gaussian_pid
from pid_jax.decompose.result import ATOMS
from pid_jax.gaussian.joint import JointGaussian
from pid_jax.gaussian.status import Status
from pid_jax.gaussian.whiten import whiten
from pid_jax.pid.registry import measure_of
from pid_jax.runtime.precision import double_precision
from pid_jax.testing.channels import channels
from pid_jax.testing.problems import Problem, block_rows, random_channel, random_readout
from tests.pid_jax.gaussian.test_gradients import HARD
from tests.pid_jax.gaussian.test_infinite import DIMS, summed

NEW = (IDep(), IIG(), ICCS(), Deficiency())
# Correlations (source_1, source_2), (source_1, target), (source_2, target) of an example in the authors' scripts for
# I_dep and I_ig (github.com/JWKay/PID, IGscript.R and IdepGscript.R).
SCALAR = (0.8484, 0.6383, 0.7168)
FAMILIES = (random_channel, random_readout)


def log_det(matrix):
    return np.linalg.slogdet(matrix)[1]


def stacked(atoms):
    return np.array([getattr(atoms, name) for name in ATOMS])


def whitened_blocks(problem):
    rows = block_rows(problem.dims)
    whole = np.zeros_like(problem.cov)
    for at in rows:
        whole[np.ix_(at, at)] = np.linalg.inv(np.linalg.cholesky(problem.cov[np.ix_(at, at)]))
    return whole @ problem.cov @ whole.T, rows


def informations(white, rows):
    whole = np.concatenate(rows[:2])

    def of(at):
        both = np.concatenate([at, rows[2]])
        return 0.5 * (log_det(white[np.ix_(at, at)]) - log_det(white[np.ix_(both, both)]))

    return of(rows[0]), of(rows[1]), of(whole)


def by_graphical_models(problem):
    """Smallest of the rises b, i, k of table 9 of Kay & Ince (2018)."""
    white, rows = whitened_blocks(problem)
    i_1, i_2, i_12 = informations(white, rows)
    q, r = white[np.ix_(rows[0], rows[2])], white[np.ix_(rows[1], rows[2])]
    in_ci = 0.5 * (log_det(np.eye(len(r)) - r @ q.T @ q @ r.T) - log_det(np.eye(len(q)) - q @ q.T))
    unique = min(i_1, in_ci, i_12 - i_2)
    return np.array([i_1 - unique, unique, i_2 - i_1 + unique, i_12 - i_2 - unique])


def by_search_on_the_curve(problem):
    """Minimize the divergence over all t that leave the precision positive definite (Kay 2024)."""
    white, (at_1, at_2, at_t) = whitened_blocks(problem)
    i_1, i_2, i_12 = informations(white, (at_1, at_2, at_t))
    ends = []
    for own, other in ((at_1, at_2), (at_2, at_1)):
        model = white.copy()
        model[np.ix_(other, at_t)] = white[np.ix_(other, own)] @ white[np.ix_(own, at_t)]
        model[np.ix_(at_t, other)] = model[np.ix_(other, at_t)].T
        ends.append(np.linalg.inv(model))
    rates = scipy.linalg.eigh(ends[1] - ends[0], ends[0], eigvals_only=True)
    low, high = -1 / rates.max(), -1 / rates.min()
    room = 1e-9 * (high - low)

    def divergence(t):
        return -0.5 * (log_det((1 - t) * ends[0] + t * ends[1]) + log_det(white))

    options = {"xatol": 1e-12}
    synergy = minimize_scalar(divergence, bounds=(low + room, high - room), method="bounded", options=options).fun
    unique_1, unique_2 = i_12 - i_2 - synergy, i_12 - i_1 - synergy
    return np.array([i_1 - unique_1, unique_1, unique_2, synergy])


def by_sampling(problem, n=400_000):
    """Mean of the common change over samples, and its standard error."""
    cov, rows = problem.cov, block_rows(problem.dims)
    z = np.random.default_rng(0).normal(size=(n, len(cov))) @ np.linalg.cholesky(cov).T
    at_t = rows[2]

    def pointwise(at):
        map_ = np.linalg.solve(cov[np.ix_(at, at)], cov[np.ix_(at, at_t)])
        left, whole = cov[np.ix_(at_t, at_t)] - cov[np.ix_(at_t, at)] @ map_, cov[np.ix_(at_t, at_t)]
        residual, values = z[:, at_t] - z[:, at] @ map_, z[:, at_t]
        squares = [((x @ np.linalg.inv(m)) * x).sum(axis=1) for x, m in ((values, whole), (residual, left))]
        return 0.5 * (log_det(whole) - log_det(left) + squares[0] - squares[1])

    i_1, i_2, i_12 = pointwise(rows[0]), pointwise(rows[1]), pointwise(np.concatenate(rows[:2]))
    signs = np.sign(np.stack([i_1, i_2, i_12, i_1 + i_2 - i_12]))
    counted = np.where(np.abs(signs.sum(axis=0)) == 4, i_1 + i_2 - i_12, 0)
    return counted.mean(), counted.std() / np.sqrt(n)


def cost_by_cone_program(wanted, given):
    """The deficiency by a general solver of convex programs."""
    (dx, _), dy = wanted.shape, len(given)
    precision, mixing = cp.Variable((dx, dx), symmetric=True), cp.Variable((dx, dy))
    twice = cp.trace(precision @ (np.eye(dx) + wanted @ wanted.T)) - 2 * cp.trace(wanted.T @ mixing @ given)
    twice += cp.matrix_frac(mixing @ given, precision) - cp.log_det(precision) - dx
    matrix = cp.bmat([[precision, mixing], [mixing.T, np.eye(dy)]])
    program = cp.Problem(cp.Minimize(twice / 2), [matrix >> 0])
    program.solve(solver=cp.CLARABEL, tol_gap_abs=1e-10, tol_gap_rel=1e-10, tol_feas=1e-10)
    return program.value


@pytest.mark.parametrize(("redundancy", "slow"), [(IDep(), by_graphical_models), (IIG(), by_search_on_the_curve)])
@pytest.mark.parametrize("seed", range(6))
def test_formulas_of_the_authors(redundancy, slow, seed):
    gains = [(1, 1), (0.1, 1), (10, 0.3)][seed % 3]
    problem = FAMILIES[seed % 2](np.random.default_rng(seed), (3, 2, 4), gains)
    np.testing.assert_allclose(stacked(gaussian_pid(*problem, redundancy=redundancy).atoms), slow(problem), atol=1e-9)


def test_scalar_example_of_the_authors():
    p, q, r = SCALAR
    cov = np.array([[1, p, q], [p, 1, r], [q, r, 1]])
    i_1, i_2 = -0.5 * np.log2(1 - q**2), -0.5 * np.log2(1 - r**2)
    i_12 = 0.5 * np.log2((1 - p**2) / np.linalg.det(cov))
    by_ig, by_dep = (gaussian_pid(cov, (1, 1, 1), redundancy=one).in_bits().atoms for one in (IIG(), IDep()))
    # Closed form of Niu & Quinn (2019) for three scalars.
    base = (q - p * r) ** 2
    above, below = base + r**2 * (1 - p**2), base + r**2 * (1 - p**2) * (1 - q**2)
    synergy = 0.5 * np.log2((1 - p**2) * (1 - q**2) * (1 - r**2) * above / (np.linalg.det(cov) * below))
    np.testing.assert_allclose(by_ig.synergy, synergy, atol=1e-12)
    unique = min(i_1, 0.5 * np.log2((1 - q**2 * r**2) / (1 - q**2)), i_12 - i_2)
    np.testing.assert_allclose(by_dep.unique_1, unique, atol=1e-12)


@pytest.mark.parametrize("dims", [(1, 1, 1), pytest.param((2, 3, 2), marks=pytest.mark.slow)])
def test_common_change_in_surprisal_of_samples(dims):
    problem = random_channel(np.random.default_rng(0), dims, (1, 1))
    found = gaussian_pid(*problem, redundancy=ICCS())
    mean, error = by_sampling(problem)
    assert found.gap < 2e-3
    assert abs(found.atoms.redundancy - mean) < 4 * np.hypot(error, found.gap)


@pytest.mark.parametrize("dims", [(2, 2, 2), pytest.param((4, 3, 2), marks=pytest.mark.slow)])
def test_deficiency_of_a_general_solver(dims):
    problem = random_channel(np.random.default_rng(0), dims, (1, 0.8))
    found, parts = gaussian_pid(*problem, redundancy=Deficiency()), channels(problem)
    missed = cost_by_cone_program(parts.gain_1, parts.gain_2), cost_by_cone_program(parts.gain_2, parts.gain_1)
    wanted = min(found.information.i_1 - missed[0], found.information.i_2 - missed[1])
    np.testing.assert_allclose(found.atoms.redundancy, wanted, atol=1e-7)
    assert found.gap < 1e-8
    broja = gaussian_pid(*problem).atoms
    assert broja.redundancy <= found.atoms.redundancy <= min(found.information.i_1, found.information.i_2)


def test_deficiency_refuses_many_dims():
    with pytest.raises(ValueError, match=r"Deficiency.*17.*PCA"):
        gaussian_pid(np.eye(51), (17, 17, 17), redundancy=Deficiency())


@pytest.mark.parametrize("redundancy", [IDep(), IIG(), pytest.param(Deficiency(), marks=pytest.mark.slow)])
def test_derivatives_are_those_of_finite_differences(redundancy):
    dims, rng = (2, 2, 2), np.random.default_rng(0)
    problem, solve = random_channel(rng, dims, (1, 1)), measure_of(redundancy).solve
    change = rng.normal(size=(6, 6))
    change += change.T

    def unique(cov):
        return solve(whiten(JointGaussian(cov, dims), 1e-13)).atoms.unique_1

    with double_precision():
        slope = float((jax.jit(jax.jacrev(unique))(jnp.asarray(problem.cov)) * change).sum())
        sides = [float(jax.jit(unique)(jnp.asarray(problem.cov + h * change))) for h in (1e-4, -1e-4)]
    np.testing.assert_allclose(slope, (sides[0] - sides[1]) / 2e-4, rtol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("redundancy", NEW)
def test_derivatives_are_finite_everywhere(redundancy):
    solve = measure_of(redundancy).solve

    def total(cov):
        atoms = solve(whiten(JointGaussian(cov, (2, 2, 2)), 1e-13)).atoms
        return atoms.redundancy + 2 * atoms.unique_1 + 3 * atoms.synergy

    with double_precision():
        slopes = jax.jit(jax.vmap(jax.jacrev(total)))(jnp.asarray(np.stack(list(HARD.values()))))
    assert np.isfinite(slopes).all()


@pytest.mark.parametrize("redundancy", [*NEW[:2], *(pytest.param(one, marks=pytest.mark.slow) for one in NEW[2:])])
def test_what_is_finite_is_there_where_both_sources_determine_the_target(redundancy):
    found, near = (gaussian_pid(summed(noise), DIMS, redundancy=redundancy) for noise in (0.0, 1e-5))
    assert found.status == Status.INFINITE_INFORMATION
    np.testing.assert_allclose(stacked(found.atoms)[:3], stacked(near.atoms)[:3], atol=1e-6)
    assert found.atoms.synergy == np.inf


@pytest.mark.parametrize("redundancy", [*NEW[:2], *(pytest.param(one, marks=pytest.mark.slow) for one in NEW[2:])])
def test_zero_information_and_no_covariance(redundancy):
    bad = np.array([[1, 0.9, 0.9], [0.9, 1, -0.9], [0.9, -0.9, 1]])
    found = gaussian_pid(np.stack([np.eye(3), bad]), (1, 1, 1), redundancy=redundancy)
    assert found.status.tolist() == [Status.OK, Status.NOT_PSD]
    np.testing.assert_allclose(stacked(found.atoms)[:, 0], 0, atol=1e-9)
    assert np.isnan(stacked(found.atoms)[:, 1]).all()


def test_iig_of_copied_sources_does_not_follow_rounding():
    """Both ends of the curve are the same up to rounding there."""
    for seed in range(20):
        rng = np.random.default_rng(seed)
        pair = random_channel(rng, (2, 2, 2), (1, 1)).cov[np.ix_([0, 1, 4, 5], [0, 1, 4, 5])]
        copy = np.zeros((6, 4))
        copy[:2, :2], copy[2:4, :2], copy[4:, 2:] = np.eye(2), rng.normal(size=(2, 2)), np.eye(2)
        found = gaussian_pid(*Problem(copy @ pair @ copy.T, (2, 2, 2)), redundancy=IIG())
        np.testing.assert_allclose(stacked(found.atoms)[1:], 0, atol=1e-9)
