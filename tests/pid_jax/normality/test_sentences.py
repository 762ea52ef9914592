"""Sentences from plain numbers: the gap of a fit, samples against dims, many problems at once."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from pid_jax.flow.findings import describe_fits, describe_flows, describe_size
from pid_jax.normality.sentences import group_sentences

pytestmark = pytest.mark.filterwarnings("error")


def test_gap_of_common_flows_is_silent_and_a_larger_one_is_not():
    """Gaps of flows at their defaults, n = 1000, of Gaussians: 0.7 at 3 x 4 dims, 7 at 3 x 8, 11 at 3 x 16."""
    for size, gap in ((12, 0.7), (24, 6.9), (48, 11.2)):
        assert describe_fits([10.0], [10.0 + gap], size) == ()
    (sentence,) = describe_fits([10.0] * 4, [10.0 + gap for gap in (8.0, np.nan, 185.0, 5.9)], 12)
    assert sentence.startswith("layers 0, 2: held-out samples are 8 to 1.8e+02 nats less likely than training samples")
    (sentence,) = describe_fits([10.0], [18.0], 12, "problem")
    assert sentence.startswith("held-out samples are 8 nats less likely")
    assert describe_fits([np.nan], [1.0], 12) == ()


def test_flows_are_judged_only_where_their_latents_are_used():
    """Of four problems three have a flow, and `Auto` takes that of the last one only."""
    curves = np.full((3, 2), 10.0), np.array([[90.0, 95.0], [90.0, 90.0], [10.5, 90.0]])
    fit: Any = SimpleNamespace(samples=300, train_curve=curves[0], validation_curve=curves[1])
    fitted = np.array([0, 2, 3])
    few, gap = describe_flows(fit, fitted, np.array([False, False, False, True]), (4, 4, 4), "layer")
    assert few.startswith("300 samples are few for a flow of 12 dimensions")
    assert gap.startswith("layer 3: held-out samples are 80 nats less likely")
    assert describe_flows(fit, fitted, np.zeros(4, bool), (4, 4, 4), "layer") == ()


def test_few_samples_for_the_dims():
    (sentence,) = describe_size(1000, (16, 16, 16))
    assert sentence.startswith("1000 samples are few for 48 dimensions")
    assert "0.26 nats too high" in sentence
    assert describe_size(5000, (16, 16, 16)) == ()
    assert describe_size(1000, (8, 8, 8)) == ()
    (sentence,) = describe_size(599, (8, 8, 4))
    assert sentence.startswith("599 samples are few for a flow of 20 dimensions: 600")


def test_sentences_are_grouped_by_problem():
    grouped = group_sentences([("a", "b"), ("a",), (), ("a",)])
    assert grouped == ("layers 0-1, 3: a", "layer 0: b")
    assert group_sentences([(), ()]) == ()
    assert group_sentences([("a", "b")]) == ("a", "b")
