"""As many components as hold a fraction of the variance: against NumPy, by every solver, and in every estimate."""

import dataclasses

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pid_jax import PCA, Exact, NoGaussianization, PIDSpec, Randomized, compare_pid, estimate_pid, stream_pid
from pid_jax.reduce.variable import reduce_variable

KEY = jax.random.key(0)
RAW = NoGaussianization()


def steep(n, p, seed=0, power=1.0):
    """Draw samples whose variances fall as k^-2 along some orthonormal directions."""
    rng = np.random.default_rng(seed)
    axes = np.linalg.qr(rng.normal(size=(p, p)))[0]
    return rng.normal(size=(n, p)) * np.arange(1, p + 1) ** -power @ axes


def fewest(samples, fraction):
    """Count the components needed by the singular values of NumPy."""
    sizes = np.linalg.svd(samples - samples.mean(axis=0), compute_uv=False) ** 2
    return int(np.searchsorted(np.cumsum(sizes) / sizes.sum(), fraction) + 1)


def reduced(samples, pca):
    spec = PIDSpec(reduction=pca, gaussianize=RAW)
    return reduce_variable("x", samples, None, min(pca.dims[0], samples.shape[-1]), spec, KEY)


@given(seed=st.integers(0, 100), fraction=st.sampled_from([0.5, 0.8, 0.95]), shape=st.sampled_from([(60, 9), (12, 20)]))
def test_the_fewest_components_that_hold_the_fraction(seed, fraction, shape):
    samples = steep(*shape, seed=seed)
    found = reduced(samples[None], PCA(dim=9, variance=fraction))
    wanted = fewest(samples, fraction)
    assert found.rank[0] == wanted
    assert found.explained_variance[0] >= fraction
    assert (np.ptp(found.scores[0], axis=0) > 0).sum() == wanted


def test_a_krylov_space_finds_as_many_as_all_eigenvalues():
    samples = steep(700, 600, power=0.8)[None]
    exact, randomized = (
        reduced(samples, PCA(dim=40, variance=0.8, solver=solver)) for solver in (Exact(), Randomized())
    )
    assert exact.rank[0] == randomized.rank[0] == fewest(samples[0], 0.8) < 40
    np.testing.assert_allclose(randomized.scores, exact.scores, atol=1e-3)


def test_every_problem_has_its_own_number_and_the_others_do_not_matter():
    steeper = np.stack([steep(80, 8, seed=1, power=power) for power in (0.3, 1.0, 3.0)])
    pca = PCA(dim=8, variance=0.9)
    together = reduced(steeper, pca)
    assert together.rank.tolist() == [fewest(one, 0.9) for one in steeper]
    assert len(set(together.rank)) == 3
    for one, scores in zip(steeper, together.scores, strict=True):
        np.testing.assert_allclose(reduced(one[None], pca).scores[0], scores, atol=1e-12)


def test_columns_of_no_more_than_dim_are_rotated():
    samples = steep(100, 5)[None]
    kept, rotated = (reduced(samples, pca) for pca in (PCA(dim=5), PCA(dim=5, variance=0.9)))
    np.testing.assert_array_equal(kept.scores, samples)
    assert rotated.rank[0] == fewest(samples[0], 0.9) < 5


def test_the_note_says_how_many_and_when_the_cap_was_too_low():
    samples = np.stack([steep(100, 12, power=power) for power in (0.2, 2.0)])
    (note,) = reduced(samples, PCA(dim=4, variance=0.95)).notes
    assert "allows 4 at most" in note
    assert "95 % were asked for" in note
    (note,) = reduced(samples[1:], PCA(dim=12, variance=0.95)).notes
    assert "at most" not in note


def three(n=400, p=(7, 6, 5), seed=3):
    rng = np.random.default_rng(seed)
    common = rng.normal(size=(n, 2))
    return tuple(common @ rng.normal(size=(2, d)) + rng.normal(size=(n, d)) * np.arange(1, d + 1) ** -2.0 for d in p)


def test_the_estimate_is_that_of_as_many_components():
    variables = three()
    spec = PIDSpec(reduction=PCA(dim=7, variance=0.9), gaussianize=RAW)
    found = estimate_pid(*variables, spec=spec, key=KEY)
    dims = tuple(int(one) for one in found.rank)
    assert dims == tuple(fewest(one, 0.9) for one in variables)
    fixed = dataclasses.replace(spec, reduction=PCA(dim=dims))
    wanted = estimate_pid(*variables, spec=fixed, key=KEY)
    for name in ("redundancy", "unique_1", "unique_2", "synergy"):
        assert getattr(found.atoms, name) == pytest.approx(getattr(wanted.atoms, name), abs=0.01)
    for name in ("i_1", "i_2", "i_12"):
        assert getattr(found.information, name) == pytest.approx(getattr(wanted.information, name), abs=1e-9)


def test_streams_keep_as_many():
    variables = three()
    spec = PIDSpec(reduction=PCA(dim=7, variance=0.9), gaussianize=RAW)
    blocks = [tuple(one[rows] for one in variables) for rows in (slice(0, 150), slice(150, 400))]
    streamed, whole = stream_pid(blocks, spec=spec, key=KEY), estimate_pid(*variables, spec=spec, key=KEY)
    np.testing.assert_array_equal(streamed.rank, whole.rank)
    assert streamed.information.i_12 == pytest.approx(whole.information.i_12, abs=1e-8)
    assert [note for note in streamed.notes if "components" in note] == [
        note for note in whole.notes if "components" in note
    ]


def test_conditions_share_the_components_of_the_baseline():
    baseline = three()
    weaker = (baseline[0] * np.linspace(1, 0.2, 7), *baseline[1:])
    spec = PIDSpec(reduction=PCA(dim=7, variance=0.9), gaussianize=RAW)
    compared = compare_pid(baseline, weaker, spec=spec, key=KEY, resamples=50)
    np.testing.assert_array_equal(compared.baseline.rank, compared.intervention.rank)


@pytest.mark.parametrize("given", [0, 1, 1.5, -0.1, True, "0.95"])
def test_what_is_no_fraction_is_refused(given):
    with pytest.raises(ValueError, match=r"PCA\(variance"):
        PCA(variance=given)
