"""A measure for classes that is defined outside of the package goes wherever those of the package go."""

from dataclasses import dataclass, replace

import jax
import numpy as np
import pytest

from pid_jax import MMI, discrete_pid, estimate_categorical_pid
from pid_jax.discrete.measures import (
    CLASS_MEASURES,
    ClassMeasure,
    UnionBounds,
    class_measure_of,
    register,
    takes_samples,
)
from pid_jax.discrete.tables import information_of_table
from pid_jax.pid.measure import Redundancy
from tests.pid_jax.categorical.systems import SPEC, draw


@dataclass(frozen=True)
class Nothing(Redundancy):
    """No redundancy at all."""


def sum_of_both(p_1, p_2, tol):
    value = information_of_table(p_1) + information_of_table(p_2)
    return UnionBounds(value, value)


RECORD = ClassMeasure(
    settings=Nothing,
    name="nothing",
    label="Nothing",
    union=sum_of_both,
    redundant=lambda sources, codes: np.zeros(codes.shape),
)


@pytest.fixture
def registered():
    register(RECORD)
    yield
    del CLASS_MEASURES["nothing"]


def test_tables_and_samples(registered):
    copies = np.diag([0.5, 0.5])[:, :, None] * np.eye(2)
    found = discrete_pid(copies, redundancy=Nothing())
    np.testing.assert_allclose([found.atoms.redundancy, found.atoms.unique_1], [0, np.log(2)], atol=1e-12)
    assert found.method == "Nothing"
    estimate = estimate_categorical_pid(*draw(), spec=replace(SPEC, redundancy=Nothing()), key=jax.random.key(0))
    np.testing.assert_allclose(estimate.atoms.redundancy, 0, atol=1e-12)
    np.testing.assert_allclose(estimate.atoms.unique_1, estimate.information.i_1, atol=1e-12)
    assert (estimate.information.i_1 > 0.1).all()


def test_a_measure_of_tables_only_is_refused_for_samples():
    """Samples would be decomposed by BROJA under its name."""
    register(replace(RECORD, redundant=None))
    try:
        assert discrete_pid(np.full((2, 2, 2), 1 / 8), redundancy=Nothing()).method == "Nothing"
        assert not takes_samples(Nothing())
        with pytest.raises(TypeError, match="redundancy"):
            estimate_categorical_pid(*draw(), spec=replace(SPEC, redundancy=Nothing()), key=jax.random.key(0))
    finally:
        del CLASS_MEASURES["nothing"]


def test_measures_that_are_not_registered_are_refused():
    with pytest.raises(TypeError, match="redundancy"):
        class_measure_of(Nothing())
    with pytest.raises(ValueError, match="label"):
        register(replace(RECORD, label="MMI"))
    assert class_measure_of(MMI()).name == "mmi"
