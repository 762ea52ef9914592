"""Posterior draws of atoms: exact ones against closed forms, chains against exact ones, heavy tails against truth."""

import json
import warnings
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import multivariate_t

from pid_jax import (
    LKJ,
    MMI,
    NUTS,
    OAS,
    Conjugate,
    Copula,
    GaussianLikelihood,
    InverseWishart,
    NoGaussianization,
    NoReduction,
    PIDSpec,
    StudentTLikelihood,
    gaussian_pid,
    posterior_pid,
)
from pid_jax.gaussian.student import tail_information
from pid_jax.inference.chains import run_chains
from pid_jax.inference.posterior_draws import conjugate_covariances
from pid_jax.pid.atoms import QUANTITIES
from pid_jax.testing.problems import random_channel

SPEC = PIDSpec(NoReduction(), NoGaussianization())
DIMS = (2, 1, 2)
COV, _ = random_channel(np.random.default_rng(0), DIMS, (1.0, 0.6))
N = 200


def split(values):
    return np.split(values, (2, 3), axis=-1)


def draw(leading=(), samples=N, seed=0):
    return split(np.random.default_rng(seed).multivariate_normal(np.zeros(5), COV, size=(*leading, samples)))


def stacked(quantities):
    return np.stack([np.asarray(getattr(quantities, name)) for name in QUANTITIES], axis=-1)


@cache
def exact_quantities():
    found = gaussian_pid(COV, DIMS)
    return np.asarray([*vars(found.atoms).values(), *vars(found.information).values()])


@pytest.mark.parametrize("excess", [0.0, 1.5])
def test_exact_draws_have_the_mean_and_variance_of_the_inverse_wishart(excess, key):
    """E Σ = (n − 1) S / (k − D − 1) with k = n − 1 + excess, and Var Σ_ii = 2 (E Σ_ii)² / (k − D − 3)."""
    samples, draws = 30, 40_000
    freedom = samples - 1 + excess
    found = conjugate_covariances(COV, samples, excess, draws, key)
    mean = (samples - 1) * COV / (freedom - 6)
    error = found.std(axis=0) / np.sqrt(draws)
    assert (np.abs(found.mean(axis=0) - mean) < 4.5 * error).all()
    variance = 2 * np.diag(mean) ** 2 / (freedom - 8)
    deviations = np.diagonal(found - found.mean(axis=0), axis1=1, axis2=2)
    error = np.sqrt(((deviations**4).mean(axis=0) - variance**2) / draws)
    assert (np.abs((deviations**2).mean(axis=0) - variance) < 4.5 * error).all()


@pytest.mark.slow
def test_chains_agree_with_exact_draws(key):
    """Means differ by less than four Monte Carlo standard errors, standard deviations by 12 %, and chains have mixed.

    A standard deviation of 2000 independent draws from a normal distribution has an error of 1.6 %.
    """
    first, second = jax.random.split(key)
    data = draw((2,))
    exact = posterior_pid(*data, spec=SPEC, key=first, draws=20_000, prior=InverseWishart(0.5))
    found = posterior_pid(*data, spec=SPEC, key=second, draws=2000, prior=InverseWishart(0.5), sampler=NUTS(300))
    assert stacked(found.r_hat).max() <= 1.01
    assert stacked(found.effective_samples).min() > 500
    deviation = stacked(exact.standard_deviation)
    error = deviation * np.sqrt(1 / stacked(found.effective_samples) + 1 / 20_000)
    assert (np.abs(stacked(found.mean) - stacked(exact.mean)) < 4 * error).all()
    np.testing.assert_allclose(stacked(found.standard_deviation), deviation, rtol=0.12)
    np.testing.assert_allclose(stacked(found.upper), stacked(exact.upper), atol=0.25 * deviation.max())
    assert not found.notes
    # Exact draws are independent by construction, and say so.
    assert (stacked(exact.r_hat) == 1).all()
    assert (stacked(exact.effective_samples) == 20_000).all()


