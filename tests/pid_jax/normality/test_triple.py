"""Dependence of three variables at once: silent for Gaussians however dependent, loud where no pair shows it."""

import jax
import numpy as np
import pytest
import scipy.stats

from pid_jax.estimate.samples import estimate_pid
from pid_jax.normality.diagnose import unflatten
from pid_jax.normality.diagnostics import diagnose
from pid_jax.normality.sentences import find_significant
from pid_jax.normality.triple import triple_moments
from pid_jax.normality.white import whiten_samples
from pid_jax.settings.estimate import NoReduction, PIDSpec
from pid_jax.settings.gaussianize import Copula, NoGaussianization
from pid_jax.testing.problems import random_channel
from tests.pid_jax.normality.one_problem import describe

pytestmark = pytest.mark.filterwarnings("error")
LAYERS, N = 33, 1000


def _each(latents, dims):
    each = [
        triple_moments(*(whiten_samples(part) for part in np.split(x, np.cumsum(dims)[:-1], axis=1))) for x in latents
    ]
    return jax.tree.map(lambda *leaves: np.stack(leaves), *each)


def triple(*variables):
    dims = tuple(x.shape[-1] for x in variables)
    joined = np.concatenate(variables, axis=-1)
    return _each(joined.reshape(-1, *joined.shape[-2:]), dims)


def one(*variables):
    found = triple(*variables)
    return float(found.z[0]), float(found.nats[0])


def dependent(rng, dims, sets, n=N, gain=1.5):
    cov, _ = random_channel(rng, dims, (gain, gain))
    samples = rng.multivariate_normal(np.zeros(sum(dims)), cov, size=(sets, n))
    return np.split(samples, np.cumsum(dims)[:-1], axis=-1)


def one_hot(classes, count=4):
    return np.eye(count)[classes]


# Against a slow formula, and laws


def test_it_is_the_score_test_of_all_products():
    """Q by the full covariance of the products of Gaussian residuals, from a general solver."""
    rng = np.random.default_rng(0)
    x, y, t = (v[0] for v in dependent(rng, (2, 3, 2), 1, n=400))
    t = t + 0.2 * x[:, :1] * y[:, :1]
    a, b, c = (v - v.mean(axis=0) for v in (x, y, t))
    both = np.concatenate([a, b], axis=1)
    own_1, own_2, rest = (v - w @ np.linalg.lstsq(w, v)[0] for v, w in ((a, b), (b, a), (c, both)))
    products = np.einsum("ni,nj,nk->nijk", own_1, own_2, rest).reshape(len(x), -1)
    cov_1, cov_2, cov_t, cross = (
        u.T @ v / len(x) for u, v in ((own_1, own_1), (own_2, own_2), (rest, rest), (own_1, own_2))
    )
    joint = np.einsum("ik,jl->ijkl", cov_1, cov_2) + np.einsum("il,kj->ijkl", cross, cross)
    whole = np.kron(joint.reshape(6, 6), cov_t)
    mean = products.mean(axis=0)
    centered = np.einsum("nij,nk->nijk", np.einsum("ni,nj->nij", own_1, own_2) - cross, rest).reshape(len(x), -1)
    found = len(x) * mean @ np.linalg.solve(whole, mean)
    by_chance = np.einsum("na,ab,nb->n", centered, np.linalg.inv(whole), centered).mean()
    n = len(x)
    ratio = (1 + (found - by_chance) / 12) / (1 + (3 * n - 1) / ((n + 1) * (n + 3)))
    assert found > by_chance
    z, nats = one(x, y, t)
    assert nats == pytest.approx((ratio - 1) * 12 / (2 * n), rel=1e-8)
    assert z == pytest.approx((np.cbrt(ratio) - 1 + 2 / 108) / np.sqrt(2 / 108), rel=1e-8)


def test_linear_maps_and_the_order_of_the_sources_change_nothing():
    rng = np.random.default_rng(1)
    x, y, t = (v[0] for v in dependent(rng, (3, 2, 2), 1))
    t = t + 0.1 * x[:, :2] * y
    maps = [rng.normal(size=(d, d)) for d in (3, 2, 2)]
    found = one(x, y, t)
    assert found[0] > 3
    assert one(y, x, t) == pytest.approx(found, rel=1e-8)
    assert one(*(v @ m + 5 for v, m in zip((x, y, t), maps, strict=True))) == pytest.approx(found, rel=1e-8)


def test_what_sources_share_is_left_out():
    rng = np.random.default_rng(2)
    x, y, noise = rng.normal(size=(3, N, 2))
    assert one(x, x, x + noise) == (0, 0)
    assert one(np.hstack([x, y]), np.hstack([y, x]), x * y) == (0, 0)
    alone = one(x[:, :1], y[:, :1], x[:, :1] * y[:, :1] + noise)
    shared = rng.normal(size=(N, 1))
    wide = one(np.hstack([x[:, :1], shared]), np.hstack([y[:, :1], 2 * shared]), x[:, :1] * y[:, :1] + noise)
    assert wide[0] == pytest.approx(alone[0], rel=0.05)


# Gaussians


@pytest.mark.parametrize(("dims", "n"), [((1, 1, 1), 300), ((2, 3, 1), 1000), ((4, 4, 4), 1000), ((8, 8, 8), 1000)])
def test_dependent_gaussians_give_standard_normals(dims, n):
    rng = np.random.default_rng(3)
    z = np.concatenate([triple(*dependent(rng, dims, 20, n)).z for _ in range(4)])  # four systems
    assert abs(z.mean()) < 4 / np.sqrt(80)
    assert z.std() == pytest.approx(1, abs=4 / np.sqrt(160))
    assert z.max() < 4


