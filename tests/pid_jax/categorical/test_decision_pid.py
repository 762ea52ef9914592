"""Decomposition of a model's own decision: against exact tables, laws, tasks, files and bad input."""

import dataclasses
from itertools import product
from types import SimpleNamespace

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pid_jax import DecisionPID, DecisionPosteriors, decision_pid, discrete_pid
from pid_jax.decompose.result import ATOMS, INFORMATION
from pid_jax.gaussian.status import Status
from pid_jax.pid.atoms import QUANTITIES
from pid_jax.testing.strategies import seeds

pytestmark = pytest.mark.filterwarnings("error")

KEY = jax.random.key(0)
NAMES = ("p_both", "p_image", "p_question")
STATES = 4  # of the image and of the question; every pair of them is a sample, twice
PAIRS = np.array([*product(range(STATES), repeat=2)] * 2)
CELLS = 8
# Gap at which the solver stops, in nats, and probabilities that are raised.
TOLERANCE = 3e-6
BITS = {  # redundancy, unique_1, unique_2, synergy of one of the two bits that states and answers have
    "xor": (0, 0, 0, 1),
    "and": (0.31127812445913283, 0, 0, 0.5),
    "image": (0, 1, 0, 0),
    "question": (0, 0, 1, 0),
}


def decision(image, question, both, **changes) -> DecisionPosteriors:
    """Posteriors (n, K) as those of one task, whose gold answer is the most likely one."""
    n, classes = both.shape
    fields = {
        "p_image": image,
        "p_question": question,
        "p_both": both,
        "ids": np.array([f"sample-{i:03d}" for i in range(n)]),
        "tasks": np.full(n, "what"),
        "gold": np.full(n, ""),
        "gold_index": both.argmax(axis=1),
        "predicted": np.full(n, ""),
        "candidates": tuple((f"answer-{k}",) for k in range(classes)),
        "method": "replaced",
        "draws": 20,
    }
    return DecisionPosteriors(**fields | changes)


def exact(table) -> DecisionPosteriors:
    """A model whose posterior of pair (image, question) is in the table (STATES, STATES, K), and all of its means."""
    image, question = table.mean(axis=1)[PAIRS[:, 0]], table.mean(axis=0)[PAIRS[:, 1]]
    return decision(image, question, table[PAIRS[:, 0], PAIRS[:, 1]])


def gate(name) -> np.ndarray:
    rules = {
        "xor": lambda a, b: a ^ b,
        "and": lambda a, b: a & b,
        "image": lambda a, b: a,
        "question": lambda a, b: b,
    }
    table = np.zeros((STATES, STATES, 4))
    for a, b in product(range(STATES), repeat=2):
        table[a, b, rules[name](a, b)] = 1
    return table


def noisy(seed, classes=4, sharpness=2.0) -> list[np.ndarray]:
    """Posteriors of 32 samples, no two alike; those of one modality know something of those of both."""
    rng = np.random.default_rng(seed)
    parts = rng.normal(size=(2, len(PAIRS), classes))
    logits = [*parts, sharpness * parts.sum(axis=0) + rng.normal(size=parts[0].shape)]
    return [np.exp(x) / np.exp(x).sum(axis=1, keepdims=True) for x in logits]


def solved(table):
    """The exact decomposition of pairs that are equally likely, with as many cells as all others have."""
    padded = np.zeros((CELLS, CELLS, 4))
    padded[:STATES, :STATES] = table / STATES**2
    return discrete_pid(padded)


def distort(posterior, power, offsets):
    changed = posterior**power * np.exp(offsets)
    return changed / changed.sum(axis=1, keepdims=True)


def as_array(values, names=ATOMS):
    return np.stack([getattr(values, name) for name in names], axis=-1)


@pytest.mark.parametrize("answer", ["model", "gold"])
@pytest.mark.parametrize("name", BITS)
def test_gates(name, answer):
    found = decision_pid(exact(gate(name)), answer=answer, cells=CELLS, key=KEY).in_bits()
    np.testing.assert_allclose(as_array(found.atoms)[0], 2 * np.array(BITS[name]), atol=TOLERANCE)
    assert found.status.tolist() == [Status.OK]