@pytest.mark.slow
def test_other_data_and_other_numbers_do_not_compile_again(key):
    run = {"spec": SPEC, "draws": 2000, "sampler": NUTS(300)}
    posterior_pid(*draw(), key=key, prior=InverseWishart(0.5), **run)
    compiled = run_chains._cache_size()
    posterior_pid(*draw((3,), seed=1), key=key, **run)
    posterior_pid(*draw(samples=90, seed=1), key=key, prior=InverseWishart(1), **run)
    assert run_chains._cache_size() == compiled


@pytest.mark.slow
def test_with_lkj_many_samples_outweigh_the_prior(key):
    data = draw(samples=4000)
    found = posterior_pid(*data, spec=SPEC, key=key, prior=LKJ(), sampler=NUTS(300))
    assert (np.abs(stacked(found.mean) - exact_quantities()) < 3.5 * stacked(found.standard_deviation)).all()
    assert found.settings["sampler"]["method"] == "NUTS"
    exact = posterior_pid(*data, spec=SPEC, key=key)
    np.testing.assert_allclose(stacked(found.standard_deviation), stacked(exact.standard_deviation), rtol=0.25)
    # With few samples a preference for weak correlations shows.
    few = draw(samples=25)
    strict = posterior_pid(*few, spec=SPEC, key=key, prior=LKJ(20.0), sampler=NUTS(300))
    assert strict.mean.i_12 < 0.8 * posterior_pid(*few, spec=SPEC, key=key).mean.i_12


@pytest.mark.slow
def test_heavy_tails_are_recognized_and_not_taken_for_dependence(key):
    """Freedom 3 and the quantities of the scatter matrix lie within 3.5 standard deviations."""
    rows = multivariate_t(np.full(5, 7.0), COV, df=3, seed=1).rvs(500)
    found = posterior_pid(*split(rows), spec=SPEC, key=key, likelihood=StudentTLikelihood(), sampler=NUTS(300))
    freedom = found.freedom
    assert not found.notes
    assert abs(freedom.mean() - 3) < 3.5 * freedom.std() < 2
    assert (np.abs(stacked(found.mean) - exact_quantities()) < 3.5 * stacked(found.standard_deviation)).all()
    np.testing.assert_allclose(found.tail_information.i_12, tail_information(freedom, DIMS).i_12, rtol=1e-3)
    assert (found.tail_information.i_12 > found.tail_information.i_2).all()
    assert "freedom" in repr(found)


@pytest.mark.slow
def test_known_freedom_leading_axes_and_a_shared_target(key):
    source_1, source_2, target = draw((2, 1))
    likelihood = StudentTLikelihood(5)
    settings = {"spec": SPEC, "key": key, "likelihood": likelihood, "draws": 200, "sampler": NUTS(100, chains=1)}
    message = r"R-hat is above 1.01 for \d+ of 14 quantities \(up to 1.*raise NUTS\(warmup=...\) or draws"
    with pytest.warns(UserWarning, match=message):  # draws are few
        found = posterior_pid(source_1, source_2, target[0, 0], **settings)
    assert "note:        chains may not have mixed" in repr(found)
    assert found.mean.synergy.shape == found.failed.shape == found.r_hat.i_1.shape == (2, 1)
    assert found.draws.i_12.shape == found.tail_information.i_1.shape == found.freedom.shape == (200, 2, 1)
    assert (found.freedom == 5).all()
    assert found.dims == DIMS
    assert json.loads(json.dumps(found.settings))["likelihood"] == {"method": "StudentTLikelihood", "freedom": 5}
    group = found.to_arviz(axes=("layer", "task"))["posterior"]
    assert {*group.data_vars} == {*vars(found.draws), "freedom"}
    assert dict(group.sizes) == {"chain": 1, "draw": 200, "layer": 2, "task": 1}
    np.testing.assert_array_equal(group["i_12"].values[0], found.draws.i_12)
    bits = found.in_bits()
    assert bits.unit == "bits"
    assert bits.in_bits() is bits
    for name in ("mean", "upper", "draws", "standard_deviation"):
        np.testing.assert_allclose(getattr(bits, name).i_12 * np.log(2), getattr(found, name).i_12)
    np.testing.assert_allclose(bits.tail_information.i_1 * np.log(2), found.tail_information.i_1)
    np.testing.assert_array_equal(bits.r_hat.i_1, found.r_hat.i_1)
    assert repr(found).startswith("PIDPosterior of 2 problems, dims (2, 1, 2), n = 200: 200 draws (StudentT")


