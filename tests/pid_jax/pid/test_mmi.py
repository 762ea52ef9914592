"""Minimum mutual information."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pid_jax.decompose.pid import gaussian_pid
from pid_jax.gaussian.joint import JointGaussian
from pid_jax.pid.mmi import MMI, pid_mmi
from pid_jax.runtime.precision import double_precision
from pid_jax.testing.problems import pad
from tests.shapes import SMALL

pytestmark = pytest.mark.filterwarnings("error")

NAMES = ("wishart_0", "rankdef_0", "doubling_g1.33_d4")


def test_runs_under_the_callers_jit_and_vmap(reference):
    covs = np.stack([pad(reference[name].problem, SMALL, 0.0).cov for name in NAMES])
    with double_precision():
        compiled = jax.jit(jax.vmap(lambda cov: pid_mmi(JointGaussian(cov, SMALL))))
        solved = jax.tree.map(np.asarray, compiled(jnp.asarray(covs)))
    for i, name in enumerate(NAMES):
        for atom, key in (("redundancy", "red"), ("unique_1", "unq1"), ("unique_2", "unq2"), ("synergy", "syn")):
            expected = reference[name].expected["mmi"][key]
            np.testing.assert_allclose(getattr(solved.atoms, atom)[i], expected, atol=reference[name].tolerance)


def test_redundancy_is_the_smaller_information_and_one_unique_is_zero(reference):
    for case in reference.values():
        atoms, information = case.mmi.atoms, case.mmi.information
        smaller = min(information.i_1, information.i_2)
        np.testing.assert_allclose(atoms.redundancy, smaller, rtol=1e-13, atol=1e-15)
        assert min(atoms.unique_1, atoms.unique_2) == 0


def test_has_no_certificate(reference):
    assert all(np.isnan(case.mmi.gap) for case in reference.values())


def test_second_call_with_equal_shapes_does_not_compile(reference, compiled):
    covs = np.stack([pad(reference[name].problem, SMALL, 0.0).cov for name in NAMES[:2] * 32])
    gaussian_pid(covs, SMALL, redundancy=MMI())
    compiled()
    gaussian_pid(covs * 2.0, SMALL, redundancy=MMI())
    gaussian_pid(covs.reshape(2, 32, *covs.shape[1:]), SMALL, redundancy=MMI())
    assert not compiled()