def test_an_answer_that_both_sources_know():
    table = np.eye(4)[PAIRS[:, 0]]
    found = decision_pid(decision(table, table, table), cells=CELLS, key=KEY).in_bits()
    np.testing.assert_allclose(as_array(found.atoms)[0], (2, 0, 0, 0), atol=TOLERANCE)


@given(seed=seeds(), power=st.sampled_from([0.2, 1.0, 4.0]))
def test_exact_tables_however_posteriors_are_distorted(seed, power):
    rng = np.random.default_rng(seed)
    table = rng.dirichlet(np.full(4, 0.7), size=(STATES, STATES))
    expected = solved(table)
    true = exact(table)
    offsets = rng.normal(size=(2, 4))
    given_ = dataclasses.replace(
        true,
        p_image=distort(true.p_image, power, offsets[0]),
        p_question=distort(true.p_question, power, offsets[1]),
    )
    for posteriors, factor in ((true, 1.0), (given_, power)):
        found = decision_pid(posteriors, cells=CELLS, key=KEY)
        np.testing.assert_allclose(as_array(found.atoms)[0], as_array(expected.atoms), atol=TOLERANCE)
        np.testing.assert_allclose(
            as_array(found.information, INFORMATION)[0], as_array(expected.information, INFORMATION), atol=TOLERANCE
        )
        np.testing.assert_allclose(found.temperature[0, :2], factor, rtol=1e-3)
        assert found.temperature[0, 2] == 1
    assert np.all(found.uncalibrated.i_1 <= found.information.i_1 + TOLERANCE)


@given(seed=seeds(), answer=st.sampled_from(["model", "gold"]))
def test_laws(seed, answer):
    image, question, both = noisy(seed)
    found = decision_pid(decision(image, question, both), answer=answer, cells=CELLS, key=KEY)
    atoms, known = found.atoms, found.information
    np.testing.assert_allclose(as_array(atoms).sum(axis=1), known.i_12, atol=1e-12)
    np.testing.assert_allclose(atoms.redundancy + atoms.unique_1, known.i_1, atol=1e-12)
    np.testing.assert_allclose(atoms.redundancy + atoms.unique_2, known.i_2, atol=1e-12)
    for name in INFORMATION:
        assert np.all(getattr(known, name) >= -1e-12)
        assert np.all(getattr(known, name) <= found.entropy + 1e-12)
    for name in ATOMS:
        assert np.all(getattr(atoms, name) <= found.entropy + 3 * getattr(found.standard_error, name))
    assert np.all(as_array(atoms)[:, :3] >= -1e-12)  # synergy of estimates may be negative
    assert np.all(found.union_lower <= found.union_upper + 1e-12)
    for name in QUANTITIES:
        value = getattr(atoms if name in ATOMS else known, name)
        np.testing.assert_allclose(getattr(found.pointwise, name).mean(), value[0], atol=1e-12)
        width = getattr(found.upper, name) - getattr(found.lower, name)
        np.testing.assert_allclose(width, 2 * 1.959964 * getattr(found.standard_error, name), atol=1e-6)


@given(seed=seeds())
def test_exchanging_the_sources_exchanges_the_atoms(seed):
    image, question, both = noisy(seed)
    one = decision_pid(decision(image, question, both), cells=CELLS, key=KEY)
    other = decision_pid(decision(question, image, both), cells=CELLS, key=KEY)
    swapped = as_array(other.atoms)[:, [0, 2, 1, 3]]
    np.testing.assert_allclose(as_array(one.atoms), swapped, atol=TOLERANCE)
    np.testing.assert_allclose(one.cell_loss, other.cell_loss[:, ::-1], atol=1e-9)


def test_posteriors_that_know_nothing_of_the_answer_are_worth_nothing():
    _, question, both = noisy(0)
    wrong = distort(both, -3.0, np.zeros(4))  # most confident where the model answers otherwise
    found = decision_pid(decision(wrong, question, both), cells=CELLS, key=KEY)
    assert found.temperature[0, 0] == np.inf
    assert found.information.i_1 == 0
    assert found.uncalibrated.i_1 < -0.1
    assert found.claimed.i_1 > 0.1
    assert found.shift[0, 0] > 0.01
    assert found.atoms.unique_1 == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("answer", ["model", "gold"])