def test_identities_hold_in_every_draw_and_problems_are_drawn_apart(key):
    told = []
    data = draw((3,))
    found = posterior_pid(*data, spec=SPEC, key=key, progress=lambda done, total: told.append(done / total))
    d = found.draws
    group = found.to_arviz()["posterior"]
    assert group["redundancy"].dims == ("chain", "draw", "batch_0")
    np.testing.assert_array_equal(group["redundancy"].values[0], d.redundancy)
    np.testing.assert_allclose(d.redundancy + d.unique_1, d.i_1, atol=1e-12)
    np.testing.assert_allclose(d.redundancy + d.unique_1 + d.unique_2 + d.synergy, d.i_12, atol=1e-12)
    assert (found.lower.i_1 < found.mean.i_1).all()
    assert told == sorted(told)
    assert told[-1] == 1
    same = posterior_pid(*(x[:1].repeat(2, axis=0) for x in data), spec=SPEC, key=key)
    assert np.corrcoef(same.draws.i_1.T)[0, 1] < 0.2
    quantile = np.quantile(d.i_1, 0.025, axis=0)
    np.testing.assert_allclose(found.lower.i_1, quantile)


@pytest.mark.slow
def test_a_kink_repeats_draws_and_stays_finite(key):
    found = posterior_pid(*draw(), spec=PIDSpec(NoReduction(), NoGaussianization(), redundancy=MMI()), key=key)
    assert (found.lower.unique_2 == 0) | (found.lower.unique_1 == 0)
    assert np.isfinite(stacked(found.mean)).all()


@pytest.mark.slow
def test_neighbors_that_depend_on_each_other_are_noticed(key):
    smooth = [x[1:] + x[:-1] for x in draw(samples=N + 1)]
    with pytest.warns(UserWarning, match="rows depend on their neighbors"):
        found = posterior_pid(*smooth, spec=SPEC, key=key)
    assert "Block(length)" in found.notes[0]


@pytest.mark.parametrize(
    ("changes", "kind", "message"),
    [
        ({"draws": 199}, ValueError, r"draws=199 are too few for level=0.95.*takes 200"),
        ({"draws": 2.5}, ValueError, r"draws needs a whole number"),
        ({"level": 1}, ValueError, r"level needs a number between 0 and 1"),
        ({"likelihood": "t"}, TypeError, r"likelihood needs GaussianLikelihood\(\) or StudentTLikelihood\(\), got 't'"),
        ({"prior": GaussianLikelihood()}, TypeError, r"prior needs InverseWishart\(\) or LKJ\(\)"),
        ({"sampler": NUTS}, TypeError, r"sampler needs Conjugate\(\) or NUTS\(\)"),
        ({"sampler": Conjugate(), "prior": LKJ()}, ValueError, r"their posterior has no exact draws; use NUTS\(\)"),
        ({"sampler": Conjugate(), "likelihood": StudentTLikelihood()}, ValueError, r"sampler=Conjugate\(\) needs"),
        ({"sampler": NUTS(chains=3), "draws": 200}, ValueError, r"multiple of the 3 chains.*use 201"),
        ({"spec": PIDSpec(NoReduction(), covariance=OAS())}, ValueError, r"needs covariance=SampleCovariance\(\)"),
        ({"spec": "fast"}, TypeError, r"spec needs a PIDSpec"),
        ({"key": 3}, TypeError, r"key needs a JAX random key"),
    ],
)
def test_bad_arguments(changes, kind, message, key):
    with pytest.raises(kind, match=message):
        posterior_pid(*draw(), **({"spec": SPEC, "key": key} | changes))


