"""Bias and intervals of decompositions of samples, where the truth is known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import ndtri

from pid_jax import BROJA, MMI, IndirectInference, ParametricBootstrap, gaussian_pid
from pid_jax.bias import sampling as bias
from pid_jax.bias.sampling import sampling_errors, subtract_sampling
from pid_jax.decompose.pid import solve_pid
from pid_jax.decompose.result import ATOMS
from pid_jax.gaussian.channels import all_gains, split_channels
from pid_jax.gaussian.wishart import WhiteFactors
from pid_jax.pid.calibration import first_order_scatter
from pid_jax.pid.gains import half_log_ratios, information_of_gains
from pid_jax.pid.model import frame_of, unsampled_contrast, unsampled_coupling
from pid_jax.runtime.precision import double_precision
from pid_jax.testing.problems import random_channel
from pid_jax.testing.systems import parallel_channels

SETS, SAMPLES = 60, 400
INDIRECT = IndirectInference()


def sample_covariances(problem, samples=SAMPLES, sets=SETS, seed=0):
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal((sets, samples, len(problem.cov)))
    return np.stack([np.cov(one.T) for one in noise @ np.linalg.cholesky(problem.cov).T])


def correct(cov, dims, correction=INDIRECT, redundancy=BROJA(), samples=SAMPLES, **options):
    plain = solve_pid(cov, dims, redundancy)
    key = jax.random.key(1)
    return subtract_sampling(plain, sampling_errors(plain, cov, dims, samples, redundancy, correction, key, **options))


def stacked(atoms):
    return np.stack([np.asarray(getattr(atoms, name)) for name in ATOMS], axis=-1)


@pytest.fixture(scope="module")
def equal_sources():
    return parallel_channels(np.full(4, 1.5), 1.5, 0.2)


@pytest.fixture(scope="module")
def covariances(equal_sources):
    return sample_covariances(equal_sources.problem)


@pytest.mark.slow
def test_atoms_of_equal_sources_are_right_where_the_bootstrap_leaves_half_of_their_bias(equal_sources, covariances):
    truth = stacked(equal_sources.atoms)
    plug_in = stacked(solve_pid(covariances, equal_sources.problem.dims, BROJA()).atoms).mean(axis=0) - truth
    found, bootstrap = (
        stacked(correct(covariances, equal_sources.problem.dims, way).atoms).mean(axis=0) - truth
        for way in (INDIRECT, ParametricBootstrap())
    )
    assert (np.abs(plug_in) > 0.05).all()
    assert (np.abs(found) < 0.25 * np.abs(plug_in)).all()
    assert (np.abs(bootstrap) > 0.4 * np.abs(plug_in)).all()


@pytest.mark.slow
def test_intervals_hold_the_truth(equal_sources, covariances):
    """Of 60 intervals of each atom 54 are expected at the level .9; 46 is three standard deviations below."""
    truth = stacked(equal_sources.atoms)
    found = correct(covariances, equal_sources.problem.dims)
    lower, upper = stacked(found.lower), stacked(found.upper)
    inside = ((lower <= truth) & (truth <= upper)).sum(axis=0)
    assert (inside >= 46).all()
    assert (inside[[0, 3]] < SETS).all()  # and they are not wide beyond measure
    assert (upper - lower).mean() < 0.45  # the mean absolute atom is .7


@pytest.mark.slow
def test_atoms_lie_in_their_intervals_and_keep_their_identities():
    problem = random_channel(np.random.default_rng(2), (3, 2, 4), (0.8, 0.3))
    for redundancy in (BROJA(), MMI()):
        found = correct(sample_covariances(problem), problem.dims, redundancy=redundancy)
        atoms, information = found.atoms, found.information
        np.testing.assert_allclose(atoms.redundancy + atoms.unique_1, information.i_1, atol=1e-12)
        np.testing.assert_allclose(atoms.redundancy + atoms.unique_2, information.i_2, atol=1e-12)
        np.testing.assert_allclose(stacked(atoms).sum(axis=-1), information.i_12, atol=1e-12)
        assert (stacked(found.lower) <= stacked(atoms) + 1e-12).all()
        assert (stacked(atoms) - 1e-12 <= stacked(found.upper)).all()


@pytest.mark.slow
def test_wider_levels_hold_narrower_ones(equal_sources, covariances):
    half, most = (correct(covariances[:10], equal_sources.problem.dims, level=level) for level in (0.5, 0.95))
    assert (stacked(most.lower) <= stacked(half.lower)).all()
    assert (stacked(half.upper) <= stacked(most.upper)).all()
    assert (stacked(most.upper) - stacked(most.lower)).mean() > 1.5 * (stacked(half.upper) - stacked(half.lower)).mean()


@pytest.mark.slow
def test_towards_equal_sources_intervals_reach_as_far_as_the_first_order(equal_sources, covariances):
    """Few ends are those of tests, because the first order sees too little."""
    dims = equal_sources.problem.dims
    found = correct(covariances[:10], dims)
    with double_precision():
        scatter = [
            first_order_scatter(split_channels(jnp.asarray(cov), dims), jnp.asarray(SAMPLES - 1.0))
            for cov in covariances[:10]
        ]
    reach = ndtri(0.95) * np.stack([stacked(one) for one in scatter])
    atoms, lower, upper = stacked(found.atoms), stacked(found.lower), stacked(found.upper)
    is_unique = np.asarray([name.startswith("unique") for name in ATOMS])
    less, more = np.where(is_unique, atoms - lower, upper - atoms), np.where(is_unique, upper - atoms, atoms - lower)
    assert np.isclose(less, reach, rtol=1e-8).mean() >= 0.8
    assert more.mean() > 1.2 * reach.mean()


@pytest.mark.slow
def test_intervals_hold_differences_that_are_too_small_to_be_seen():
    """Of 60 intervals 57 are expected; normal ones around the corrected atoms, by first order, hold 46 on average."""
    system = parallel_channels(np.full(8, 2.0), 3 * np.exp(0.1 * np.linspace(-1, 1, 8)) - 1, 0.2)
    found = correct(sample_covariances(system.problem, samples=800), system.problem.dims, samples=800, level=0.95)
    truth = stacked(system.atoms)
    inside = (stacked(found.lower) <= truth) & (truth <= stacked(found.upper))
    assert (inside.sum(axis=0) >= 52).all()


@pytest.mark.slow
def test_an_atom_whose_first_order_sees_nothing_has_an_interval():
    """In all samples source_1 is ahead in every direction or nearly so."""
    system = parallel_channels(np.full(4, 1.5), 0.9, 0.2)
    found = correct(sample_covariances(system.problem), system.problem.dims)
    lower, upper = np.asarray(found.lower.unique_2), np.asarray(found.upper.unique_2)
    assert ((lower <= 1e-9) & (upper >= -1e-9)).sum() >= 46
    assert np.median(upper) > 0.005


def test_mmi_atoms_at_the_kink_and_away_from_it():
    """Five standard errors of the mean over 60 data sets, and 46 of 60 intervals as above."""
    for snr_2 in (1.0, 0.3):
        system = parallel_channels(np.full(2, 1.0), snr_2, 0.0)
        truth = stacked(gaussian_pid(*system.problem, redundancy=MMI()).atoms)
        found = correct(sample_covariances(system.problem), system.problem.dims, redundancy=MMI())
        error = stacked(found.atoms) - truth
        assert (np.abs(error.mean(axis=0)) <= 5 * error.std(axis=0) / np.sqrt(SETS)).all()
        inside = (stacked(found.lower) <= truth + 1e-9) & (truth - 1e-9 <= stacked(found.upper))
        assert (inside.sum(axis=0) >= 46).all()


@pytest.mark.slow
def test_few_samples_of_independent_variables_are_seen_as_such():
    """Of 40 intervals 36 are expected, and U_1 is zero: 29 held redundancy, and U_1 was 0.28, while noises of samples,
    which look coupled where they are few, were taken for those of the truth.
    """
    dims, samples = (8, 8, 8), 27
    noise = np.random.default_rng(7).standard_normal((40, samples, 24))
    found = correct(np.stack([np.cov(one.T) for one in noise]), dims, samples=samples)
    inside = (stacked(found.lower) <= 1e-9) & (stacked(found.upper) >= -1e-9)
    assert (inside.sum(axis=0) >= 33).all()
    assert abs(np.mean(found.atoms.unique_1)) < 0.2


@pytest.mark.slow
def test_coupling_is_lowered_by_its_bias():
    """Noises of 4 + 3 dims that are not coupled, and ones that are: −½ log of 1 − c² sums to the truth on average."""
    rng, freedom, dims = np.random.default_rng(8), 29, (4, 3, 2)
    for strength in (0.0, 0.8):
        root = np.eye(9)
        root[4:7, :3] = strength * np.eye(3)
        truth = 0.5 * 3 * np.log1p(strength**2)
        values = []
        for _ in range(200):
            cov = np.cov((rng.standard_normal((30, 9)) @ root.T).T)
            with double_precision():
                channels = split_channels(jnp.asarray(cov), dims)
                coupling = unsampled_coupling(channels, jnp.asarray(float(freedom)))
            values.append(-0.5 * np.log1p(-(np.linalg.svd(coupling, compute_uv=False) ** 2)).sum())
        error = np.mean(values) - truth  # it cannot fall below zero
        assert abs(error) < (0.2 if strength == 0 else 4 * np.std(values) / np.sqrt(200))


@pytest.mark.slow
def test_a_singular_covariance_is_corrected_as_without_what_makes_it_singular(equal_sources, covariances):
    dims = equal_sources.problem.dims
    singular = covariances[:3].copy()
    singular[1, 0, :] = singular[1, :, 0] = 0
    fewer = (dims[0] - 1, *dims[1:])
    mixed, regular = correct(singular, dims), correct(covariances[:3], dims)
    without = correct(np.delete(np.delete(singular[1:2], 0, axis=1), 0, axis=2), fewer)
    for end in ("lower", "upper", "bias"):
        found, expected = stacked(getattr(mixed, end)), stacked(getattr(regular, end))
        expected[1] = stacked(getattr(without, end))[0]
        np.testing.assert_allclose(found, expected, atol=1e-12)


@pytest.mark.slow
def test_other_units_change_nothing(equal_sources, covariances):
    dims = equal_sources.problem.dims
    units = np.geomspace(1e-6, 1e6, covariances.shape[-1])
    scaled = correct(covariances[:5] * units[:, None] * units, dims)
    plain = correct(covariances[:5], dims)
    for name in ("bias", "lower", "upper"):
        np.testing.assert_allclose(stacked(getattr(scaled, name)), stacked(getattr(plain, name)), atol=1e-8)


@pytest.mark.slow
def test_contrast_of_equal_directions_is_found_equal_and_a_clear_one_stays():
    """Of eight directions two are known far better by one source, the others by both alike."""
    system = parallel_channels([4.0, *np.ones(7)], [*np.ones(7), 4.0], 0.2)
    dims, freedom = system.problem.dims, 999
    (cov,) = sample_covariances(system.problem, samples=1000, sets=1, seed=3)
    with double_precision():
        channels = split_channels(jnp.asarray(cov), dims)
        gains = all_gains(channels)
        frame = frame_of(channels, information_of_gains(*gains))
        whites = jnp.asarray(WhiteFactors(jax.random.key(0), 24, freedom).draw(50))
        observed = half_log_ratios(*gains[:2])
        found = jax.tree.map(np.asarray, unsampled_contrast(frame, observed, whites))
    clear = 0.5 * np.log(2.5)  # half the logarithm of (1 + 4) / (1 + 1)
    assert found.center == 0
    np.testing.assert_allclose(found.half_log_ratio[[0, -1]], [-clear, clear], atol=0.1)
    assert np.abs(found.half_log_ratio[1:-1]).sum() < 0.5 * np.abs(np.asarray(observed)[1:-1]).sum()
    np.testing.assert_allclose(found.least[1:-1], 0, atol=1e-12)


def test_a_frame_takes_any_contrast():
    problem = random_channel(np.random.default_rng(6), (4, 5, 3), (1.0, 1.0))
    with double_precision():
        channels = split_channels(jnp.asarray(problem.cov), problem.dims)
        gains = all_gains(channels)
        frame = frame_of(channels, information_of_gains(*gains))
        own = frame.contrast.half_log_ratio
        for asked in (own, 0.5 * own, jnp.zeros(3), jnp.asarray([-0.3, 0.0, 0.2])):
            changed = frame.replaced(asked)
            found = half_log_ratios(changed.gain_1, changed.gain_2)
            np.testing.assert_allclose(np.asarray(found), np.asarray(asked), atol=1e-10)
        same = frame.replaced(own)
        np.testing.assert_allclose(np.asarray(same.gain_1), np.asarray(channels.gain_1), atol=1e-8)


@pytest.mark.slow
@pytest.mark.parametrize("redundancy", [BROJA(), MMI()])
def test_variables_without_variance_do_not_make_the_correction_infinite(redundancy):
    """Reduced variables of low rank end in zeros; rounding must not give samples of the model any variance there."""
    rng = np.random.default_rng(0)
    kept = [0, 1, 4, 5, 8, 9]
    shared = rng.standard_normal((1, 300))
    cov = np.zeros((10, 10))
    cov[np.ix_(kept, kept)] = np.cov(shared + rng.standard_normal((6, 300)))
    drawn = bias.sample_covariances(WhiteFactors(jax.random.key(0), 10, 299).draw(20) / np.sqrt(299), cov[None])
    assert (drawn[..., [2, 3, 6, 7], :] == 0).all()
    found = correct(cov[None], (4, 4, 2), redundancy=redundancy, samples=300)
    assert np.isfinite(stacked(found.atoms)).all()
    assert np.isfinite(stacked(found.lower)).all()