@pytest.mark.fast_cases(1)
def test_standard_errors_are_those_of_other_samples(answer):
    """Estimates of 40 small samples scatter as much as they say, or less, around the truth."""
    rng = np.random.default_rng(1)
    table = rng.dirichlet(np.full(4, 0.7), size=(STATES, STATES))
    singles = table.mean(axis=1), table.mean(axis=0)
    found = []
    for _ in range(40):
        a, b = rng.integers(STATES, size=(2, 128))
        gold = (rng.random((128, 1)) > table[a, b].cumsum(axis=1)).sum(axis=1)
        posteriors = decision(singles[0][a], singles[1][b], table[a, b], gold_index=gold)
        found.append(decision_pid(posteriors, answer=answer, cells=CELLS, key=KEY))
    true = solved(table)
    truth = np.append(as_array(true.atoms), as_array(true.information, INFORMATION))
    values = np.concatenate([np.hstack([as_array(x.atoms), as_array(x.information, INFORMATION)]) for x in found])
    errors = np.concatenate([as_array(x.standard_error, QUANTITIES) for x in found])
    ratio = values.std(axis=0) / errors.mean(axis=0)
    assert np.all(ratio < 1.35), ratio  # its own standard error is 11 %
    assert np.all(ratio[-3:] > 0.6), ratio  # of informations, whose errors are exact
    assert np.all((np.abs(values - truth) < 2 * errors).mean(axis=0) > 0.8)


def two_tasks(**changes) -> DecisionPosteriors:
    """Samples of "bits" and of "what" in turns, with candidates of their own."""
    first, second = exact(gate("xor")), decision(*noisy(1))
    n = len(PAIRS)
    order = np.arange(2 * n).reshape(2, n).T.ravel()

    def side(name):
        wide = np.zeros((2 * n, 8))
        wide[:n, :4], wide[n:, 4:] = getattr(first, name), getattr(second, name)
        return wide[order]

    fields = {
        "gold_index": np.concatenate([first.gold_index, second.gold_index + 4])[order],
        "ids": np.array([f"sample-{i:03d}" for i in range(2 * n)]),
        "tasks": np.array(["bits", "what"] * n),
        "candidates": (*((str(k),) for k in range(4)), ("red", "reddish"), ("blue",), ("green",), ("gray",)),
    }
    return decision(side("p_image"), side("p_question"), side("p_both"), **fields | changes)


def test_tasks_are_decomposed_by_themselves():
    both = two_tasks()
    found = decision_pid(both, cells=CELLS, key=KEY)
    assert found.tasks.tolist() == ["bits", "what"]
    assert found.counts.tolist() == [32, 32]
    assert any("red | reddish" in note for note in found.notes)
    alone = decision_pid(both.of_task("what"), cells=CELLS, key=KEY)
    own = found.of_task("what")
    np.testing.assert_allclose(as_array(own.information, INFORMATION), as_array(alone.information, INFORMATION))
    # Another key, so other cells.
    np.testing.assert_allclose(own.atoms.synergy, alone.atoms.synergy, atol=float(alone.gap[0] + own.gap[0]))
    assert own.ids.tolist() == alone.ids.tolist() == both.of_task("what").ids.tolist()
    np.testing.assert_allclose(own.pointwise.synergy.mean(), own.atoms.synergy[0])
    with pytest.raises(ValueError, match="task"):
        found.of_task("where")


def test_unknown_gold_answers_are_left_out():
    posteriors = exact(gate("image"))
    gold = posteriors.gold_index.copy()
    gold[:3] = -1
    found = decision_pid(dataclasses.replace(posteriors, gold_index=gold), answer="gold", cells=CELLS, key=KEY)
    assert found.ids.tolist() == posteriors.ids[3:].tolist()
    assert any("3 samples" in note for note in found.notes)


