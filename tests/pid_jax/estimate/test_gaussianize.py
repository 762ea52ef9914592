"""Which map makes a problem Gaussian, what happens to columns that none can, and what is taken off as bias."""

from dataclasses import replace

import jax
import numpy as np
import pytest

from pid_jax.bias.sampling import wishart_moments
from pid_jax.decompose.pid import gaussian_pid
from pid_jax.decompose.result import ATOMS, PIDEstimate
from pid_jax.estimate.by_flow import fill_constant
from pid_jax.estimate.samples import estimate_pid
from pid_jax.flow.compare import choose_gaussianizer
from pid_jax.pid.broja import BROJA
from pid_jax.settings.estimate import PCA, LedoitWolf, NoCorrection, NoReduction, PIDSpec
from pid_jax.settings.gaussianize import Auto, Copula, NoGaussianization, RealNVP
from pid_jax.testing.problems import random_channel
from pid_jax.testing.warps import warped_gaussian

FLOW = RealNVP(couplings=4, width=16, epochs=120, batch_size=500, evaluations=3, weight_decay=1.0, input_noise=0.1)
N = 500


def atoms_of(estimate) -> np.ndarray:
    return np.stack([getattr(estimate.atoms, name) for name in ATOMS], axis=-1)


@pytest.fixture(scope="module")
def problems() -> list[np.ndarray]:
    """A Gaussian problem, one with warped coordinates, one with bent pairs."""
    plain = warped_gaussian("banana", 2, N, 0, strength=0.0)
    bent = warped_gaussian("banana", 2, N, 0, strength=1.0)
    pairs = ((x.source_1[0], x.source_2[0], x.target) for x in (plain, bent))
    return [np.stack([x, np.exp(1.5 * x), y]) for x, y in zip(*pairs, strict=True)]


@pytest.mark.slow
def test_the_best_map_is_found_for_each_problem(problems, key):
    spec = PIDSpec(NoReduction(), Auto(FLOW))
    found = estimate_pid(*problems, spec=spec, key=key)
    assert found.gaussianizer.tolist() == ["NoGaussianization", "Copula", "RealNVP"]
    assert "NoGaussianization (1)" in repr(found)
    for place, way in enumerate((NoGaussianization(), Copula())):
        alone = estimate_pid(*(x[place] for x in problems), spec=PIDSpec(NoReduction(), way), key=key)
        np.testing.assert_allclose(found.cov[place], alone.cov, atol=1e-9)
    flow = estimate_pid(*problems, spec=PIDSpec(NoReduction(), FLOW), key=key)
    np.testing.assert_array_equal(found.cov[2], flow.cov[2])
    np.testing.assert_array_equal(atoms_of(found)[2], atoms_of(flow)[2])
    heads = [sentence.split(": ")[0] for sentence in flow.findings if "held-out samples are as likely" in sentence]
    assert heads == ["problem 0", "problem 1"]
    assert not any("held-out" in sentence for sentence in found.findings)  # of the maps that are used, none is a flow


@pytest.mark.slow
def test_flow_comes_closer_to_the_truth_than_ranks(problems, key):
    truth = atoms_of(gaussian_pid(warped_gaussian("banana", 2, N, 0).cov[0], (2, 2, 2)))
    flow, ranks = (
        estimate_pid(*(x[2:] for x in problems), spec=PIDSpec(NoReduction(), way), key=key) for way in (FLOW, Copula())
    )
    error, error_of_ranks = (np.abs(atoms_of(found)[0] - truth).mean() for found in (flow, ranks))
    assert error < 0.6 * error_of_ranks
    assert flow.flow.dims == (2, 2, 2)