@pytest.mark.slow
@pytest.mark.parametrize("way", [NoGaussianization(), Copula()])
def test_a_study_of_gaussian_layers_has_no_finding(way, key):
    rng = np.random.default_rng(4)
    variables = dependent(rng, (4, 4, 4), LAYERS)
    found = estimate_pid(*variables, spec=PIDSpec(NoReduction(), way), key=key)
    assert found.findings == ()
    assert found.diagnostics is not None
    assert found.diagnostics.triple.z.shape == (LAYERS,)


def test_adjustment_is_over_all_problems():
    """A deviation that stands out alone is one of many among others."""
    rng = np.random.default_rng(5)
    x, y, noise = rng.normal(size=(3, 200, 1))
    found = diagnose(np.hstack([x, y, 0.36 * x * y + noise]), (1, 1, 1))
    assert 3.5 < found.triple.z < 4.5
    many = jax.tree.map(lambda leaf: np.stack([np.zeros_like(leaf)] * 5000 + [leaf]), found)
    assert find_significant(found).triple.z > 0
    assert (find_significant(many).triple.z == 0).all()


# What it is for


def signs(rng):
    x, y = np.sign(rng.normal(size=(2, N, 1)))
    return x, y, x * y


def products(rng):
    x, y = rng.normal(size=(2, N, 4))
    return x, y, x * y + 0.5 * rng.normal(size=(N, 4))


def classes(rng):
    a, b = rng.integers(4, size=(2, N))
    return one_hot(a), one_hot(b), one_hot((a + b) % 4)


def selection(rng):
    attributes, question = rng.normal(size=(N, 4)), rng.integers(4, size=N)
    return attributes, one_hot(question), attributes[np.arange(N), question][:, None] + 0.2 * rng.normal(size=(N, 1))


@pytest.mark.slow
@pytest.mark.parametrize("make", [signs, products, classes, selection])
@pytest.mark.parametrize("way", [NoGaussianization(), Copula()])
def test_dependence_of_three_is_found_after_every_gaussianizer(make, way, key):
    variables = make(np.random.default_rng(6))
    found = estimate_pid(*variables, spec=PIDSpec(gaussianize=way), key=key)
    assert found.diagnostics is not None
    assert float(found.diagnostics.triple.z) > 15
    assert 0.2 < float(found.diagnostics.triple.nats) < 2.5
    (sentence,) = (text for text in found.findings if "not jointly Gaussian together" in text)
    assert "may miss about" in sentence
    assert sentence in repr(found)


def test_missing_nats_are_the_information_of_a_weak_product():
    """With t = ε x y + noise the Gaussian I_12 is zero, and the true one ε²/2 to second order."""
    rng = np.random.default_rng(7)
    x, y, noise = rng.normal(size=(3, 20000, 1))
    assert one(x, y, 0.3 * x * y + noise)[1] == pytest.approx(0.3**2 / 2 / (1 + 0.3**2), abs=0.004)


def test_one_curved_source_is_not_taken_for_three():
    """Also where the other source depends on it."""
    rng = np.random.default_rng(8)
    x = rng.normal(size=(5000, 2))
    y, noise = x + rng.normal(size=(2, 5000, 2))[0], rng.normal(size=(5000, 2))
    assert one(x, y, x**2 + noise)[0] < 4
    assert one(x, y, y**2 + noise)[0] < 4


def test_heavy_tails_alone_are_no_dependence_of_three():
    rng = np.random.default_rng(9)
    scale = np.sqrt(rng.chisquare(5, size=(N, 1)) / 5)
    x, y, t = scipy.stats.norm.ppf((scipy.stats.rankdata(rng.normal(size=(3, N, 3)) / scale, axis=1) - 0.5) / N)
    assert one(x, y, t)[0] < 4


def test_many_layers_are_one_sentence(key):
    rng = np.random.default_rng(10)
    gaussian = rng.normal(size=(2, N, 1))
    x, y, noise = rng.normal(size=(3, N, 1))
    layers = np.stack([gaussian[0], x, x]), np.stack([gaussian[1], y, y]), np.stack([noise, x * y, x * y + noise])
    found = estimate_pid(*layers, spec=PIDSpec(NoReduction(), NoGaussianization()), key=key)
    (sentence,) = (text for text in found.findings if "not jointly Gaussian together" in text)
    assert sentence.startswith("problems 1-2: source_1, source_2 and target are not jointly Gaussian together")
    data = found.to_xarray(["layer"])
    assert data["triple_z"].dims == ("layer",)
    older = unflatten(data.drop_vars(["triple_z", "triple_divergence"]))  # as files before this check
    assert older is not None
    assert np.isnan(older.triple.z).tolist() == [True] * 3
    np.testing.assert_array_equal(older.pair_norms.z, data["pair_norms_z"])


def test_sentence_names_the_variables():
    x, y, t = signs(np.random.default_rng(11))
    noisy = [v + 0.5 * np.random.default_rng(12 + i).normal(size=v.shape) for i, v in enumerate((x, y, t))]
    found = diagnose(np.hstack(noisy), (1, 1, 1))
    text = " ".join(describe(found, ("vision", "language", "answer")))
    assert "vision, language and answer are not jointly Gaussian together" in text
    assert "synergy above all" in text
