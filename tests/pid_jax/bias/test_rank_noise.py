"""The noise of ranks against ranks of simulated samples, and decompositions after ranks against their truth."""

import jax
import numpy as np
import pytest
from scipy.special import ndtri

from pid_jax import (
    BROJA,
    MMI,
    Copula,
    NoCorrection,
    NoGaussianization,
    NoReduction,
    Pairs,
    PIDSpec,
    bootstrap_pid,
    compare_pid,
    estimate_pid,
    gaussian_pid,
    posterior_pid,
    samples_needed,
)
from pid_jax.bias.rank_errors import rank_errors
from pid_jax.bias.rank_noise import (
    LARGEST_SHARE,
    STEPS,
    correlation_of,
    noise_of_ranks,
    noise_weights,
    remove_rank_noise,
    roots_of,
    share_of_noise,
)
from pid_jax.decompose.result import ATOMS
from pid_jax.testing.problems import apply_maps
from pid_jax.testing.systems import parallel_channels

RANKS = PIDSpec(NoReduction(), Copula())
DIMS = (2, 2, 2)
SAMPLES, SETS = 400, 60


def normal_scores(samples):
    """Normal scores of rows (..., n, D), with NumPy."""
    n = samples.shape[-2]
    found = np.empty_like(samples)
    np.put_along_axis(found, samples.argsort(axis=-2), ndtri((np.arange(n) + 0.5) / n)[:, None], axis=-2)
    return found


def atoms_of(estimate):
    return np.stack([np.asarray(getattr(estimate.atoms, name)) for name in ATOMS], axis=-1)


@pytest.fixture(scope="module")
def system():
    """Two sources that tell much together, in coordinates that ranks mix."""
    turned = parallel_channels([9.0, 0.0], [0.0, 9.0], -0.9).problem
    rng = np.random.default_rng(3)
    return apply_maps(turned, [np.linalg.qr(rng.standard_normal((2, 2)))[0] for _ in DIMS])


@pytest.fixture(scope="module")
def data(system):
    rows = np.random.default_rng(4).standard_normal((SETS, SAMPLES, 6)) @ np.linalg.cholesky(system.cov).T
    return np.split(rows, 3, axis=-1)


@pytest.fixture(scope="module")
def found(data):
    return estimate_pid(*data, spec=RANKS, key=jax.random.key(0))


