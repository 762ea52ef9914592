"""Sentences from plain numbers: the gap of a fit, samples against dims, many problems at once."""

import numpy as np
import pytest
import scipy.stats

from pid_jax.flow.sentences import describe_fits, describe_size, group_sentences

pytestmark = pytest.mark.filterwarnings("error")


def test_gap_of_a_gaussian_fit_is_silent_and_a_larger_one_is_not():
    """The gap of a fitted Gaussian itself, from samples."""
    rng, size, train, held = np.random.default_rng(7), 12, 900, 300
    gaps = []
    for _ in range(200):
        x = rng.normal(size=(train + held, size))
        normal = scipy.stats.multivariate_normal(x[:train].mean(axis=0), np.cov(x[:train].T, bias=True))
        losses = -normal.logpdf(x)
        own, other = losses[:train].mean(), losses[train:].mean()
        gaps.append(other - own)
        assert describe_fits([own], [other], (train, held), size) == ()
    expected = size * (size + 3) / (2 * train)
    assert np.mean(gaps) == pytest.approx(expected, abs=0.02)
    gaps = [0.9 + expected, np.nan, 1.4 + expected, expected]
    (sentence,) = describe_fits([10.0] * 4, [10.0 + gap for gap in gaps], (train, held), size)
    assert sentence.startswith("layers 0, 2: held-out samples are 1 to 1.5 nats less likely than training samples")
    (sentence,) = describe_fits([10.0], [10.0 + gaps[0]], (train, held), size, "problem")
    assert sentence.startswith("problem 0: held-out samples are 1 nats less likely")
    assert describe_fits([np.nan], [1.0], (train, held), size) == ()


def test_few_samples_for_the_dims():
    (sentence,) = describe_size(1000, (16, 16, 16))
    assert sentence.startswith("1000 samples are few for 48 dimensions")
    assert "0.26 nats too high" in sentence
    assert describe_size(5000, (16, 16, 16), is_flow=True) == ()
    assert describe_size(1000, (8, 8, 8)) == ()
    (sentence,) = describe_size(1000, (8, 8, 8), is_flow=True)
    assert sentence.startswith("1000 samples are few for a flow of 24 dimensions: 1200")


def test_sentences_are_grouped_by_problem():
    grouped = group_sentences([("a", "b"), ("a",), (), ("a",)])
    assert grouped == ("layers 0-1, 3: a", "layer 0: b")
    assert group_sentences([(), ()]) == ()
