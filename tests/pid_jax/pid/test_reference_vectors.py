"""82 reference problems with certified values (tests/data/vectors/README.md)."""

import numpy as np
import pytest

from pid_jax.decompose.pid import gaussian_pid
from tests.reference import FOLDER, load_items, load_problems

pytestmark = [pytest.mark.filterwarnings("error"), pytest.mark.every_tier]

COUNT = 82
ATOMS = {"redundancy": "red", "unique_1": "unq1", "unique_2": "unq2", "synergy": "syn"}
INFORMATION = {"i_1": "i1", "i_2": "i2", "i_12": "i12"}
# Scalars, a target larger than the sources, singular covariances, many dims.
UNPADDED = ("gpid_uix_si_5", "wishart_18", "rankdef_0", "latent_2")


def check_values(estimate, expected, measure, tolerance):
    assert estimate.status == 0
    actual = {ATOMS[name]: getattr(estimate.atoms, name) for name in ATOMS}
    actual |= {INFORMATION[name]: getattr(estimate.information, name) for name in INFORMATION}
    wanted = expected[measure] | {name: expected[name] for name in INFORMATION.values()}
    if measure == "broja":
        actual["union"], wanted["union"] = estimate.information.i_1 + estimate.atoms.unique_2, expected["union"]
    for name in actual:
        np.testing.assert_allclose(actual[name], wanted[name], rtol=0, atol=tolerance, err_msg=f"{measure} {name}")


@pytest.mark.parametrize("name", load_items())
def test_values(reference, name):
    case = reference[name]
    check_values(case.broja, case.expected, "broja", case.tolerance)
    check_values(case.mmi, case.expected, "mmi", case.tolerance)
    assert abs(case.broja.gap) <= case.tolerance


@pytest.mark.parametrize("name", UNPADDED)
def test_values_without_padding(name):
    item, problem = load_items()[name], load_problems()[name]
    check_values(gaussian_pid(*problem), item["expected"], "broja", item["suggested_atol"])


def test_the_files_are_complete():
    items, problems = load_items(), load_problems()
    assert len(items) == len(problems) == COUNT
    with np.load(FOLDER / "vectors_public.npz") as arrays:
        assert list(arrays["names"]) == list(items)
        assert {name for name in arrays if name.startswith("cov__")} == {item["npz_key"] for item in items.values()}
        for measure in ("broja", "mmi"):
            for name in ATOMS.values():
                stored = [item["expected"][measure][name] for item in items.values()]
                np.testing.assert_array_equal(arrays[f"{measure}_{name}"], stored)
    for name, problem in problems.items():
        assert problem.cov.shape == (sum(problem.dims),) * 2, name