@pytest.mark.slow
def test_corrected_numbers_keep_their_identities_and_their_files(problems, key, tmp_path):
    found = estimate_pid(*problems, spec=PIDSpec(NoReduction(), FLOW), key=key)
    np.testing.assert_allclose(atoms_of(found).sum(axis=-1), found.information.i_12, atol=1e-12)
    np.testing.assert_allclose(found.atoms.redundancy + found.atoms.unique_2, found.information.i_2, atol=1e-12)
    plain = gaussian_pid(found.cov, found.dims)
    for name in ATOMS:
        total = getattr(found.atoms, name) + getattr(found.bias, name)
        np.testing.assert_allclose(total, getattr(plain.atoms, name), atol=1e-12)
    again = PIDEstimate.load(found.in_bits().save(tmp_path / "found.nc"))
    np.testing.assert_array_equal(again.bias.synergy, found.bias.synergy / np.log(2))
    assert again.gaussianizer.tolist() == found.gaussianizer.tolist()


@pytest.mark.slow
def test_parametric_bootstrap_takes_off_most_of_the_bias(key):
    """Plug-in estimates of 40 samples of independent variables read high, by (d1 + d2) dt / 2n = .1 nats in I_12."""
    rng = np.random.default_rng(0)
    samples = rng.normal(size=(200, 40, 6))
    variables = np.split(samples, 3, axis=-1)
    specs = [
        PIDSpec(NoReduction(), NoGaussianization(), bias_correction=c)
        for c in (NoCorrection(), PIDSpec().bias_correction)
    ]
    plain, corrected = (estimate_pid(*variables, spec=spec, key=key) for spec in specs)
    assert plain.bias is None
    assert plain.information.i_12.mean() > 0.08
    assert abs(corrected.information.i_12.mean()) < 0.25 * plain.information.i_12.mean()
    assert np.all(np.abs(atoms_of(corrected).mean(axis=0)) < np.abs(atoms_of(plain).mean(axis=0)))
    shrunk = estimate_pid(*variables, spec=PIDSpec(NoReduction(), covariance=LedoitWolf()), key=key)
    assert shrunk.bias is None
    assert shrunk.lower is None


