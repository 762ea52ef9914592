"""Sentences from plain numbers: the gap of a fit, samples against dims, many problems at once."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from pid_jax.flow.findings import describe_fits, describe_flows, describe_size
from pid_jax.normality.diagnose import diagnose_latents
from pid_jax.normality.sentences import group_sentences
from pid_jax.normality.skewness import LARGEST_SKEWNESS, describe_skewness, skewness_left

pytestmark = pytest.mark.filterwarnings("error")


def test_gap_of_common_flows_is_silent_and_a_larger_one_is_not():
    """Gaps of flows at their defaults, n = 1000, of Gaussians: 0.7 at 3 x 4 dims, 10 at 3 x 8, 27 at 3 x 16."""
    for size, gap in ((12, 0.7), (24, 10.0), (48, 27.0)):
        assert describe_fits([10.0], [10.0 + gap], size) == ()
    (sentence,) = describe_fits([10.0] * 4, [10.0 + gap for gap in (18.0, np.nan, 185.0, 11.9)], 12)
    assert sentence.startswith("layers 0, 2: held-out samples are 18 to 1.8e+02 nats less likely than training samples")
    (sentence,) = describe_fits([10.0], [28.0], 12, "problem")
    assert sentence.startswith("held-out samples are 18 nats less likely")
    assert describe_fits([np.nan], [1.0], 12) == ()


def test_flows_are_judged_only_where_their_latents_are_used():
    """Of four problems three have a flow, and `Auto` takes that of the last one only."""
    curves = np.full((3, 2), 10.0), np.array([[90.0, 95.0], [90.0, 90.0], [10.5, 90.0]])
    fit: Any = SimpleNamespace(samples=300, train_curve=curves[0], validation_curve=curves[1])
    fitted = np.array([0, 2, 3])
    about: Any = (fit, fitted, np.array([False, False, False, True]), (4, 4, 4), "layer")
    (gap,) = describe_flows(*about)
    assert gap.startswith("layer 3: held-out samples are 80 nats less likely")
    assert describe_flows(fit, fitted, np.zeros(4, bool), (4, 4, 4), "layer") == ()


def test_flows_are_compared_with_what_held_out_samples_prefer():
    """Problem 0 has the flow although no map is as likely; 1 prefers the flow; 2 has what `Auto` chose instead."""
    curves = np.full((3, 1), 10.0)
    fit: Any = SimpleNamespace(samples=1000, train_curve=curves, validation_curve=curves)
    preferred = np.array(["NoGaussianization", "RealNVP", "Copula"])
    about: Any = (fit, np.arange(3), np.array([True, True, False]), (2, 2, 2), "layer")
    (sentence,) = describe_flows(*about, preferred)
    assert sentence.startswith("layer 0: ")
    assert "NoGaussianization()" in sentence
    assert describe_flows(*about, np.array(["RealNVP", "RealNVP", "Copula"])) == ()
    chosen: Any = (fit, np.arange(3), np.zeros(3, bool), (2, 2, 2), "layer")
    assert describe_flows(*chosen, preferred) == ()


def test_skewness_that_is_left_is_said_with_the_remedy_of_the_map():
    rng = np.random.default_rng(0)
    latents = rng.normal(size=(3, 1000, 6))
    latents[1:] = np.where(latents[1:] > 0, latents[1:], 0.2 * latents[1:])
    found = diagnose_latents(latents, (2, 2, 2))
    assert skewness_left(found)[0] == 0
    assert (skewness_left(found)[1:] > LARGEST_SKEWNESS).all()
    by_flow, by_ranks = describe_skewness(found, np.array([True, True, False]))
    assert by_flow.startswith("layer 1: ")
    assert "PCA(dim=...)" in by_flow
    assert by_ranks.startswith("layer 2: ")
    assert "RealNVP()" in by_ranks


def test_few_samples_are_said_of_flows_that_had_much_to_learn():
    """Of 48 dimensions: no flow, one of little use, and two that held-out samples need."""
    gain = np.array([np.nan, 4.4, 13.0, 18.0])
    (sentence,) = describe_size(1000, 48, gain)
    assert sentence.startswith("layers 2-3: 1000 samples are few for a flow of 48 dimensions")
    assert "1440" in sentence
    assert describe_size(1000, 48, gain[:2]) == ()
    assert describe_size(1440, 48, gain) == ()


def test_few_samples_are_not_said_where_no_flow_is_used():
    curves = np.full((2, 1), 10.0)
    fit: Any = SimpleNamespace(samples=1000, train_curve=curves, validation_curve=curves)
    gain = np.array([14.0, 14.0])
    about: Any = (fit, np.arange(2), np.array([False, True]), (16, 16, 16), "layer")
    (sentence,) = describe_flows(*about, gain=gain)
    assert sentence.startswith("layer 1: ")


def test_sentences_are_grouped_by_problem():
    grouped = group_sentences([("a", "b"), ("a",), (), ("a",)])
    assert grouped == ("layers 0-1, 3: a", "layer 0: b")
    assert group_sentences([(), ()]) == ()
    assert group_sentences([("a", "b")]) == ("a", "b")
