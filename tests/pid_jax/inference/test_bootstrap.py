"""Bootstrap intervals of atoms, where the truth is known."""

import json

import jax
import numpy as np
import pytest
from scipy.stats import norm

from pid_jax import (
    BROJA,
    MMI,
    OAS,
    Basic,
    BCa,
    Block,
    Calibrated,
    Copula,
    NoCorrection,
    NoGaussianization,
    NoReduction,
    Pairs,
    Parametric,
    ParametricBootstrap,
    Percentile,
    PIDSpec,
    bootstrap_pid,
    estimate_pid,
    gaussian_pid,
    use_devices,
)
from pid_jax.decompose.result import ATOMS
from pid_jax.inference.influence import acceleration_of_gaussians, acceleration_of_rows
from pid_jax.inference.intervals import interval_from
from pid_jax.inference.replicates import draw_counts
from pid_jax.testing.problems import random_channel

SPEC = PIDSpec(NoReduction(), NoGaussianization())
COV, DIMS = random_channel(np.random.default_rng(0), (2, 2, 2), (1.0, 0.6))
N = 400


def draw(sets, samples=N, seed=0):
    values = np.random.default_rng(seed).multivariate_normal(np.zeros(6), COV, size=(sets, samples))
    return np.split(values, 3, axis=-1)


def stacked(atoms):
    return np.stack([np.asarray(getattr(atoms, name)) for name in ATOMS], axis=-1)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "interval"),
    [
        (Parametric(), Calibrated()),
        (Parametric(), Basic()),
        (Parametric(), BCa()),
        (Pairs(), Percentile()),
        (Pairs(), BCa()),
        (Block(3), Basic()),
    ],
)
def test_intervals_hold_the_truth(kind, interval, key):
    """Of 60 intervals of each atom 54 are expected at the level .9; 45 is four standard deviations below."""
    found = bootstrap_pid(*draw(60), spec=SPEC, key=key, resamples=200, level=0.9, kind=kind, interval=interval)
    lower, upper = stacked(found.lower), stacked(found.upper)
    truth = stacked(gaussian_pid(COV, DIMS).atoms)
    inside = ((lower <= truth) & (upper >= truth)).sum(axis=0)
    assert (inside >= 45).all()
    assert inside.sum() < 240
    # Standard errors are those that estimates of many data sets have, within a third.
    spread = stacked(found.estimate).std(axis=0)
    np.testing.assert_allclose(stacked(found.standard_error).mean(axis=0), spread, rtol=0.35)


def test_the_estimate_is_that_of_estimate_pid_and_axes_are_kept(key):
    source_1, source_2, target = draw(6)
    shaped = source_1.reshape(2, 3, N, 2)
    resamples = np.int64(200)
    found = bootstrap_pid(shaped, source_2.reshape(2, 3, N, 2), target[0], spec=SPEC, key=key, resamples=resamples)
    assert json.loads(json.dumps(found.settings))["resamples"] == 200
    assert found.lower.synergy.shape == (2, 3)
    assert found.replicates.synergy.shape == (200, 2, 3)
    for_estimate, _ = jax.random.split(key)
    same = estimate_pid(shaped, source_2.reshape(2, 3, N, 2), target[0], spec=SPEC, key=for_estimate)
    np.testing.assert_allclose(stacked(found.estimate), stacked(same.atoms), atol=1e-12)
    np.testing.assert_allclose(stacked(found.replicates).mean(axis=0), stacked(found.estimate), atol=1e-12)
    assert repr(found).startswith(
        "Parametric bootstrap, 200 replicates, 95% intervals (Calibrated) of PIDEstimate of 6"
    )
    bits = found.in_bits()
    assert bits.unit == bits.estimated.unit == "bits"
    np.testing.assert_allclose(bits.upper.synergy, found.upper.synergy / np.log(2))


