"""What is tested of a cell about answers: how often a source seems to add something where it adds nothing."""

import numpy as np
import pytest

from pid_jax import CategoricalSpec, LinearClassifier, estimate_categorical_pid
from pid_jax.study.answer_cell import _added


@pytest.mark.slow
def test_a_source_that_adds_nothing_is_seldom_said_to(key):
    """Of 100 problems of which source_1 tells all, source_2 is said to add in 5 at most, but for chance."""
    rng = np.random.default_rng(0)
    answer = rng.integers(0, 2, 300)
    one = answer[:, None] * 1.5 + rng.normal(size=(100, 300, 2))
    two = rng.normal(size=(100, 300, 4))
    spec = CategoricalSpec(classifier=LinearClassifier(), cells=12, perturbations=0)
    p_value, family_wise = (
        values for _, values, _ in _added(estimate_categorical_pid(one, two, answer, spec=spec, key=key)).values()
    )
    assert (p_value[0] <= 0.001 * 5).all()
    assert (family_wise[0] <= 0.05).all()
    assert (p_value[1] <= 0.05).mean() <= 0.1
    assert (family_wise[1] > 0.05).all()
