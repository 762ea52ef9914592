"""Every law on random problems and on the reference problems."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pid_jax.spec import BROJA, MMI
from tests import laws
from tests.strategies import (
    Problem,
    apply_maps,
    decompose,
    join,
    linear_map,
    problems,
    seeds,
    swap_sources,
)

pytestmark = pytest.mark.filterwarnings("error")

# Problems have conditions up to 1e4 and signal-to-noise ratios up to about 1e3, and maps multiply the condition by
# 100: eps x 1e9. The certificate is computed from whitened blocks and loses less.
TOLERANCE = 2e-7
CERTIFICATE = 1e-10


def check_one(problem: Problem) -> None:
    (broja,) = decompose([problem])
    (mmi,) = decompose([problem], MMI())
    assert broja.status == mmi.status == 0
    for estimate in (broja, mmi):
        laws.atoms_sum_to_the_whole(estimate)
        laws.each_source_splits(estimate)
        laws.information_is_monotone(estimate)
    laws.atoms_are_not_negative(broja)
    laws.broja_finds_less_redundancy(broja, mmi)
    laws.certificate_is_tight(broja, CERTIFICATE)


def check_swap(problem: Problem) -> None:
    for redundancy in (BROJA(), MMI()):
        laws.swap_exchanges_uniques(*decompose([problem, swap_sources(problem)], redundancy), TOLERANCE)


def check_maps(problem: Problem, seed: int) -> None:
    rng = np.random.default_rng(seed)
    mapped = apply_maps(problem, [linear_map(rng, d, d, condition=10.0) for d in problem.dims])
    original, other = decompose([problem, mapped])
    laws.atoms_are_equal(original, other, TOLERANCE, "unchanged by invertible linear maps of each variable")


def check_couplings(problem: Problem, seed: int) -> None:
    (estimate,) = decompose([problem])
    laws.coupling_attains_the_union(*problem, estimate, TOLERANCE)
    laws.actual_coupling_gives_the_whole(*problem, estimate, TOLERANCE)
    laws.no_coupling_is_below_the_union(*problem, estimate, np.random.default_rng(seed), TOLERANCE)


def check_additivity(first: Problem, second: Problem) -> None:
    laws.independent_systems_add(*decompose([first, second, join(first, second)]), TOLERANCE)


@given(problems())
def test_identities_and_inequalities(problem):
    check_one(problem)


@given(problems())
def test_swapping_the_sources_swaps_the_uniques(problem):
    check_swap(problem)


@given(problems(), seeds())
def test_linear_maps_of_a_variable_change_nothing(problem, seed):
    check_maps(problem, seed)


@given(problems(max_dim=2), problems(max_dim=2))
def test_independent_systems_add(first, second):
    check_additivity(first, second)


@given(problems(target_dim=1))
def test_broja_is_mmi_for_a_scalar_target(problem):
    (broja,), (mmi,) = decompose([problem]), decompose([problem], MMI())
    laws.atoms_are_equal(mmi, broja, TOLERANCE, "BROJA is MMI for a scalar target")


@given(problems(), seeds())
def test_no_coupling_is_below_the_closed_form_and_one_attains_it(problem, seed):
    check_couplings(problem, seed)


@pytest.mark.slow
@settings(settings.get_profile("thorough"))
@given(problems(), problems(max_dim=2), problems(max_dim=2), seeds())
def test_all_laws_on_many_problems(problem, first, second, seed):
    check_one(problem)
    check_swap(problem)
    check_maps(problem, seed)
    check_couplings(problem, seed)
    check_additivity(first, second)


@given(st.data())
@settings(max_examples=5)
def test_padding_with_coordinates_without_variance_changes_nothing(data):
    problem = data.draw(problems(max_dim=2))
    apart = Problem(np.zeros((6, 6)), (2, 2, 2))
    original, padded = decompose([problem, join(problem, apart)])
    laws.atoms_are_equal(original, padded, 1e-12, "unchanged by coordinates without variance")


# On the reference problems a law holds to what the reference itself promises for the problem.


def test_identities_on_the_reference_problems(reference):
    for redundancy in ("broja", "mmi"):
        for case in reference.values():
            estimate = getattr(case, redundancy)
            laws.atoms_sum_to_the_whole(estimate)
            laws.each_source_splits(estimate, case.tolerance)
            laws.information_is_monotone(estimate, case.tolerance)


def test_inequalities_on_the_reference_problems(reference):
    for case in reference.values():
        laws.atoms_are_not_negative(case.broja, case.tolerance)
        laws.broja_finds_less_redundancy(case.broja, case.mmi, case.tolerance)


def test_certificates_on_the_reference_problems(reference):
    for case in reference.values():
        laws.certificate_is_tight(case.broja, case.tolerance)


def test_scalar_targets_among_the_reference_problems(reference):
    scalar = [case for case in reference.values() if case.problem.dims[2] == 1]
    assert len(scalar) == 23
    for case in scalar:
        laws.atoms_are_equal(case.mmi, case.broja, case.tolerance, "BROJA is MMI for a scalar target")


def test_doubled_reference_systems_add(reference):
    for gain, small, large in (("0.33", 2, 8), ("0.33", 8, 32), ("3.00", 2, 8), ("3.00", 8, 32), ("0.99", 4, 16)):
        part, whole = (reference[f"doubling_g{gain}_d{d}"].broja for d in (small, large))
        copies = large // small
        for name in laws.ATOMS:
            expected = copies * getattr(part.atoms, name)
            laws.close(getattr(whole.atoms, name), expected, 1e-9, f"{name} of {copies} copies of one system")
