"""Answers as classes that are the same in all conditions."""

import numpy as np
import pytest

from pid_jax.settings.categorical import CategoricalSpec, DropRare, PoolRare
from pid_jax.store.shard import StoreError
from pid_jax.store.targets import Answer
from pid_jax.study.answers import check_answers, task_answers
from tests.study_stores import COUNT, CUT, make_store

SPEC = CategoricalSpec(rare=PoolRare(fewest=10))


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    """Under the cut some answers are new, and one sample in twenty has no gold answer."""
    folder = tmp_path_factory.mktemp("stores")
    gold = lambda i: "" if i % 20 == 0 else ("yes" if i % 3 else "no")  # noqa: E731
    baseline = make_store(folder / "b", predicted=lambda i: " Yes." if i % 3 else "no", gold=gold)
    cut = make_store(folder / "k", CUT, seed=1, gold=gold, predicted=lambda i: "maybe" if i % 4 == 0 else "no")
    return baseline, cut


def classes(stores, of, spec=SPEC):
    return task_answers(Answer(of=of), stores, [np.arange(COUNT)] * 2, spec)


def test_the_answer_with_nothing_cut_is_that_of_all_conditions(stores):
    found = classes(stores, "model")
    assert found.classes == ("no", "yes")
    np.testing.assert_array_equal(found.codes[0], np.arange(COUNT) % 3 > 0)
    np.testing.assert_array_equal(found.codes[0], found.codes[1])
    assert not found.problem
    assert found.notes == ((), ())


def test_classes_are_those_of_the_baseline_and_one_for_all_others(stores):
    found = classes(stores, "condition")
    assert found.classes == ("no", "yes", "other (pooled)")
    np.testing.assert_array_equal(found.codes[1], np.where(np.arange(COUNT) % 4, 0, 2))
    assert "maybe" in " ".join(found.notes[1])
    dropped = classes(stores, "condition", CategoricalSpec(rare=DropRare(fewest=10)))
    assert dropped.classes == ("no", "yes")
    np.testing.assert_array_equal(dropped.codes[1] < 0, np.arange(COUNT) % 4 == 0)


def test_an_answer_that_is_called_other_stays_apart_from_the_pooled_ones(tmp_path):
    baseline = make_store(tmp_path / "b", predicted=lambda i: "other" if i % 2 else "other (pooled)")
    cut = make_store(tmp_path / "k", CUT, seed=1, predicted=lambda i: "maybe" if i % 2 else "Other")
    found = classes((baseline, cut), "condition")
    assert found.classes == ("other", "other (pooled)", "other (pooled) 2")
    np.testing.assert_array_equal(found.codes[1], np.where(np.arange(COUNT) % 2, 2, 0))
    assert '"other (pooled) 2"' in " ".join(found.notes[1])


@pytest.mark.parametrize(("of", "names"), [("gold", ("no", "yes")), ("correct", ("correct", "wrong"))])
def test_samples_without_a_gold_answer_are_left_out(stores, of, names):
    found = classes(stores, of, CategoricalSpec(rare=PoolRare(fewest=5)))
    assert found.classes == names
    for codes in found.codes:
        np.testing.assert_array_equal(codes < 0, np.arange(COUNT) % 20 == 0)


def test_one_answer_is_a_problem(tmp_path):
    store = make_store(tmp_path / "b", predicted=lambda i: "no")
    assert "'no'" in task_answers(Answer(), [store], [np.arange(COUNT)], SPEC).problem
    few = CategoricalSpec(folds=5, rare=PoolRare(fewest=1))
    varied = make_store(tmp_path / "v", predicted=lambda i: "yes" if i % 2 else "no")
    assert "folds" in task_answers(Answer(), [varied], [np.arange(6)], few).problem


def test_a_store_without_answers_is_refused(tmp_path):
    store = make_store(tmp_path / "b")
    with pytest.raises(StoreError, match="predicted"):
        check_answers(Answer(), store)
    check_answers(Answer(of="gold"), store)
    with pytest.raises(ValueError, match="of="):
        Answer(of="given")
