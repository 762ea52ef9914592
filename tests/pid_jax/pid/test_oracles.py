"""The decomposition against routes that share nothing with it."""

import numpy as np
import pytest

from pid_jax.decompose.pid import gaussian_pid
from pid_jax.decompose.result import ATOMS, INFORMATION
from pid_jax.decompose.union import gaussian_union
from pid_jax.testing.problems import Problem, apply_maps, linear_map, random_channel, random_readout, symmetric
from tests.oracles import convex_union_information, exact_broja, least_coupled_information
from tests.pid_jax.decompose.test_union import many_channels


def values(estimate):
    parts = {name: getattr(estimate.atoms, name) for name in ATOMS}
    return parts | {name: getattr(estimate.information, name) for name in INFORMATION}


def strong_channel(seed, log_snr):
    """Sources that know some directions of the target up to 10^log_snr (power) better than others."""
    rng = np.random.default_rng(seed)
    gain = 10 ** rng.uniform(-1, log_snr / 2, size=(6, 1)) * rng.normal(size=(6, 4))
    noise = rng.normal(size=(6, 12))
    cov = np.block([[gain @ gain.T + noise @ noise.T / 12, gain], [gain.T, np.eye(4)]])
    return Problem(symmetric(cov), (3, 3, 4))


@pytest.mark.fast_cases(1)
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("log_snr", [0, 4, 8])
def test_fifty_digits_for_strong_sources(log_snr, seed):
    """A conditional variance of 1/snr of the whole is known up to eps · snr, and so are the atoms."""
    problem = strong_channel(seed, log_snr)
    expected, found = exact_broja(problem), values(gaussian_pid(*problem))
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=0, atol=1e-13 + 1e-15 * 10**log_snr, err_msg=name)


@pytest.mark.fast_cases(1)
@pytest.mark.parametrize("name", ["illcond_0", "illcond_2", "illcond_4", "near_copy_0", "snr_2", "snr_4", "wishart_4"])
def test_fifty_digits_for_hard_reference_problems(reference, name):
    case = reference[name]
    expected = exact_broja(case.problem)
    for atom, value in expected.items():
        np.testing.assert_allclose(values(case.broja)[atom], value, rtol=0, atol=case.tolerance, err_msg=atom)


@pytest.mark.fast_cases(1)
@pytest.mark.parametrize("family", [random_channel, random_readout])
@pytest.mark.parametrize("dims", [(1, 1, 1), (2, 1, 2), (2, 2, 2), (2, 2, 3)])
def test_search_over_couplings_ends_at_the_closed_form(family, dims):
    problem = family(np.random.default_rng(sum(dims)), dims, (1.0, 0.7))
    found = gaussian_pid(*problem)
    union = float(found.information.i_1 + found.atoms.unique_2)
    least = least_coupled_information(problem)
    assert union - 1e-9 <= least <= union + 1e-4


@pytest.mark.fast_cases(1)
@pytest.mark.parametrize("dims", [(1, 2, 2), (3, 3, 3), (4, 2, 5)])
def test_convex_solver_agrees_for_two_sources(dims):
    problem = random_channel(np.random.default_rng(sum(dims)), dims, (1.0, 2.0))
    found = gaussian_pid(*problem)
    expected = convex_union_information(*problem)
    np.testing.assert_allclose(found.information.i_1 + found.atoms.unique_2, expected, rtol=0, atol=1e-6)


@pytest.mark.fast_cases(1)
@pytest.mark.parametrize("count", [3, pytest.param(4, marks=pytest.mark.slow)])
def test_convex_solver_agrees_for_many_sources(count):
    cov, dims = many_channels(0, count, 2, 4, 0.5)
    np.testing.assert_allclose(gaussian_union(cov, dims).union, convex_union_information(cov, dims), rtol=0, atol=1e-6)


def test_ill_conditioned_variables_cost_their_digits_and_no_more():
    """Maps of condition 1e4 give covariances of condition 1e8, and atoms with an error of eps times that."""
    rng = np.random.default_rng(1)
    problem = random_channel(np.random.default_rng(0), (2, 2, 2), (1.0, 1.0))
    hard = apply_maps(problem, [linear_map(rng, 2, 2, 1e4) for _ in range(3)])
    expected, found = exact_broja(hard), values(gaussian_pid(*hard))
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=0, atol=1e-7, err_msg=name)