def test_replicates_for_arviz(key):
    source_1, source_2, target = draw(2)
    found = bootstrap_pid(source_1, source_2, target, spec=SPEC, key=key, resamples=100, level=0.9).in_bits()
    tree = found.to_arviz(axes="layer")
    group = tree["bootstrap"]
    assert group["synergy"].dims == ("chain", "draw", "layer")
    assert group["synergy"].shape == (1, 100, 2)
    np.testing.assert_array_equal(group["synergy"].values[0], found.replicates.synergy)
    assert group.attrs["units"] == "bits"
    with pytest.raises(ValueError, match=r"leading axes need names that draws do not use, got \['draw'\]"):
        found.to_arviz(axes="draw")


@pytest.mark.slow
def test_the_memory_budget_changes_nothing(key):
    def run(kind, budget_gb):
        with use_devices(budget_gb=budget_gb):
            return bootstrap_pid(*draw(3), spec=SPEC, key=key, resamples=200, kind=kind, interval=Basic())

    small, large = (run(Pairs(), budget) for budget in (1e-4, 2.0))
    np.testing.assert_allclose(stacked(small.replicates), stacked(large.replicates), atol=1e-12)
    small, large = (run(Parametric(), budget) for budget in (1e-4, 2.0))
    assert stacked(small.replicates).shape == stacked(large.replicates).shape
    np.testing.assert_allclose(stacked(small.standard_error), stacked(large.standard_error), rtol=0.4)


@pytest.mark.slow
def test_refits_vary_more_than_latents(key):
    """A copula fitted again brings its own scatter, and with it intervals that are not shorter."""
    spec = PIDSpec(NoReduction(), Copula())
    refitted, latents = (
        bootstrap_pid(*draw(1), spec=spec, key=key, resamples=100, level=0.9, kind=kind, interval=Basic())
        for kind in (Pairs(refit=True), Pairs())
    )
    ratio = stacked(refitted.standard_error) / stacked(latents.standard_error)
    assert 0.6 < ratio.mean() < 1.7
    assert not np.allclose(ratio, 1)


@pytest.mark.slow
def test_rows_of_a_singular_problem_and_mmi(key):
    source_1, source_2, target = draw(2)
    source_2 = np.concatenate([source_2, source_2[..., :1] + source_2[..., 1:]], axis=-1)
    spec = PIDSpec(NoReduction(), NoGaussianization(), redundancy=MMI())
    for kind in (Pairs(), Parametric()):
        found = bootstrap_pid(source_1, source_2, target, spec=spec, key=key, resamples=200, kind=kind, interval=BCa())
        assert np.isfinite(stacked(found.lower)).all()
        assert (stacked(found.standard_error) > 0).any()


@pytest.mark.slow
def test_the_default_interval_suits_the_correction(key):
    spec = PIDSpec(NoReduction(), NoGaussianization(), bias_correction=ParametricBootstrap())
    assert bootstrap_pid(*draw(1), spec=spec, key=key, resamples=200).settings["interval"] == {"method": "BCa"}
    assert bootstrap_pid(*draw(1), spec=SPEC, key=key, resamples=200).settings["interval"] == {"method": "Calibrated"}


@pytest.mark.slow
def test_neighbors_that_depend_on_each_other_are_noticed(key):
    values = np.random.default_rng(3).multivariate_normal(np.zeros(6), COV, size=N + 1)
    smooth = np.split(values[1:] + values[:-1], 3, axis=-1)  # correlation with the row before: one half
    with pytest.warns(UserWarning, match=r"up to 0\.[456].*Block\(length\)"):
        found = bootstrap_pid(*smooth, spec=SPEC, key=key, resamples=200, kind=Pairs())
    assert "Block(length)" in found.notes[0]
    blocks = bootstrap_pid(*smooth, spec=SPEC, key=key, resamples=400, kind=Block(20))
    assert not blocks.notes
    assert stacked(blocks.standard_error).mean() > 1.1 * stacked(found.standard_error).mean()


def test_blocks_are_rows_in_a_row():
    counts = draw_counts(np.random.default_rng(0), 12, 4)
    assert counts.sum() == 12
    rows = np.flatnonzero(counts)
    assert all(((row - 1) % 12 in rows) or ((row + 1) % 12 in rows) for row in rows)
    alone = draw_counts(np.random.default_rng(0), 1000, 1)
    assert alone.sum() == 1000
    assert np.mean(alone == 0) == pytest.approx(np.exp(-1), abs=0.05)


