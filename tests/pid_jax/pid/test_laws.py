"""Every law on random problems and on the reference problems, by both numerical routes."""

from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pid_jax.decompose.pid import gaussian_pid
from pid_jax.decompose.result import ATOMS
from pid_jax.pid.mmi import MMI
from pid_jax.testing import laws
from pid_jax.testing.problems import Problem, join, padded, random_wishart
from pid_jax.testing.strategies import known_systems, problems, seeds
from tests.shapes import LARGE, SMALL, decompose

pytestmark = pytest.mark.filterwarnings("error")

# Problems have conditions up to 1e4 and signal-to-noise ratios up to about 1e3, and maps multiply the condition by
# 100: eps x 1e9. The certificate is computed from whitened blocks and loses less.
TOLERANCE = 2e-7
CERTIFICATE = 1e-10
# Coordinates of variance 1 leave problems of full rank to Cholesky factors, those without variance make every problem
# one for eigenvectors.
VARIANCES = {"full rank": 1.0, "any rank": 0.0}
BROJA_BY_ROUTE = {route: padded(gaussian_pid, SMALL, variance) for route, variance in VARIANCES.items()}
MMI_PADDED = padded(partial(gaussian_pid, redundancy=MMI()), SMALL, variance=1.0)
# Laws add a coordinate, so that problems of three dims fill the small shape.
MAX_DIM = 3


@pytest.mark.parametrize("route", BROJA_BY_ROUTE)
@pytest.mark.parametrize("law", laws.BROJA_LAWS, ids=lambda law: law.__name__)
@given(problem=problems(MAX_DIM), seed=seeds())
def test_broja(law, route, problem, seed):
    law(BROJA_BY_ROUTE[route], problem, np.random.default_rng(seed), TOLERANCE)


@pytest.mark.parametrize("law", laws.LAWS, ids=lambda law: law.__name__)
@given(problem=problems(MAX_DIM), seed=seeds())
def test_mmi(law, problem, seed):
    law(MMI_PADDED, problem, np.random.default_rng(seed), TOLERANCE)


@pytest.mark.parametrize("route", BROJA_BY_ROUTE)
@given(system=known_systems())
def test_known_systems(route, system):
    found = BROJA_BY_ROUTE[route](*system.problem)
    for name in ATOMS:
        np.testing.assert_allclose(getattr(found.atoms, name), getattr(system.atoms, name), atol=TOLERANCE)
    for name in ("i_1", "i_2", "i_12"):
        np.testing.assert_allclose(getattr(found.information, name), getattr(system.information, name), atol=TOLERANCE)


@pytest.mark.parametrize("route", BROJA_BY_ROUTE)
@given(problem=problems())
def test_certificates_are_tight(route, problem):
    assert abs(BROJA_BY_ROUTE[route](*problem).gap) <= CERTIFICATE


@given(problem=problems())
def test_broja_finds_less_redundancy_than_mmi(problem):
    broja, mmi = BROJA_BY_ROUTE["full rank"](*problem), MMI_PADDED(*problem)
    assert broja.atoms.redundancy <= mmi.atoms.redundancy + TOLERANCE
    for name in ("unique_1", "unique_2"):
        assert getattr(broja.atoms, name) >= getattr(mmi.atoms, name) - TOLERANCE


@given(problem=problems(full_rank=True))
def test_both_routes_agree(problem):
    by_cholesky, by_eigenvectors = (BROJA_BY_ROUTE[route](*problem) for route in ("full rank", "any rank"))
    for name in ATOMS:
        np.testing.assert_allclose(
            getattr(by_cholesky.atoms, name), getattr(by_eigenvectors.atoms, name), rtol=0, atol=1e-8
        )


@pytest.mark.long
@pytest.mark.timeout(3600)
@settings(settings.get_profile("long"), max_examples=10_000)
@given(problem=problems(max_dim=4), route=st.sampled_from(list(VARIANCES)), seed=seeds())
def test_all_laws_on_many_problems(problem, route, seed):
    solve = padded(gaussian_pid, (5, 5, 5), VARIANCES[route])
    laws.check_laws(solve, problem, np.random.default_rng(seed), TOLERANCE)
    assert abs(solve(*problem).gap) <= CERTIFICATE


@given(st.data())
@settings(max_examples=5)
def test_padding_with_coordinates_without_variance_changes_nothing(data):
    problem = data.draw(problems(max_dim=2))
    original, padded_ = decompose([problem, join(problem, Problem(np.zeros((6, 6)), (2, 2, 2)))])
    for name in ATOMS:
        np.testing.assert_allclose(getattr(padded_.atoms, name), getattr(original.atoms, name), rtol=0, atol=1e-12)


@pytest.mark.parametrize("law", laws.BROJA_LAWS, ids=lambda law: law.__name__)
def test_laws_see_what_is_wrong(law):
    """A decomposition that is wrong by an amount of its own for every problem breaks each law."""
    problem = random_wishart(np.random.default_rng(0), (2, 2, 2))

    class Wrong:
        def __init__(self, cov, dims):
            right = BROJA_BY_ROUTE["full rank"](cov, dims)
            tilt = 0.1 * np.sin(7 * cov[0, 0] + 3 * cov[0, 1] + 5 * cov[0, 2])
            self.atoms = type(right.atoms)(
                redundancy=right.atoms.redundancy + tilt,
                unique_1=right.atoms.unique_1 - 1,
                unique_2=right.atoms.unique_2 + 2 * tilt,
                synergy=right.atoms.synergy,
            )
            info = right.information
            self.information = type(info)(i_1=info.i_1 + 0.1, i_2=info.i_2, i_12=info.i_12)

    with pytest.raises(AssertionError):
        law(Wrong, problem, np.random.default_rng(0), TOLERANCE)


# On the reference problems a law holds to what the reference itself promises for the problem.
@pytest.mark.parametrize("law", laws.BROJA_LAWS, ids=lambda law: law.__name__)
def test_broja_on_the_reference_problems(reference, law):
    solve = padded(gaussian_pid, LARGE, variance=1.0)
    for name, case in reference.items():
        try:
            law(solve, case.problem, np.random.default_rng(0), max(case.tolerance, TOLERANCE))
        except AssertionError as error:
            raise AssertionError(f"{name}: {error}") from error


def test_certificates_on_the_reference_problems(reference):
    for case in reference.values():
        assert abs(case.broja.gap) <= case.tolerance


def test_doubled_reference_systems_add(reference):
    for gain, small, large in (("0.33", 2, 8), ("0.33", 8, 32), ("3.00", 2, 8), ("3.00", 8, 32), ("0.99", 4, 16)):
        part, whole = (reference[f"doubling_g{gain}_d{d}"].broja for d in (small, large))
        for name in ATOMS:
            expected = large // small * getattr(part.atoms, name)
            np.testing.assert_allclose(getattr(whole.atoms, name), expected, rtol=0, atol=1e-9)
