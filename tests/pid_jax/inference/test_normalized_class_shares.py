"""Shares about a class against null tables: laws of the null, known tables and refusals."""

import jax
import numpy as np
import pytest

from pid_jax.decompose.result import ATOMS
from pid_jax.discrete.pid import discrete_pid
from pid_jax.discrete.result import DiscreteEstimate
from pid_jax.inference.normalized_class_shares import normalize_class_shares
from pid_jax.inference.null_shares import position_of
from pid_jax.inference.null_tables import CLASSES, NullTables, null_shares_of_answers, null_tables, pool
from pid_jax.pid.atoms import PIDAtoms
from pid_jax.pid.broja import BROJA
from pid_jax.pid.mmi import MMI

HALVES = [0.5, 0.5]


@pytest.fixture(scope="module")
def null() -> NullTables:
    return null_tables(HALVES, BROJA(), jax.random.key(0), draws=200)


def noisy(function, noise: float) -> np.ndarray:
    """Table of a function of two fair bits, which is wrong with some probability."""
    pmf = np.full((2, 2, 2), 0.25 * noise)
    for a, b in np.ndindex(2, 2):
        pmf[a, b, function(a, b)] = 0.25 * (1 - noise)
    return pmf


def test_null_tables_are_decompositions(null):
    assert null.part.shape == (200, 8)
    assert (np.diff(null.part, axis=1) >= 0).all()
    assert ((null.part > 0) & (null.part < 1.001)).all()
    np.testing.assert_allclose(null.share.sum(axis=-1), 1, atol=1e-9)
    assert null.share.min() > -1e-3


def test_null_tables_leave_room_for_every_atom(null):
    shares = null_shares_of_answers(null, np.array(0.5))
    low, high = np.quantile(shares, [0.1, 0.9], axis=0)
    assert (low < 0.1).all()
    assert (high > 0.4).all()


def test_percentiles_of_null_tables_are_uniform(null):
    others = null_tables(HALVES, BROJA(), jax.random.key(1), draws=200)
    own, drawn = (null_shares_of_answers(one, np.array(0.5)) for one in (null, others))
    place = np.sort(position_of(drawn, np.repeat(own[:, None], 200, axis=1)).percentile, axis=0)
    uniform = (np.arange(200) + 0.5) / 200
    # Two-sample Kolmogorov-Smirnov distance of 200 and 200 is above 0.163 with probability 0.01; four of them.
    assert np.abs(place - uniform[:, None]).max() < 0.18
    above = position_of(drawn, np.repeat(own[:, None], 200, axis=1)).above_chance
    assert (np.abs(above.mean(axis=0)) < 4 * own.std(axis=0) * np.sqrt(2 / 200)).all()


@pytest.mark.parametrize(
    ("function", "atom"), [(lambda a, b: a ^ b, "synergy"), (lambda a, b: a, "unique_1"), (lambda a, b: b, "unique_2")]
)
def test_pure_tables_are_at_the_top_at_every_noise(function, atom):
    pmf = np.stack([noisy(function, noise) for noise in (0.02, 0.2)])
    found = normalize_class_shares(discrete_pid(pmf), HALVES, key=jax.random.key(0))
    assert (getattr(found.percentile, atom) > 0.9).all()
    assert (getattr(found.above_chance, atom) > 0.3).all()


def test_intervals_hold_the_estimate_and_files_survive(tmp_path):
    estimate = discrete_pid(noisy(lambda a, b: a & b, 0.1)[None])
    rng = np.random.default_rng(0)
    replicates = PIDAtoms(**{n: getattr(estimate.atoms, n) + 0.02 * rng.standard_normal((60, 1)) for n in ATOMS})
    found = normalize_class_shares(estimate, [0.7, 0.3], key=jax.random.key(0), replicates=replicates)
    for atom in ATOMS:
        low, value, high = (getattr(getattr(found, f"percentile{end}"), atom) for end in ("_lower", "", "_upper"))
        assert (low < value).all()
        assert (value < high).all()
    again = type(found).load(found.save(tmp_path / "shares.nc"))
    np.testing.assert_array_equal(again.percentile.synergy, found.percentile.synergy)


def test_the_null_has_the_measure_of_the_estimate():
    found = normalize_class_shares(
        discrete_pid(noisy(lambda a, b: a & b, 0.1), redundancy=MMI()), [0.7, 0.3], key=jax.random.key(0)
    )
    # Interpolation leaves a little of both where the weaker source changes.
    assert (np.minimum(found.null.unique_1, found.null.unique_2) > 1e-9).mean() < 0.2


def test_rare_classes_are_pooled():
    pooled = pool(np.array([0.3, *[0.7 / 20] * 20, 0.0]))
    assert len(pooled) == CLASSES
    assert pooled.sum() == pytest.approx(1)


@pytest.mark.parametrize(
    ("change", "error", "name"),
    [
        ({"estimate": 3}, TypeError, "estimate"),
        ({"key": 0}, TypeError, "key"),
        ({"draws": 3}, ValueError, "draws"),
        ({"level": 0.0}, ValueError, "level"),
        ({"probabilities": None}, ValueError, "probabilities"),
        ({"probabilities": [0.5, 0.6]}, ValueError, "probabilities"),
        ({"probabilities": [1.0, 0.0]}, ValueError, "probabilities"),
        ({"probabilities": [[0.5, 0.5]]}, ValueError, "probabilities"),
        ({"replicates": 0.1}, TypeError, "replicates"),
    ],
)
def test_refusals_name_the_argument(change, error, name):
    estimate: DiscreteEstimate = discrete_pid(noisy(lambda a, b: a & b, 0.1))
    arguments = {"estimate": estimate, "probabilities": HALVES, "key": jax.random.key(0)} | change
    with pytest.raises(error, match=name):
        normalize_class_shares(arguments.pop("estimate"), arguments.pop("probabilities"), **arguments)