@pytest.mark.fast_cases(1)
@pytest.mark.parametrize("samples", [20, 200, 2000])
def test_weights_sum_to_the_variance_of_normal_order_statistics(samples):
    draws = np.sort(np.random.default_rng(0).standard_normal((5_000_000 // samples, samples)), axis=1)
    total = draws.var(axis=0, ddof=1).sum() - 1.5  # of which a shift has 1 and a scale 1/2
    assert noise_weights(samples).sum() == pytest.approx(total, abs=0.03)


@pytest.mark.fast_cases(1)
@pytest.mark.parametrize("correlation", [0.3, 0.8, 0.95])
def test_correlations_of_normal_scores_are_lower_by_the_noise(correlation):
    samples, sets = 200, 40_000
    rng = np.random.default_rng(1)
    one, other = rng.standard_normal((2, sets, samples))
    pair = np.stack([one, correlation * one + np.sqrt(1 - correlation**2) * other], axis=-1)
    scores = normal_scores(pair)
    raw = pair - pair.mean(axis=1, keepdims=True)
    shown, plain = ((x.prod(axis=-1).sum(axis=1) / np.sqrt((x**2).sum(axis=1).prod(axis=-1))) for x in (scores, raw))
    difference = shown - plain
    expected = noise_of_ranks(np.array(correlation), samples) - correlation * noise_weights(samples).sum() / samples
    assert difference.mean() < -10 * difference.std() / np.sqrt(sets)
    assert difference.mean() == pytest.approx(expected, rel=0.12)


def test_removal_is_the_same_with_and_without_eigenvectors():
    """Where noise is little it is subtracted; next to a problem where it is much, and in the form that suits both."""
    rng = np.random.default_rng(0)
    turned, samples = np.linalg.qr(rng.normal(size=(6, 6)))[0], 300
    spectra = np.array([np.linspace(1, 0.3, 6), np.geomspace(1, 1e-4, 6), [1, 1, 1, 0.5, 0.2, 0]])
    cov = np.stack([(turned * one) @ turned.T for one in spectra])
    found = remove_rank_noise(cov, samples)
    shown = correlation_of(cov) * (1 + noise_weights(samples).sum() / samples)
    root, inverse = roots_of(shown)
    latent = correlation_of(cov)
    for _ in range(STEPS):
        shares, axes = np.linalg.eigh(inverse @ noise_of_ranks(latent, samples) @ inverse)
        left = np.where(shares > LARGEST_SHARE, LARGEST_SHARE**2 / np.maximum(shares, LARGEST_SHARE), 1 - shares)
        latent = correlation_of(root @ (axes * left[:, None]) @ np.swapaxes(axes, 1, 2) @ root)
    assert shares[0].max() < LARGEST_SHARE < shares[1].max()
    np.testing.assert_allclose(correlation_of(found), latent, rtol=0, atol=1e-10)


def test_removal_keeps_units_and_range_and_stays_positive(system):
    cov = correlation_of(system.cov)
    scale = np.array([1, 2, 3, 0.5, 1, 4.0])
    scaled = remove_rank_noise(cov * np.outer(scale, scale), SAMPLES)
    np.testing.assert_allclose(scaled, remove_rank_noise(cov, SAMPLES) * np.outer(scale, scale), atol=1e-12)
    assert np.linalg.eigvalsh(remove_rank_noise(cov, 12)).min() > 0
    index = [0, 1, 0, 2, 3, 4, 5]  # a coordinate twice
    twice = remove_rank_noise(cov[np.ix_(index, index)], SAMPLES)
    np.testing.assert_allclose(twice[0], twice[2], atol=1e-9)
    dead = cov.copy()
    dead[1] = dead[:, 1] = 0
    cleaned = remove_rank_noise(dead, SAMPLES)
    np.testing.assert_array_equal(cleaned[1], 0)
    assert np.isfinite(cleaned).all()


@pytest.mark.slow
def test_atoms_after_ranks_have_no_bias_and_intervals_hold_them(system, data, found):
    truth = atoms_of(gaussian_pid(system.cov, DIMS))
    error = atoms_of(found) - truth
    standard_error = error.std(axis=0) / np.sqrt(SETS)
    assert (np.abs(error.mean(axis=0)) < np.maximum(4 * standard_error, 0.01)).all()
    without = normal_scores(np.concatenate(data, axis=-1))
    plain = gaussian_pid(np.stack([np.cov(x.T) for x in without]), DIMS)
    assert abs((plain.atoms.synergy - truth[3]).mean()) > 8 * standard_error[3]
    lower, upper = (np.stack([getattr(end, name) for name in ATOMS], axis=-1) for end in (found.lower, found.upper))
    held = ((lower <= truth + 1e-9) & (truth - 1e-9 <= upper)).mean(axis=0)
    assert (held > 0.9 - 3.5 * np.sqrt(0.09 / SETS)).all()


def test_raw_samples_and_plain_covariances_are_left_as_they_are(data):
    some = [x[0] for x in data]
    for gaussianizer, correction in ((NoGaussianization(), RANKS.bias_correction), (Copula(), NoCorrection())):
        spec = PIDSpec(NoReduction(), gaussianizer, bias_correction=correction)
        joined = np.concatenate(some, axis=-1)
        rows = normal_scores(joined) if correction == NoCorrection() else joined
        cov = estimate_pid(*some, spec=spec, key=jax.random.key(0)).cov
        np.testing.assert_allclose(cov, np.cov(rows.T), rtol=1e-9)


@pytest.mark.slow
def test_every_function_knows_what_ranks_add(system, data, found):
    some, key = [x[0] for x in data], jax.random.key(1)
    errors = rank_errors(found.cov[:1], SAMPLES, DIMS, RANKS.redundancy, key)
    added = float(errors.deviations.synergy.std())
    raw = PIDSpec(NoReduction(), NoGaussianization())
    scores = np.split(normal_scores(np.concatenate(some, axis=-1)), 3, axis=-1)
    assert added > 0.02
    for kind in (None, Pairs()):
        ranked, plain = (
            bootstrap_pid(*x, spec=spec, key=key, resamples=200, level=0.9, kind=kind)
            for x, spec in ((some, RANKS), (scores, raw))
        )
        expected = np.hypot(plain.standard_error.synergy, added)
        assert ranked.standard_error.synergy == pytest.approx(expected, rel=0.3)
        assert ranked.standard_error.synergy > plain.standard_error.synergy
    other = some[0] + np.random.default_rng(5).standard_normal(some[0].shape)
    change = [
        compare_pid(x, y, spec=spec, key=key, resamples=50, share_reduction=False)
        for x, y, spec in (
            (some, (other, *some[1:]), RANKS),
            (scores, (normal_scores(other), *scores[1:]), raw),
        )
    ]
    assert change[0].standard_error.synergy > 1.02 * change[1].standard_error.synergy
    posterior = posterior_pid(*some, spec=RANKS, key=key, draws=400)
    assert posterior.mean.synergy > posterior_pid(*scores, spec=raw, key=key, draws=400).mean.synergy + 0.05


@pytest.mark.slow
def test_needed_samples_count_the_noise_of_ranks(system):
    rows = np.random.default_rng(6).standard_normal((2000, 6)) @ np.linalg.cholesky(system.cov).T
    some = np.split(rows, 3, axis=-1)
    needed = [
        samples_needed(
            estimate_pid(*some, spec=PIDSpec(NoReduction(), way), key=jax.random.key(0)),
            width=0.25,
            key=jax.random.key(1),
            simulations=10,
            most=3000,
        )
        for way in (Copula(), NoGaussianization())
    ]
    assert needed[0].samples.synergy > 1.1 * needed[1].samples.synergy


@pytest.mark.slow
def test_too_coarse_ranks_are_noted():
    rng = np.random.default_rng(7)
    one, other = rng.standard_normal((2, 300, 1))
    target = one + other + 0.01 * rng.standard_normal((300, 1))
    found = estimate_pid(one, other, target, spec=RANKS, key=jax.random.key(0))
    assert any("ranks of 300 samples are too coarse" in note for note in found.notes)
    assert share_of_noise(found.cov[None], 300, found.dims) > 0.5
    assert "too coarse" in repr(found)
    clear = estimate_pid(one, other, one + rng.standard_normal((300, 1)), spec=RANKS, key=jax.random.key(0))
    assert not clear.notes


@pytest.mark.slow
def test_measures_without_optimization_are_corrected_too(system, data):
    spec = PIDSpec(NoReduction(), Copula(), redundancy=MMI())
    truth = atoms_of(gaussian_pid(system.cov, DIMS, redundancy=MMI()))
    error = atoms_of(estimate_pid(*data, spec=spec, key=jax.random.key(0))) - truth
    assert abs(error[:, 3].mean()) < 4 * error[:, 3].std() / np.sqrt(SETS)


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_infinite_amounts_have_no_error_and_the_others_keep_theirs(key):
    """The third variable is a sum of the other two."""
    root = np.random.default_rng(0).standard_normal((3, 2))
    errors = rank_errors(correlation_of(root @ root.T)[None], 200, (1, 1, 1), BROJA(), key)
    assert np.isnan(errors.deviations.synergy).all()
    for name in ("redundancy", "unique_1", "i_1", "i_2"):
        assert np.isfinite(getattr(errors.bias, name)).all()
        assert (getattr(errors.deviations, name).std(axis=0) > 0).all()