def test_too_few_samples_and_singular_latents_are_refused(key):
    with pytest.raises(ValueError, match=r"5 samples are too few for 2 \+ 1 \+ 2"):
        posterior_pid(*draw(samples=5), spec=SPEC, key=key)
    source_1, source_2, target = draw((2, 2))
    source_2[1, 0] = target[1, 0, :, :1] + source_1[1, 0, :, :1]
    with pytest.raises(ValueError, match=r"\(1, 0\).*PCA\(\)"):
        posterior_pid(source_1, source_2, target, spec=SPEC, key=key)
    with pytest.raises(TypeError, match="traced"):
        jax.jit(lambda x: posterior_pid(x, x, x, spec=SPEC, key=key))(np.zeros((9, 2)))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: StudentTLikelihood(0), r"StudentTLikelihood\(freedom=...\) needs a number above 0"),
        (lambda: InverseWishart(-1), r"InverseWishart\(excess=...\) needs a number of at least 0"),
        (lambda: LKJ(0), r"LKJ\(concentration=...\) needs a number above 0"),
        (lambda: LKJ(1, -1), r"LKJ\(scale=...\)"),
        (lambda: NUTS(0), r"NUTS\(warmup=...\) needs a whole number"),
        (lambda: NUTS(chains=True), r"NUTS\(chains=...\)"),
        (lambda: NUTS(thinning=0), r"NUTS\(thinning=...\)"),
    ],
)
def test_settings_are_checked(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.slow
def test_a_likelihood_behind_a_map_is_commented_and_nothing_is_printed(key, capfd):
    before = dict(jax.config.values)
    spec = PIDSpec(NoReduction(), Copula())
    settings = {"likelihood": StudentTLikelihood(5), "draws": 200, "sampler": NUTS(100, chains=1)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = posterior_pid(*draw(), spec=spec, key=key, **settings)
    assert "NoGaussianization()" in found.notes[0]
    assert dict(jax.config.values) == before
    assert jnp.ones(2).dtype == jnp.float32
    assert capfd.readouterr() == ("", "")


@pytest.mark.slow
@pytest.mark.parametrize("far", [1e6, 1e12])
def test_a_row_far_out_is_no_reason_to_refuse_heavy_tails(far, key):
    """To a covariance all coordinates of such data look like one; the posterior is that of the other rows."""
    rows = [x.copy() for x in draw(seed=21)]
    clean = stacked(posterior_pid(*rows, spec=SPEC, key=key).mean)
    for x, sign in zip(rows, (1.0, -1.0, 1.0), strict=True):
        x[17] = far * sign * np.arange(1, 1 + x.shape[1])
    sampler = NUTS(warmup=200, chains=2, thinning=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of short chains
        found = posterior_pid(
            *rows, spec=SPEC, key=key, likelihood=StudentTLikelihood(), sampler=sampler, draws=400, level=0.9
        )
    error, scatter = np.abs(stacked(found.mean) - clean), stacked(found.standard_deviation)
    assert (error < 1.5 * scatter + 0.01).all()
    with pytest.raises(ValueError, match="StudentTLikelihood"):
        posterior_pid(*rows, spec=SPEC, key=key)  # the covariance is that of this one row
    copied = np.hstack([rows[0], rows[0][:, :1]])
    with pytest.raises(ValueError, match="linear functions of each other"):
        posterior_pid(
            copied, *rows[1:], spec=SPEC, key=key, likelihood=StudentTLikelihood(), sampler=sampler, draws=400
        )
