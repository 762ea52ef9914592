"""Informations from separate fits: those of one Gaussian where no flow can be fitted, and what noise columns add."""

from itertools import pairwise

import jax
import numpy as np
import pytest

from pid_jax import MMI, gaussian_pid
from pid_jax.estimate.by_pairs import information_of_pairs, map_pairs, mmi_of
from pid_jax.estimate.by_ranks import normal_scores
from pid_jax.estimate.gaussianizer import FitOptions
from pid_jax.reduce.pca import Reduced
from pid_jax.runtime.progress import no_progress
from pid_jax.settings.gaussianize import Copula, RealNVP

OPTIONS = FitOptions(
    key=jax.random.key(0), progress=no_progress, is_corrected=False, labels=("one", "two", "t"), problem="layer"
)
QUICK = RealNVP(couplings=1, width=4, knots=5, unmixings=0, epochs=2, evaluations=1, refits=0, intervals=False)


def reduced(scores):
    rank = (np.ptp(scores, axis=1) > 0).sum(axis=-1)
    return Reduced(
        scores=scores, rounding=np.zeros(scores.shape[:2]), explained_variance=np.ones(len(scores)), rank=rank
    )


def draw(n, dims=(2, 2, 2), problems=2, seed=0):
    rng = np.random.default_rng(seed)
    target = rng.normal(size=(problems, n, dims[2]))
    sources = [
        target[..., :1] * gain + rng.normal(size=(problems, n, d)) for gain, d in zip((1, 0.5), dims, strict=False)
    ]
    return [reduced(x) for x in (*sources, target)]


def covariances(pairs):
    return [np.stack([np.cov(one.T) for one in fit.values]) for fit in pairs.latents]


def test_without_flows_they_are_those_of_one_covariance():
    variables = draw(40)  # too few samples for flows
    pairs = map_pairs(variables, QUICK, OPTIONS)
    assert set(pairs.gaussianizer) == {"Copula"}
    assert any("too few" in note for note in pairs.notes)
    information = information_of_pairs(pairs, covariances(pairs))
    cov = np.stack([np.cov(one.T) for one in normal_scores(variables, Copula())])
    wanted = gaussian_pid(cov, (2, 2, 2), redundancy=MMI())
    for name in ("i_1", "i_2", "i_12"):
        np.testing.assert_allclose(getattr(information, name), getattr(wanted.information, name), atol=1e-10)
    atoms = mmi_of(information)
    for name in ("redundancy", "unique_1", "unique_2", "synergy"):
        np.testing.assert_allclose(getattr(atoms, name), getattr(wanted.atoms, name), atol=1e-10)


def test_constant_columns_of_all_problems_change_nothing():
    variables = draw(40)
    wide = [reduced(np.pad(one.scores, ((0, 0), (0, 0), (0, 3)))) for one in variables]
    plain, padded = (map_pairs(one, QUICK, OPTIONS) for one in (variables, wide))
    assert padded.dims == plain.dims == ((2, 2), (2, 2), (4, 2))
    for one, other in zip(plain.latents, padded.latents, strict=True):
        np.testing.assert_array_equal(one.values, other.values)


@pytest.mark.slow
def test_with_flows_the_target_has_a_map_for_each_pair():
    variables = draw(400)
    pairs = map_pairs(variables, QUICK, OPTIONS)
    assert set(pairs.gaussianizer) == {"RealNVP"}
    targets = [one.values[..., -2:] for one in pairs.latents]
    assert all((a != b).any() for a, b in pairwise(targets))
    information = information_of_pairs(pairs, covariances(pairs))
    cov = np.stack([np.cov(np.hstack([one.scores[i] for one in variables]).T) for i in range(2)])
    wanted = gaussian_pid(cov, (2, 2, 2)).information  # the samples are Gaussian, and little is learned in two steps
    for name in ("i_1", "i_2", "i_12"):
        np.testing.assert_allclose(getattr(information, name), getattr(wanted, name), atol=0.05)


def test_a_discrete_target_is_refused():
    first, second, target = draw(200)
    with pytest.raises(ValueError, match="target"):
        map_pairs((first, second, reduced((target.scores > 0).astype(float))), QUICK, OPTIONS)