@pytest.mark.slow
def test_what_is_left_behind_flows_is_said_and_kept(tmp_path, key):
    """A multivariate t: no map of each variable alone makes it Gaussian."""
    rng = np.random.default_rng(3)
    cov, _ = random_channel(rng, (2, 2, 2), (1.5, 1.5))
    scale = np.sqrt(rng.chisquare(3, size=(1500, 1)) / 3)
    samples = rng.multivariate_normal(np.zeros(6), cov, size=1500) / scale
    found = estimate_pid(*np.split(samples, 3, axis=-1), spec=PIDSpec(NoReduction(), FLOW), key=key)
    assert any("squared norms of source_1 and target go together" in sentence for sentence in found.findings)
    assert found.diagnostics is not None
    assert (found.diagnostics.pair_norms.z > 4).all()
    again = PIDEstimate.load(found.save(tmp_path / "found.nc"))
    assert again.findings == found.findings
    assert repr(again) == repr(found)
    for one, other in zip(jax.tree.leaves(again.diagnostics), jax.tree.leaves(found.diagnostics), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.slow
def test_intervals_behind_flows_hold_the_estimate_and_need_refits(problems, key):
    bent = [x[2] for x in problems]
    ways = (FLOW, replace(FLOW, refits=0), replace(FLOW, intervals=False))
    found, bare, half = (estimate_pid(*bent, spec=PIDSpec(NoReduction(), way), key=key) for way in ways)
    for name in ATOMS:
        value, low, high = (float(getattr(atoms, name)) for atoms in (found.atoms, found.lower, found.upper))
        assert low <= value <= high
        assert np.isnan(getattr(bare.lower, name))
        assert np.isnan(getattr(half.lower, name))
    assert half.bias.redundancy != bare.bias.redundancy
    assert found.upper.redundancy > found.lower.redundancy
    assert atoms_of(bare) + [getattr(bare.bias, name) for name in ATOMS] == pytest.approx(
        atoms_of(found) + [getattr(found.bias, name) for name in ATOMS]
    )


@pytest.mark.slow
def test_intervals_of_gaussian_samples_hold_the_truth(key):
    """Of 400 atoms 360 are expected inside, with a standard deviation of 6 or more since atoms go together."""
    cov, dims = random_channel(np.random.default_rng(1), (2, 2, 2), (1.0, 1.0))
    samples = np.random.default_rng(2).multivariate_normal(np.zeros(6), cov, size=(100, 400))
    spec = PIDSpec(NoReduction(), NoGaussianization())
    found = estimate_pid(*np.split(samples, 3, axis=-1), spec=spec, key=key)
    assert found.lower is not None
    assert found.upper is not None
    truth = gaussian_pid(cov, dims).atoms
    inside = [
        (getattr(found.lower, name) <= getattr(truth, name)) & (getattr(truth, name) <= getattr(found.upper, name))
        for name in ATOMS
    ]
    assert 0.82 < np.mean(inside) < 0.97


@pytest.mark.slow
def test_wishart_draws_have_the_mean_and_the_singular_directions_of_the_covariance(key):
    cov, dims = random_channel(np.random.default_rng(0), (2, 2, 2), (1.0, 1.0))
    (few, wide), (many, narrow) = (wishart_moments(cov, dims, n, BROJA(), 200, key) for n in (50, 100_000))
    truth = gaussian_pid(cov, dims)
    assert float(many.information.i_12) == pytest.approx(float(truth.information.i_12), abs=2e-3)
    assert few.information.i_12 > truth.information.i_12 + 0.02
    assert float(wide.synergy) == pytest.approx(np.sqrt(2000) * float(narrow.synergy), rel=0.5)
    singular = cov.copy()
    singular[1, :] = singular[:, 1] = 0
    assert np.isfinite(wishart_moments(singular, dims, 50, BROJA(), 20, key)[0].information.i_12)


@pytest.mark.slow
def test_columns_without_variance_become_noise_and_are_named(problems, key):
    source_1, source_2, target = (x[2] for x in problems)
    flat = np.stack([source_1, source_1 * [1, 0]])
    filled = fill_constant(flat, key)
    np.testing.assert_array_equal(filled[0], flat[0])
    np.testing.assert_array_equal(filled[1, :, 0], flat[1, :, 0])
    assert filled[1, :, 1].std() == pytest.approx(1, abs=0.1)
    spec = PIDSpec(PCA(dim=2), FLOW)
    found = estimate_pid(flat, source_2, target, spec=spec, key=key)
    assert found.rank.tolist() == [[2, 2, 2], [1, 2, 2]]
    assert found.notes == (
        "source_1 has rank 1 to 2: the rest of its 2 columns repeat others or are constant",
        "source_1 has columns without variance in problem 1: noise took their place",
    )


@pytest.mark.slow
def test_discrete_sources_keep_their_ranks(problems, key):
    source_1, source_2, target = (x[2] for x in problems)
    found = estimate_pid(source_1, np.round(source_2), target, spec=PIDSpec(NoReduction(), FLOW), key=key)
    coded, kept = found.notes
    assert coded.startswith("source_2 ")
    assert "depend on how they are coded" in coded
    assert kept == "source_2 has discrete columns in the problem: ranks instead of a flow"
    assert "note:" in repr(found)
    assert np.isfinite(atoms_of(found)).all()


def test_discrete_targets_are_refused(problems, key):
    source_1, source_2, target = (x[2] for x in problems)
    with pytest.raises(ValueError, match=r"target.*gaussianize=Copula\(\)"):
        estimate_pid(source_1, source_2, np.round(target), spec=PIDSpec(NoReduction(), FLOW), key=key)


def test_the_simplest_map_within_a_standard_error_is_chosen():
    rng = np.random.default_rng(0)
    common, own = rng.normal(size=(3, 100)), rng.normal(size=(3, 100))
    own -= own.mean(axis=1, keepdims=True)
    gains = np.array([[0.05], [1.0], [-1.0]])  # half a standard error, ten, and a loss
    names = choose_gaussianizer({"simple": common, "better": common + own + gains})
    assert names.tolist() == ["simple", "better", "simple"]
