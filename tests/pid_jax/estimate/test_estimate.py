"""The host functions: estimates from samples, leading axes, dtypes, precision, threads, compilations."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pid_jax.decompose.pid import gaussian_pid
from pid_jax.decompose.result import ATOMS, INFORMATION
from pid_jax.estimate.samples import estimate_pid
from pid_jax.gaussian.status import Status
from pid_jax.pid.mmi import MMI
from pid_jax.settings.estimate import PCA, NoCorrection, NoReduction, PIDSpec, SampleCovariance, spec_to_dict
from pid_jax.settings.gaussianize import NoGaussianization
from pid_jax.testing.problems import Problem, pad
from tests.shapes import BATCH, SMALL, decompose

pytestmark = pytest.mark.filterwarnings("error")

LEADING = (2, 3)
SPEC = PIDSpec(reduction=PCA(dim=2), bias_correction=NoCorrection())
UNREDUCED = PIDSpec(reduction=NoReduction(), bias_correction=NoCorrection())
REPLICATES, N, CORRELATIONS = 16, 2000, np.array([0.8, 0.6])


@pytest.fixture
def samples() -> list[np.ndarray]:
    """Two leading axes; both sources tell something about the target, which is not the same in all problems."""
    rng = np.random.default_rng(0)
    hidden = rng.normal(size=(*LEADING, 60, 3))
    sources = [hidden @ rng.normal(size=(3, p)) + 0.3 * rng.normal(size=(*LEADING, 60, p)) for p in (5, 4)]
    return [*sources, np.tanh(hidden) + 0.2 * rng.normal(size=hidden.shape)]


def values(estimate):
    numbers = [getattr(estimate.atoms, name) for name in ATOMS]
    return np.stack([*numbers, *(getattr(estimate.information, name) for name in INFORMATION), estimate.gap])


@pytest.fixture(scope="module")
def channels() -> list[np.ndarray]:
    """Two independent channels, one a source, seen through warped coordinates."""
    rng = np.random.default_rng(0)
    target, noise = rng.normal(size=(2, REPLICATES, N, 2))
    noisy = target * CORRELATIONS + np.sqrt(1 - CORRELATIONS**2) * noise
    other = rng.normal(size=noisy.shape)
    source_1 = np.stack([np.exp(noisy[..., 0]), other[..., 0] ** 3], axis=-1)
    source_2 = np.stack([np.arctan(other[..., 1]), -np.sinh(noisy[..., 1])], axis=-1)
    return [source_1, source_2, np.exp(target)]


def test_known_system_is_found_within_its_standard_error(channels, key):
    """I(T; X) of a correlation r is −½ log(1 − r²); its estimate has variance r² / n and bias d_1 d_t / (2 n)."""
    found = estimate_pid(*channels, spec=UNREDUCED, key=key)
    truth = -0.5 * np.log(1 - CORRELATIONS**2)
    error = CORRELATIONS / np.sqrt(N * REPLICATES)
    bias = 2 * 2 / N
    for estimated, k in ((found.information.i_1, 0), (found.information.i_2, 1)):
        assert abs(estimated.mean() - truth[k]) <= 4 * error[k] + bias
        # The spread of 16 replicates has a relative standard error of 1 / sqrt(30).
        assert estimated.std(ddof=1) == pytest.approx(CORRELATIONS[k] / np.sqrt(N), rel=4 / np.sqrt(30))
    assert abs(found.information.i_12.mean() - truth.sum()) <= 4 * np.hypot(*error) + 2 * bias
    for name, expected in zip(ATOMS, (0, *truth, 0), strict=True):
        assert abs(getattr(found.atoms, name).mean() - expected) <= 4 * np.hypot(*error) + 2 * bias, name
    assert found.samples == N
    assert found.dims == (2, 2, 2)


def test_units_of_a_column_change_nothing(channels, key):
    """Without reduction a coordinate may have any unit next to the others of its variable."""
    source_1, source_2, target = channels
    original = estimate_pid(source_1, source_2, target, spec=UNREDUCED, key=key)
    rescaled = estimate_pid(source_1 * [1.0, 1e6], source_2, target, spec=UNREDUCED, key=key)
    np.testing.assert_allclose(values(rescaled), values(original), rtol=0, atol=1e-9)


@pytest.mark.slow
def test_every_problem_of_a_batch_is_solved_by_itself(samples, key):
    batch = estimate_pid(*samples, spec=SPEC, key=key)
    assert batch.status.shape == LEADING
    assert batch.cov.shape == (*LEADING, 6, 6)
    assert batch.explained_variance.shape == batch.rank.shape == (*LEADING, 3)
    for index in ((0, 0), (1, 2)):
        one = estimate_pid(*(array[index] for array in samples), spec=SPEC, key=key)
        assert one.status.shape == ()
        np.testing.assert_allclose(values(batch)[:, *index], values(one), atol=1e-12)
        np.testing.assert_allclose(batch.explained_variance[index], one.explained_variance, rtol=1e-12)
    np.testing.assert_array_equal(batch.rank, 2)
    assert len(np.unique(batch.information.i_12)) == 6


@pytest.mark.slow
def test_covariance_of_the_result_gives_its_atoms(samples, key):
    estimate = estimate_pid(*samples, spec=SPEC, key=key)
    again = decompose([Problem(cov, estimate.dims) for cov in estimate.cov.reshape(6, 6, 6)])
    expected = values(estimate).reshape(-1, 6)
    np.testing.assert_allclose(np.stack([values(one) for one in again], axis=-1), expected, atol=1e-12)
    np.testing.assert_allclose(values(estimate)[:4].sum(axis=0), estimate.information.i_12, atol=1e-12)
    np.testing.assert_allclose(estimate.gap, 0, atol=1e-12)


@pytest.mark.slow
def test_target_without_leading_axes_is_the_same_for_all(samples, key):
    source_1, source_2, target = samples
    shared = estimate_pid(source_1, source_2, target[0, 1], spec=SPEC, key=key)
    repeated = estimate_pid(source_1, source_2, np.broadcast_to(target[0, 1], target.shape), spec=SPEC, key=key)
    np.testing.assert_allclose(values(shared), values(repeated), atol=1e-12)
    np.testing.assert_allclose(shared.explained_variance, repeated.explained_variance, rtol=1e-12)
    assert shared.cov.shape == repeated.cov.shape
    assert shared.rank.shape == repeated.rank.shape == (*LEADING, 3)


@pytest.mark.slow
def test_variables_of_low_rank_get_coordinates_without_variance(samples, key):
    source_1, source_2, target = samples
    source_2 = source_2.copy()
    source_2[1, 1] = source_2[1, 1, :, :1] * [1.0, -2.0, 0.5, 3.0] + 5.0
    plain, changed = (estimate_pid(source_1, s, target, spec=SPEC, key=key) for s in (samples[1], source_2))
    assert changed.rank[1, 1].tolist() == [2, 1, 2]
    assert changed.status[1, 1] == Status.OK
    np.testing.assert_array_equal(changed.cov[1, 1, 3], 0)
    untouched = np.ones(LEADING, bool)
    untouched[1, 1] = False
    np.testing.assert_array_equal(values(changed)[:, untouched], values(plain)[:, untouched])


@pytest.mark.slow
def test_copy_of_a_source_in_the_target_has_a_status(samples, key):
    source_1, source_2, target = samples
    target = target.copy()
    target[0, 2] = source_1[0, 2, :, :3]
    source_1 = source_1.copy()
    source_1[0, 2, :, 3:] = 0
    estimate = estimate_pid(source_1, source_2, target, spec=SPEC, key=key)
    assert estimate.status.tolist() == [[0, 0, Status.INFINITE_INFORMATION], [0, 0, 0]]
    atoms, information = np.split(values(estimate)[:7, 0, 2], [4])
    assert np.isnan(atoms).all()
    assert np.isinf(information).tolist() == [True, False, True]  # i_2 is there
    assert np.isfinite(np.delete(values(estimate).reshape(-1, 6), 2, axis=1)).all()


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.int16, np.longdouble, jnp.bfloat16])
def test_dtypes_are_computed_in_float64(samples, key, dtype):
    coarse = [np.asarray(np.round(8 * array), dtype) for array in samples]
    expected = estimate_pid(*(array.astype(np.float64) for array in coarse), spec=SPEC, key=key)
    for arrays in (coarse, [array.tolist() for array in coarse]):
        estimate = estimate_pid(*arrays, spec=SPEC, key=key)
        assert estimate.cov.dtype == estimate.atoms.unique_1.dtype == np.float64
        np.testing.assert_array_equal(values(estimate), values(expected))


def test_bad_problems_leave_the_others_untouched(reference):
    cov = pad(reference["wishart_0"].problem, SMALL, 0.0).cov
    covs = np.stack([cov] * BATCH)
    untouched = values(gaussian_pid(covs, SMALL))
    copied = np.eye(12)[[0, 1, 2, 3, 4, 5, 6, 7, 0, 9, 10, 11]]
    covs[1, 0, 1] = covs[1, 1, 0] = np.nan
    covs[2, 0, 1] = covs[2, 1, 0] = 2 * np.sqrt(covs[2, 0, 0] * covs[2, 1, 1])
    covs[3] = copied @ covs[3] @ copied.T
    estimate = gaussian_pid(covs, SMALL)
    statuses = [Status.OK, Status.NOT_FINITE, Status.NOT_PSD, Status.INFINITE_INFORMATION]
    assert estimate.status[:5].tolist() == [*statuses, Status.OK]
    assert np.isnan(values(estimate)[:, 1:3]).all()
    assert np.isnan(values(estimate)[:4, 3]).all()
    np.testing.assert_array_equal(values(estimate)[:, [0, *range(4, BATCH)]], untouched[:, 3:])


def test_infinity_is_a_status_without_a_warning():
    covs = np.stack([np.eye(12)] * BATCH)
    covs[1, 2, 2] = np.inf
    covs[2, 0, 8] = covs[2, 8, 0] = -np.inf
    status = gaussian_pid(covs, SMALL).status
    assert status[:4].tolist() == [Status.OK, Status.NOT_FINITE, Status.NOT_FINITE, Status.OK]


@pytest.mark.fast_cases(1)
@pytest.mark.parametrize("unit", [1e-180, 1e-30, 1e30, 1e180])
def test_units_of_a_covariance_change_nothing(reference, unit):
    covs = np.stack([pad(reference["noise_corr_2"].problem, SMALL, 0.0).cov] * BATCH)
    scaled = unit * covs
    scaled[:, 1, 0] *= 1 + 1e-15
    np.testing.assert_allclose(values(gaussian_pid(scaled, SMALL)), values(gaussian_pid(covs, SMALL)), atol=1e-11)


@pytest.mark.slow
def test_precision_is_float64_on_two_threads_at_once_and_stays_local(samples, key):
    expected = values(estimate_pid(*samples, spec=SPEC, key=key))
    barrier = Barrier(2)

    def work(_):
        found, dtypes = [], set()
        for _ in range(5):
            barrier.wait()
            found.append(values(estimate_pid(*samples, spec=SPEC, key=key)))
            dtypes.add(jnp.asarray(np.ones(2)).dtype)
        return found, dtypes, jax.config.jax_enable_x64

    with ThreadPoolExecutor(2) as pool:
        for found, dtypes, is_double in pool.map(work, range(2)):
            for one in found:
                np.testing.assert_array_equal(one, expected)
            assert dtypes == {np.dtype(np.float32)}
            assert not is_double
    assert jnp.ones(2).dtype == np.float32


def test_second_call_with_equal_shapes_does_not_compile(samples, key, compiled):
    estimate_pid(*samples, spec=SPEC, key=key)
    flat = [2 * array.reshape(6, *array.shape[2:]).astype(np.float32) for array in samples]
    compiled()
    estimate_pid(*flat, spec=PIDSpec(reduction=PCA(dim=2), bias_correction=NoCorrection()), key=jax.random.key(7))
    assert not compiled()


def test_settings_are_those_given(samples, key):
    assert estimate_pid(*samples, spec=SPEC, key=key).settings == spec_to_dict(SPEC)
    covs = np.stack([np.eye(12)] * BATCH)
    estimate = gaussian_pid(covs, SMALL, redundancy=MMI(), samples=77)
    assert estimate.settings == {"redundancy": {"method": "MMI", "rank_cut": 1e-13}}
    assert estimate.samples == 77


@pytest.mark.slow
def test_stages_can_be_left_out(samples, key):
    spec = PIDSpec(NoReduction(), NoGaussianization(), SampleCovariance(), MMI())
    estimate = estimate_pid(*samples, spec=spec, key=key)
    expected = np.cov(np.concatenate([array[1, 0] for array in samples], axis=-1), rowvar=False)
    np.testing.assert_allclose(estimate.cov[1, 0], expected, atol=1e-12)
    assert estimate.dims == (5, 4, 3)
