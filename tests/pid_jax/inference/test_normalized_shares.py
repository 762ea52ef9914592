"""Shares against null systems: laws of the null, invariance, intervals and refusals."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pid_jax.decompose.pid import gaussian_pid
from pid_jax.decompose.result import ATOMS, PIDEstimate
from pid_jax.gaussian.whiten import whiten_full_rank
from pid_jax.inference.normalized_shares import NormalizedShares, normalize_shares
from pid_jax.inference.null_shares import null_shares
from pid_jax.inference.null_systems import SystemSpectra, draw_orientation, random_system, spectra_of
from pid_jax.pid.atoms import PIDAtoms
from pid_jax.pid.broja import BROJA
from pid_jax.pid.mmi import MMI
from pid_jax.runtime.precision import double_precision
from pid_jax.testing.problems import apply_maps, random_channel

DIMS = (3, 2, 4)
SPECTRA = SystemSpectra(gains_1=np.array([1.5, 0.8, 0.2]), gains_2=np.array([1.0, 0.3]), between=np.array([0.7, 0.1]))
I_12 = 0.9


def values(atoms: PIDAtoms) -> np.ndarray:
    return np.stack([getattr(atoms, name) for name in ATOMS])


def drawn_systems(count: int, seed: int) -> np.ndarray:
    """Covariances of null systems of `SPECTRA`."""

    def one(key: jax.Array) -> jax.Array:
        orientation = draw_orientation(key, DIMS, jnp.float64)
        return random_system(jax.tree.map(jnp.asarray, SPECTRA), orientation, jnp.asarray(I_12), DIMS).cov

    with double_precision():
        return np.asarray(jax.jit(jax.vmap(one))(jax.random.split(jax.random.key(seed), count)))


@pytest.fixture(scope="module")
def of_null() -> NormalizedShares:
    return normalize_shares(gaussian_pid(drawn_systems(400, 1), DIMS), key=jax.random.key(2), draws=400)


def test_null_systems_have_the_information_and_the_spectra():
    cov = drawn_systems(8, 0)
    np.testing.assert_allclose(gaussian_pid(cov, DIMS).information.i_12, I_12, rtol=1e-9)
    with double_precision():
        of = jax.jit(jax.vmap(lambda one: spectra_of(whiten_full_rank(one, DIMS, 1e-13)[0])))
        found = jax.tree.map(np.asarray, of(jnp.asarray(cov)))
    np.testing.assert_allclose(found.between, np.tile(SPECTRA.between, (8, 1)), atol=1e-9)
    for mine, wanted in ((found.gains_1, SPECTRA.gains_1), (found.gains_2, SPECTRA.gains_2)):
        np.testing.assert_allclose(mine / mine[:, :1], np.tile(wanted / wanted[0], (8, 1)), atol=1e-7)


def test_percentiles_of_null_systems_are_uniform(of_null):
    place = np.sort(values(of_null.percentile), axis=1)
    uniform = (np.arange(400) + 0.5) / 400
    # Two-sample Kolmogorov-Smirnov distance of 400 and 400 is above 0.115 with probability 0.01; four of them.
    assert np.abs(place - uniform).max() < 0.13


def test_shares_of_null_systems_are_at_chance_on_average(of_null):
    above = values(of_null.above_chance)
    error = above.std(axis=1) / np.sqrt(400) * np.sqrt(2)
    assert (np.abs(above.mean(axis=1)) < 4 * error).all()
    np.testing.assert_allclose(above.sum(axis=0), 0, atol=1e-12)  # shares sum to one, and so do those of the null


def test_linear_maps_of_variables_change_nothing():
    rng = np.random.default_rng(0)
    problem = random_channel(rng, (2, 3, 2), (0.7, 0.7))
    mapped = apply_maps(problem, [rng.standard_normal((d, d)) for d in problem.dims])
    one, other = (normalize_shares(gaussian_pid(*p), key=jax.random.key(0)) for p in (problem, mapped))
    np.testing.assert_allclose(values(one.above_chance), values(other.above_chance), atol=1e-6)
    np.testing.assert_allclose(values(one.percentile), values(other.percentile), atol=0.011)


def with_noise(noise: list[float]) -> np.ndarray:
    rng = np.random.default_rng(4)
    gain = np.hstack([rng.standard_normal((4, 4)), 0.5 * np.eye(4)])
    signal = gain @ gain.T
    return np.stack([np.block([[np.eye(8), gain.T], [gain, signal + n * np.eye(4)]]) for n in noise])


def test_percentiles_stay_where_noise_moves_shares():
    found = normalize_shares(gaussian_pid(with_noise([0.01, 0.1, 1.0]), (4, 4, 4)), key=jax.random.key(0))
    moved, stayed = np.ptp(values(found.share), axis=1), np.ptp(values(found.percentile), axis=1)
    assert moved.max() > 0.2
    assert stayed[moved > 0.2].max() <= 0.05


def test_keys_decide_and_problems_do_not():
    cov = with_noise([0.1, 1.0])
    both = normalize_shares(gaussian_pid(cov, (4, 4, 4)), key=jax.random.key(0))
    second = normalize_shares(gaussian_pid(cov[1], (4, 4, 4)), key=jax.random.key(0))
    np.testing.assert_allclose(both.null.synergy[1], second.null.synergy, atol=1e-12)
    other = normalize_shares(gaussian_pid(cov[1], (4, 4, 4)), key=jax.random.key(1))
    assert np.abs(other.null.synergy - second.null.synergy).max() > 1e-3


def test_the_null_is_decomposed_by_the_measure_of_the_estimate():
    estimate = gaussian_pid(with_noise([0.1]), (4, 4, 4), redundancy=MMI())
    found = normalize_shares(estimate, key=jax.random.key(0))
    assert np.minimum(found.null.unique_1, found.null.unique_2).max() == pytest.approx(0, abs=1e-9)


def replicates_of(estimate: PIDEstimate, scale: float) -> PIDAtoms:
    rng = np.random.default_rng(5)
    return jax.tree.map(lambda x: x + scale * rng.standard_normal((100, *x.shape)), estimate.atoms)


def test_intervals_widen_with_the_scatter_of_replicates():
    estimate = gaussian_pid(with_noise([0.1, 1.0]), (4, 4, 4))
    widths = []
    for scale in (0.0, 0.05):
        found = normalize_shares(estimate, key=jax.random.key(0), replicates=replicates_of(estimate, scale))
        for name in ("percentile", "above_chance"):
            low, value, high = (values(getattr(found, f"{name}{end}")) for end in ("_lower", "", "_upper"))
            assert ((low <= value) & (value <= high)).all()
        widths.append(values(found.percentile_upper) - values(found.percentile_lower))
    assert (widths[0] > 0).all()  # the null itself is drawn
    assert widths[1].mean() > 1.5 * widths[0].mean()


def test_bits_change_amounts_alone():
    estimate = gaussian_pid(with_noise([0.1]), (4, 4, 4))
    replicates = replicates_of(estimate, 0.05)
    nats = normalize_shares(estimate, key=jax.random.key(0), replicates=replicates)
    in_bits = jax.tree.map(lambda x: x / np.log(2), replicates)
    bits = normalize_shares(estimate.in_bits(), key=jax.random.key(0), replicates=in_bits)
    np.testing.assert_allclose(values(bits.percentile_lower), values(nats.percentile_lower), atol=1e-9)
    np.testing.assert_allclose(bits.i_12, nats.in_bits().i_12)
    assert (bits.unit, nats.unit) == ("bits", "nats")


def test_what_has_no_share_has_no_position():
    cov = with_noise([0.1, 1e6])
    found = normalize_shares(gaussian_pid(cov, (4, 4, 4)), key=jax.random.key(0))
    assert np.isfinite(found.percentile.synergy[0])
    assert np.isnan(values(found.percentile)[:, 1]).all()
    assert np.isnan(values(found.above_chance)[:, 1]).all()


def test_a_source_without_gain_has_null_systems_with_some():
    spectra = dataclasses.replace(SPECTRA, gains_2=np.zeros(2))
    one = jax.tree.map(lambda x: x[None], spectra)
    found = null_shares(one, np.array([I_12]), DIMS, BROJA(), jax.random.key(0))
    np.testing.assert_allclose(found.sum(axis=-1), 1, atol=1e-9)
    assert found[:, 0, ATOMS.index("unique_2")].max() > 0.2


def test_a_result_survives_its_file(tmp_path):
    estimate = gaussian_pid(with_noise([0.1, 1.0]), (4, 4, 4))
    for replicates in (None, replicates_of(estimate, 0.05)):
        found = normalize_shares(estimate, key=jax.random.key(0), replicates=replicates)
        again = NormalizedShares.load(found.save(tmp_path / "shares.nc"))
        np.testing.assert_array_equal(values(again.percentile), values(found.percentile))
        assert (again.percentile_lower is None) == (replicates is None)
        assert "percentile" in repr(again)


@pytest.mark.parametrize(
    ("change", "error", "name"),
    [
        ({"estimate": 3}, TypeError, "estimate"),
        ({"key": 0}, TypeError, "key"),
        ({"draws": 3}, ValueError, "draws"),
        ({"draws": 30.5}, ValueError, "draws"),
        ({"level": 1.0}, ValueError, "level"),
        ({"replicates": np.zeros((100, 4))}, TypeError, "replicates"),
        ({"replicates": PIDAtoms(**dict.fromkeys(ATOMS, np.zeros((5, 1))))}, ValueError, "replicates"),
        ({"replicates": PIDAtoms(**dict.fromkeys(ATOMS, np.zeros((50, 2))))}, ValueError, "replicates"),
    ],
)
def test_refusals_name_the_argument(change, error, name):
    estimate = gaussian_pid(with_noise([0.1]), (4, 4, 4))
    arguments = {"estimate": estimate, "key": jax.random.key(0)} | change
    with pytest.raises(error, match=name):
        normalize_shares(arguments.pop("estimate"), **arguments)
