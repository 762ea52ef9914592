"""Directions of the target that only one source, or both, tell about."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given

from pid_jax.decompose.pid import gaussian_pid
from pid_jax.decompose.result import VARIABLES
from pid_jax.decompose.spectrum import PARTS, unique_spectrum
from pid_jax.gaussian.joint import JointGaussian
from pid_jax.gaussian.status import Status
from pid_jax.pid.spectrum import broja_spectrum
from pid_jax.runtime.precision import double_precision
from pid_jax.testing.problems import apply_maps, block_rows, linear_map, pad, random_channel
from pid_jax.testing.strategies import problems
from pid_jax.testing.systems import parallel_channels

pytestmark = pytest.mark.filterwarnings("error")

COMMON = (4, 4, 4)
SNR_1, SNR_2 = np.array([8.0, 0.0, 3.0, 0.0]), np.array([0.0, 2.0, 3.0, 0.0])


@given(problem=problems())
def test_amounts_sum_to_the_atoms(problem):
    wide = pad(problem, COMMON, 0.0)
    spectrum, atoms = unique_spectrum(*wide), gaussian_pid(*wide).atoms
    for part in PARTS:
        np.testing.assert_allclose(getattr(spectrum, part).sum(), getattr(atoms, part), rtol=0, atol=1e-8)
    assert (spectrum.unique_1 >= 0).all()
    assert (spectrum.unique_2 >= 0).all()
    assert (np.diff(spectrum.unique_2 - spectrum.unique_1) >= 0).all()
    assert (np.diff(spectrum.redundancy) <= 0).all()


def told(cov, dims, weights, source):
    """Information of one source about a read-out, from its own covariance."""
    rows = block_rows(dims)
    at, at_t = rows[source], rows[2]
    cross = cov[np.ix_(at, at_t)] @ weights
    explained = cross @ np.linalg.pinv(cov[np.ix_(at, at)], rcond=1e-12, hermitian=True) @ cross
    return -0.5 * np.log1p(-explained / (weights @ cov[np.ix_(at_t, at_t)] @ weights))


@given(problem=problems(full_rank=True))
def test_amounts_are_differences_of_what_the_sources_tell(problem):
    cov, dims = wide = pad(problem, COMMON, 1.0)
    spectrum = unique_spectrum(*wide)
    target = cov[8:, 8:]
    for i, weights in enumerate(spectrum.unique.readouts):
        ahead = told(cov, dims, weights, 0) - told(cov, dims, weights, 1)
        np.testing.assert_allclose(spectrum.unique_1[i] - spectrum.unique_2[i], ahead, rtol=0, atol=1e-7)
    for directions in (spectrum.unique, spectrum.shared):
        variances = np.einsum("ij,jk,ik->i", directions.readouts, target, directions.readouts)
        np.testing.assert_allclose(variances, 1, atol=1e-8)
        for k, at in enumerate(block_rows(dims)[:2]):
            weights = np.linalg.solve(cov[np.ix_(at, at)], cov[np.ix_(at, np.arange(8, 12))]).T
            np.testing.assert_allclose(directions.predictors[k], directions.readouts @ weights, atol=1e-5)
    shared = spectrum.shared.readouts
    np.testing.assert_allclose(shared @ target @ shared.T, np.eye(4), atol=1e-7)


@pytest.mark.slow
def test_no_read_out_tells_more_than_the_first_directions():
    """U_1 is the largest lead of source_1 over source_2 about any read-outs of the target."""
    problem = random_channel(np.random.default_rng(0), (3, 3, 3), (1.5, 1.0))
    best = gaussian_pid(*problem).atoms.unique_1
    rng = np.random.default_rng(1)
    for _ in range(200):
        drawn = linear_map(rng, 2, 3, 10.0)
        found = gaussian_pid(*apply_maps(problem, [np.eye(3), np.eye(3), drawn])).information
        assert found.i_1 - found.i_2 <= best + 1e-10
    spectrum = unique_spectrum(*problem)
    only_1 = spectrum.unique.readouts[spectrum.unique_1 > 0]
    assert len(only_1) == 2
    found = gaussian_pid(*apply_maps(problem, [np.eye(3), np.eye(3), only_1])).information
    np.testing.assert_allclose(found.i_1 - found.i_2, best, atol=1e-12)


@pytest.fixture
def hidden_channels():
    """Four channels, one for each source alone, one for both, one for none, behind random maps."""
    rng = np.random.default_rng(0)
    maps = [linear_map(rng, 4, 4, 3.0) for _ in range(3)]
    return apply_maps(parallel_channels(SNR_1, SNR_2).problem, maps), maps


def test_known_directions_are_found(hidden_channels):
    problem, maps = hidden_channels
    spectrum = unique_spectrum(*problem)
    back = np.linalg.inv(maps[2])  # row i reads coordinate i of the channels
    for found, coordinate in (
        (spectrum.unique.readouts[0], 0),
        (spectrum.unique.readouts[-1], 1),
        (spectrum.shared.readouts[0], 2),
    ):
        expected = back[coordinate] * np.sign(back[coordinate][np.abs(back[coordinate]).argmax()])
        np.testing.assert_allclose(found, expected, atol=1e-10)
    np.testing.assert_allclose(spectrum.unique_1, [0.5 * np.log(9), 0, 0, 0], atol=1e-12)
    np.testing.assert_allclose(spectrum.unique_2, [0, 0, 0, 0.5 * np.log(3)], atol=1e-12)
    np.testing.assert_allclose(spectrum.redundancy, [0.5 * np.log(4), 0, 0, 0], atol=1e-12)


def test_samples_are_projected_on_what_only_one_source_knows(hidden_channels):
    problem, maps = hidden_channels
    spectrum = unique_spectrum(*problem)
    rng = np.random.default_rng(1)
    target, noise_1, noise_2 = rng.normal(size=(3, 20_000, 4))
    variables = {
        "source_1": (target * np.sqrt(SNR_1) + noise_1) @ maps[0].T,
        "source_2": (target * np.sqrt(SNR_2) + noise_2) @ maps[1].T,
        "target": target @ maps[2].T,
    }
    for part, coordinate in zip(PARTS, (0, 1, 2), strict=True):
        scores = spectrum.project(variables["target"], part)
        assert scores.shape == (20_000, 1)
        assert abs(np.corrcoef(scores[:, 0], target[:, coordinate])[0, 1]) > 1 - 1e-12
        snr = max(SNR_1[coordinate], SNR_2[coordinate])
        source = "source_2" if part == "unique_2" else "source_1"
        predicted = spectrum.project(variables[source], part, source)[:, 0]
        expected = np.sqrt(snr / (1 + snr))
        # A correlation r of n Gaussian samples has standard error (1 − r²) / √n.
        error = (1 - expected**2) / np.sqrt(20_000)
        assert abs(np.corrcoef(predicted, target[:, coordinate])[0, 1]) == pytest.approx(expected, abs=4 * error)


def test_leading_axes_units_and_indices(hidden_channels):
    cov, dims = hidden_channels[0]
    covs = np.stack([cov, np.full_like(cov, np.nan), 2 * cov]).reshape(3, 1, 12, 12)
    spectrum = unique_spectrum(covs, dims)
    assert spectrum.status.tolist() == [[0], [Status.NOT_FINITE], [0]]
    assert spectrum.unique.readouts.shape == (3, 1, 4, 4)
    assert spectrum.shared.predictors[1].shape == (3, 1, 4, 4)
    assert np.isnan(spectrum.redundancy[1]).all()
    assert np.isnan(spectrum.unique.predictors[0][1]).all()
    one = spectrum[2, 0]
    assert one.status.shape == ()
    np.testing.assert_allclose(one.unique.readouts, unique_spectrum(2 * cov, dims).unique.readouts, atol=1e-12)
    for index in ((..., 0), np.array([True, False, True]), (slice(None, None, -1), 0), ([2, 0],), ..., None):
        some, expected = spectrum[index], np.arange(3).reshape(3, 1)[index]
        assert some.status.shape == expected.shape == some.unique_1.shape[:-1] == some.unique.readouts.shape[:-2]
        flat = expected.ravel()
        np.testing.assert_array_equal(some.shared.readouts.reshape(-1, 4, 4), spectrum.shared.readouts[flat, 0])
    bits = spectrum.in_bits()
    assert (spectrum.unit, bits.unit, bits.in_bits().unit) == ("nats", "bits", "bits")
    np.testing.assert_allclose(bits.unique_1, spectrum.unique_1 / np.log(2))
    np.testing.assert_array_equal(bits.unique.readouts, spectrum.unique.readouts)


@pytest.mark.slow
def test_directions_do_not_depend_on_the_route(hidden_channels):
    """The same problem among coordinates without variance, solved by eigenvectors."""
    problem, _ = hidden_channels
    plain, wide = unique_spectrum(*problem), unique_spectrum(*pad(problem, (5, 5, 5), 0.0))
    first, last = wide.unique.readouts[0], wide.unique.readouts[-1]
    np.testing.assert_allclose(first[:4], plain.unique.readouts[0], atol=1e-10)
    np.testing.assert_allclose(last[:4], plain.unique.readouts[-1], atol=1e-10)
    assert first[4] == last[4] == 0


def test_wrong_uses_are_refused(hidden_channels):
    spectrum = unique_spectrum(*hidden_channels[0])
    samples = np.zeros((10, 4))
    covs = np.stack([hidden_channels[0].cov, np.ones((12, 12)), np.eye(12)])
    many = unique_spectrum(covs, (4, 4, 4))
    for call, text in (
        (lambda: spectrum.project(samples, "synergy"), r"part must be one of .* got 'synergy'"),
        (lambda: spectrum.project(samples, "unique_1", "vision"), r"variable must be one of .* got 'vision'"),
        (lambda: spectrum.project(np.zeros((10, 3)), "unique_1"), r"samples have 3 dimensions, target has 4"),
        (lambda: many.project(samples, "unique_1"), r"shape \(3,\): choose one first"),
    ):
        with pytest.raises(ValueError, match=text):
            call()
    with pytest.raises(ValueError, match="INFINITE_INFORMATION"):
        many[1].project(samples, "unique_1")


@pytest.mark.slow
def test_core_runs_under_jit_and_vmap():
    problem = random_channel(np.random.default_rng(0), (2, 3, 2), (1.0, 1.0))
    with double_precision():
        solve = jax.jit(jax.vmap(lambda cov: broja_spectrum(JointGaussian(cov, problem.dims))))
        found = jax.tree.map(np.asarray, solve(jnp.asarray(problem.cov)[None]))
    np.testing.assert_allclose(found.unique_1[0], unique_spectrum(*problem).unique_1, atol=1e-12)
    assert len(found.unique.predictors) == len(VARIABLES) - 1