def test_saved_and_loaded(tmp_path):
    found = decision_pid(two_tasks(), cells=CELLS, key=KEY).in_bits()
    assert "bits, what" in repr(found)
    assert "in bits" in repr(found)
    data = found.to_xarray()
    assert data["pointwise"].sel(sample="sample-003", quantity="synergy").shape == ()
    assert data["unique_1"].sel(task="what") == found.atoms.unique_1[1]
    again = DecisionPID.load(found.save(tmp_path / "decision.nc"))
    for field in dataclasses.fields(found):
        own, other = getattr(found, field.name), getattr(again, field.name)
        if dataclasses.is_dataclass(own):
            own, other = vars(own), vars(other)
        jax.tree.map(np.testing.assert_array_equal, own, other)


@pytest.mark.parametrize(
    ("name", "change", "status"),
    [
        ("p_image", np.nan, Status.NOT_FINITE),
        ("p_question", 0.7, Status.NOT_A_DISTRIBUTION),
        ("p_both", -0.1, Status.NOT_A_DISTRIBUTION),
    ],
)
def test_one_bad_task_leaves_the_others(name, change, status):
    posteriors = two_tasks()
    broken = getattr(posteriors, name).copy()
    broken[5, 6] = change  # of "what"
    posteriors = dataclasses.replace(posteriors, **{name: broken})
    found = decision_pid(posteriors, cells=CELLS, key=KEY)
    assert found.status.tolist() == [Status.OK, status]
    assert np.isnan(found.atoms.synergy).tolist() == [False, True]
    assert np.isnan(found.pointwise.synergy).sum() == 32
    assert any(name in note and "sample-005" in note for note in found.notes)
    with pytest.raises(ValueError, match=name):
        decision_pid(posteriors.of_task("what"), key=KEY)


def test_answers_that_are_all_the_same_are_refused():
    both = np.tile([1.0, 0.0], (32, 1))
    with pytest.raises(ValueError, match="what"):
        decision_pid(decision(both, both, both), key=KEY)


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"p_image": np.full((31, 4), 0.25)}, "p_image"),
        ({"p_question": np.full((32, 3), 1 / 3)}, "p_question"),
        ({"ids": np.arange(31)}, "ids"),
        ({"tasks": np.full(33, "what")}, "tasks"),
        ({"candidates": (("yes",),)}, "candidates"),
        ({"candidates": (("yes",), ("no",), ("a", "b"), ("a | b",))}, "candidates"),
        ({"gold_index": np.full(32, 4)}, "gold_index"),
        ({"gold_index": np.full(32, 0.5)}, "gold_index"),
        ({"gold_index": np.full(32, -1)}, "gold_index"),
        ({name: np.ones((32, 1)) for name in NAMES} | {"candidates": (("yes",),)}, "candidates"),
        ({name: np.ones((0, 4)) for name in NAMES}
         | {name: np.ones(0, int) for name in ("ids", "tasks", "gold_index")}, "posteriors"),
    ],
)  # fmt: skip
def test_bad_posteriors(changes, name):
    with pytest.raises(ValueError, match=name):
        decision_pid(dataclasses.replace(exact(gate("xor")), **changes), answer="gold", key=KEY)


@pytest.mark.parametrize(
    ("changes", "name"),
    [({"answer": "right"}, "answer"), ({"cells": 0}, "cells"), ({"level": 1.0}, "level")],
)
def test_bad_settings(changes, name):
    with pytest.raises(ValueError, match=name):
        decision_pid(exact(gate("xor")), **{"key": KEY} | changes)


def test_wrong_types():
    with pytest.raises(TypeError, match="key"):
        decision_pid(exact(gate("xor")), key=0)
    with pytest.raises(TypeError, match="posteriors"):
        decision_pid(np.full((32, 2), 0.5), key=KEY)
    with pytest.raises(TypeError, match="candidates"):
        decision_pid(dataclasses.replace(exact(gate("xor")), candidates=("no", "yes")), key=KEY)
    named = SimpleNamespace(**vars(exact(gate("xor"))))  # any object with the attributes
    assert decision_pid(named, cells=CELLS, key=KEY).status == Status.OK