def test_intervals_of_normal_replicates_are_those_of_the_normal():
    """Basic, percentile and BCa without acceleration agree where replicates are normal around the estimate."""
    errors = norm.ppf((np.arange(4000) + 0.5) / 4000)[:, None] * [1.0, 2.0] + 7.0
    for kind in (Basic(), Percentile(), BCa()):
        lower, upper = interval_from(np.asarray([3.0, 5.0]), errors, 0.95, kind, np.zeros(2))
        np.testing.assert_allclose(lower, [3 - 1.96, 5 - 3.92], atol=0.01)
        np.testing.assert_allclose(upper, [3 + 1.96, 5 + 3.92], atol=0.01)


def test_acceleration_moves_both_ends_the_same_way():
    errors = norm.ppf((np.arange(4000) + 0.5) / 4000)[:, None]
    (low,), (high,) = interval_from(np.zeros(1), errors, 0.95, BCa(), np.asarray([0.1]))
    assert low > -1.96 + 0.1
    assert high > 1.96 + 0.1


@pytest.mark.slow
def test_acceleration_of_gaussian_rows_is_that_of_the_gaussian():
    """Sixth moments of a quadratic form scatter by 1e-5 in 400,000 rows, where redundancy has 7e-5."""
    rows = np.random.default_rng(4).multivariate_normal(np.zeros(6), COV, size=(1, 400_000))
    sampled = stacked(acceleration_of_rows(COV[None], DIMS, BROJA(), rows))
    exact = stacked(acceleration_of_gaussians(COV[None], DIMS, BROJA(), 400_000))
    np.testing.assert_allclose(sampled, exact, atol=3e-5)
    assert (exact[:, [0, 3]] > 4e-5).all()


@pytest.mark.parametrize(
    ("changes", "kind", "message"),
    [
        ({"resamples": 199}, ValueError, r"resamples=199 are too few for level=0.95.*takes 200"),
        ({"level": 1.0}, ValueError, r"level needs a number between 0 and 1"),
        ({"kind": "pairs"}, TypeError, r"kind needs Parametric\(\), Pairs\(\) or Block"),
        ({"interval": 3}, TypeError, r"interval needs Calibrated\(\)"),
        ({"kind": Pairs(), "interval": Calibrated()}, ValueError, r"Calibrated\(\) needs kind=Parametric\(\)"),
        (
            {
                "spec": PIDSpec(NoReduction(), NoGaussianization(), bias_correction=ParametricBootstrap()),
                "interval": Calibrated(),
            },
            ValueError,
            r"Calibrated\(\) needs bias_correction=IndirectInference\(\)",
        ),
        ({"kind": Block(100)}, ValueError, r"leaves fewer than 5 blocks in 400 rows: use 80"),
        ({"key": 0}, TypeError, r"key needs a JAX random key"),
        ({"spec": PIDSpec(NoReduction(), covariance=OAS())}, ValueError, r"covariance=SampleCovariance\(\)"),
        ({"spec": PIDSpec(NoReduction(), bias_correction=NoCorrection())}, ValueError, r"bias_correction"),
    ],
)
def test_bad_arguments(changes, kind, message, key):
    arguments = {"spec": SPEC, "key": key, "resamples": 200} | changes
    with pytest.raises(kind, match=message):
        bootstrap_pid(*draw(1), **arguments)


def test_settings_of_blocks_are_checked():
    with pytest.raises(ValueError, match=r"Block\(length=...\)"):
        Block(0)
    with pytest.raises(ValueError, match=r"Pairs\(refit=...\)"):
        Pairs(refit=1)


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_replicates_of_too_few_different_rows_do_not_hide_the_scatter(key):
    """Of 11 rows drawn with replacement 7 differ, on average: 6 dimensions take as many."""
    found = bootstrap_pid(*draw(2, 11), spec=SPEC, key=key, resamples=100, level=0.9, kind=Pairs())
    assert (stacked(found.standard_error) > 0).all()
    assert (stacked(found.upper) > stacked(found.lower)).all()
    assert np.isfinite(stacked(found.replicates)).all()
    assert any("repeated" in note for note in found.notes)
