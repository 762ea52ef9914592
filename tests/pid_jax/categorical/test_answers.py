"""Answers of every kind as class numbers, and what is refused; nothing is fitted here."""

import re

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from pid_jax import (
    MMI,
    AutoClassifier,
    CategoricalSpec,
    DropRare,
    LinearClassifier,
    NetworkClassifier,
    PoolRare,
    ProductClassifier,
    Status,
)
from pid_jax.categorical.answers import POOLED, read_answers
from pid_jax.categorical.samples import locate, read_classified
from pid_jax.pid.measure import Redundancy

WORDS = ["cat", "dog", "cat", "dog", "bird", "bird"]
CODES = [1, 2, 1, 2, 0, 0]
EVERY = PoolRare(fewest=1)

KINDS = {
    "list": WORDS,
    "array": np.array(WORDS),
    "objects": np.array(WORDS, dtype=object),
    "series": pd.Series(WORDS),
    "pandas strings": pd.Series(WORDS, dtype="string"),
    "categories": pd.Series(WORDS, dtype="category"),
    "xarray": xr.DataArray(WORDS, dims="sample"),
    "bytes": np.array(WORDS, dtype="S"),
    "integers": np.array(CODES) + 5,
    "int8": np.array(CODES, dtype=np.int8),
    "integer objects": np.array(CODES, dtype=object),
    "pandas integers": pd.Series(CODES, dtype="Int64"),
}


@pytest.mark.parametrize("name", KINDS)
def test_answers_of_every_kind_become_the_same_numbers(name):
    found = read_answers(KINDS[name], EVERY)
    np.testing.assert_array_equal(found.codes, CODES)
    assert len(found.classes) == 3
    assert not found.notes


@pytest.mark.parametrize("value", [[True, False], np.array([True, False], dtype=object), pd.Series([True, False])])
def test_booleans_stay_booleans(value):
    found = read_answers(value, EVERY)
    assert found.classes == (False, True)
    assert all(isinstance(one, bool) for one in found.classes)


@pytest.mark.parametrize(
    "value",
    [
        ["a", None, "b"],
        ["a", float("nan"), "b"],
        [1.0, float("nan"), 0.0],
        pd.Series(["a", None, "b"]),
        pd.Series(["a", pd.NA, "b"], dtype="string"),
        pd.Series([1, pd.NA, 0], dtype="Int64"),
    ],
)
def test_missing_answers_are_refused(value):
    with pytest.raises(ValueError, match="answer"):
        read_answers(value, EVERY)


@pytest.mark.parametrize(
    "value",
    [
        None,
        np.array([0.0, 1.0]),
        np.array([1j, 2]),
        np.array(["2020-01-01", "2020-01-02"], dtype="datetime64[D]"),
        np.array(["a", 1], dtype=object),
        [{}, {}],
        ["a", 1],
    ],
)
def test_what_is_no_class_is_refused(value):
    with pytest.raises(TypeError, match="answer"):
        read_answers(value, EVERY)


COLUMN = np.array(["no", "yes"])[np.arange(60) % 2, None]


def polars_frame():
    return pytest.importorskip("polars").DataFrame({"answer": COLUMN[:, 0]})


@pytest.mark.parametrize(
    ("make", "remedy"),
    [
        (lambda: COLUMN, "answer[:, 0]"),
        (lambda: COLUMN[None], "answer[..., 0]"),
        (lambda: COLUMN.tolist(), "asarray(answer)[:, 0]"),
        (lambda: pd.DataFrame(COLUMN), "answer.iloc[:, 0]"),
        (lambda: xr.DataArray(COLUMN), "answer[:, 0]"),
        (polars_frame, "answer[:, 0]"),
        (lambda: np.arange(60)[:, None], "answer[:, 0]"),
    ],
)
def test_a_column_is_no_batch_of_problems(make, remedy):
    """Of shape (n, 1), which would be n problems of one sample each."""
    with pytest.raises(ValueError, match=r"answer .*60 problems.*" + re.escape(remedy)):
        read_classified(*sources(), make(), CategoricalSpec())


@pytest.mark.parametrize("answer", [np.stack([np.arange(60) % 2] * 3, axis=1), np.eye(3, dtype=int)[np.arange(60) % 3]])
def test_samples_that_are_not_the_last_axis_of_the_answer(answer):
    with pytest.raises(ValueError, match=r"answer .*\(60, 3\)"):
        read_classified(*sources(), answer, CategoricalSpec())


@pytest.mark.parametrize("value", ["yes", [], np.zeros((3, 0), int), np.ones(9, int), ["a"] * 9])
def test_answers_without_information_are_refused(value):
    with pytest.raises(ValueError, match="answer"):
        read_answers(value, EVERY)


def test_rare_answers_are_pooled_and_said():
    found = read_answers(np.repeat(["a", "b", "c", "d"], [20, 20, 6, 5]), PoolRare(fewest=10))
    assert found.classes == ("a", "b", POOLED)
    np.testing.assert_array_equal(np.bincount(found.codes), [20, 20, 11])
    assert f'"{POOLED}"' in found.notes[0]


@pytest.mark.parametrize(
    ("names", "pooled"),
    [
        (["other", "a", "b", "c"], POOLED),
        ([POOLED, "a", "b", "c"], f"{POOLED} 2"),
        (["a", POOLED, "b", f"{POOLED} 2"], f"{POOLED} 3"),
        (["a", "b", POOLED, "c"], f"{POOLED} 2"),  # one of those that are pooled
        ([5, 6, 7, 8], POOLED),
    ],
)
def test_no_answer_shares_its_name_with_the_pooled_ones(names, pooled):
    found = read_answers(np.repeat(np.array(names), [20, 20, 6, 5]), PoolRare(fewest=10))
    assert set(found.classes) == {*names[:2], pooled}
    np.testing.assert_array_equal(np.bincount(found.codes), [20, 20, 11])
    assert found.classes[2] == pooled
    assert f'"{pooled}"' in found.notes[0]


@pytest.mark.parametrize("rare", [DropRare(fewest=10), PoolRare(fewest=15)])
def test_rare_answers_are_left_out_and_said(rare):
    """Pooled ones too, where all of them together are still too few."""
    answer = np.repeat(["a", "b", "c", "d"], [20, 20, 6, 5])
    found = read_answers(answer, rare)
    assert found.classes == ("a", "b")
    assert (found.codes == -1).sum() == 11
    assert "left out" in found.notes[0]
    sources = np.random.default_rng(0).normal(size=(2, 51, 3))
    samples = read_classified(*sources, answer, CategoricalSpec(rare=rare))
    np.testing.assert_array_equal(samples.kept, np.arange(40))
    assert samples.sources[0].shape == (1, 40, 3)


def test_a_sample_left_out_of_one_problem_is_left_out_of_all():
    answer = np.stack([np.repeat([0, 1, 2], [20, 20, 4]), np.repeat([0, 1], 22)])
    found = read_answers(answer, DropRare(fewest=10))
    np.testing.assert_array_equal((found.codes < 0).sum(axis=1), [4, 4])


@pytest.mark.parametrize("rare", [PoolRare(fewest=30), DropRare(fewest=30)])
def test_fewer_than_two_classes_that_are_left(rare):
    with pytest.raises(ValueError, match=type(rare).__name__):
        read_answers(np.repeat([0, 1], [40, 5]), rare)


def sources(samples=60, leading=()):
    return list(np.random.default_rng(0).normal(size=(2, *leading, samples, 3)))


YES_NO = np.arange(60) % 2


def test_a_problem_with_one_class_or_nan_is_set_apart():
    one, two = sources(leading=(3,))
    one[1, 5, 0], two[1, 5, 0], two[2, 0, 0] = np.nan, np.nan, np.inf
    found = read_classified(one, two, np.stack([YES_NO, YES_NO, YES_NO]), CategoricalSpec())
    np.testing.assert_array_equal(found.status, [Status.OK, Status.NOT_FINITE, Status.NOT_FINITE])
    assert all(np.isfinite(x).all() for x in found.sources)
    assert any("source_1" in note for note in found.notes)
    single = read_classified(*sources(leading=(2,)), np.stack([YES_NO, np.ones(60, int)]), CategoricalSpec())
    np.testing.assert_array_equal(single.status, [Status.OK, Status.CONSTANT])


def test_problems_of_conditions_are_numbered_separately():
    conditions = ("baseline", "intervention")
    assert locate(np.array([0]), 1) == ""
    assert locate(np.array([1, 2]), 4) == "problems 1-2: "
    assert locate(np.array([1]), 2, conditions) == "intervention: "
    assert (
        locate(np.array([1, 3, 4]), 6, conditions) == "problem 1 of the baseline and problems 0-1 of the intervention: "
    )


def test_nan_everywhere_is_refused():
    one, two = sources()
    two[3, 1] = np.nan
    with pytest.raises(ValueError, match="source_2"):
        read_classified(one, two, YES_NO, CategoricalSpec())


def test_a_class_with_fewer_samples_than_folds_is_said():
    answer = np.where(np.arange(60) < 3, 2, YES_NO)
    found = read_classified(*sources(), answer, CategoricalSpec(rare=PoolRare(fewest=2)))
    assert any("folds" in note for note in found.notes)


@pytest.mark.parametrize(
    ("one", "two", "answer", "match"),
    [
        ((60, 3), (59, 3), YES_NO, "source_2"),
        ((60, 3), (60, 3), YES_NO[:-1], "answer"),
        ((2, 60, 3), (3, 60, 3), YES_NO, "source_2"),
        ((2, 60, 3), (2, 60, 3), np.stack([YES_NO] * 3), "answer"),
        ((9, 3), (9, 3), YES_NO[:9], "folds"),
        ((60, 3), (60, 3), np.arange(60), "classes"),
    ],
)
def test_samples_that_do_not_fit_are_refused(one, two, answer, match):
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match=match):
        read_classified(rng.normal(size=one), rng.normal(size=two), answer, CategoricalSpec(rare=EVERY))


def test_rows_with_other_labels_are_refused():
    one, two = (pd.DataFrame(x) for x in sources())
    with pytest.raises(ValueError, match="answer"):
        read_classified(one, two, pd.Series(YES_NO, index=np.arange(60) + 1), CategoricalSpec())


def test_labels_of_problems_are_no_labels_of_rows():
    one, two = sources()
    labeled = xr.DataArray(one, dims=("sample", "feature"), coords={"sample": np.arange(60) + 100})
    answers = xr.DataArray(np.stack([YES_NO] * 2), dims=("task", "sample"), coords={"task": ["what", "which"]})
    leading = read_classified(labeled, two, answers, CategoricalSpec()).leading
    assert leading.shape == (2,)
    assert leading.labels["task"].tolist() == ["what", "which"]


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda: CategoricalSpec(classifier="linear"), TypeError),
        (lambda: CategoricalSpec(rare=10), TypeError),
        (lambda: CategoricalSpec(redundancy="broja"), TypeError),
        (lambda: CategoricalSpec(folds=1), ValueError),
        (lambda: CategoricalSpec(cells=0), ValueError),
        (lambda: CategoricalSpec(perturbations=-1), ValueError),
        (lambda: CategoricalSpec(level=1.0), ValueError),
        (lambda: AutoClassifier(candidates=()), TypeError),
        (lambda: AutoClassifier(candidates=("linear",)), TypeError),
        (lambda: LinearClassifier(penalties=(0.1, 0.3)), ValueError),
        (lambda: LinearClassifier(penalties=0.1), TypeError),
        (lambda: ProductClassifier(leading=0), ValueError),
        (lambda: NetworkClassifier(hidden=0), ValueError),
        (lambda: PoolRare(fewest=0), ValueError),
        (lambda: DropRare(fewest=1.5), ValueError),
    ],
)
def test_settings_that_mean_nothing_are_refused(make, error):
    with pytest.raises(error, match=r"=\.\.\."):
        make()


def test_a_measure_without_a_meaning_for_classes_is_refused():
    read_classified(*sources(), YES_NO, CategoricalSpec(redundancy=MMI()))
    with pytest.raises(TypeError, match="redundancy"):
        read_classified(*sources(), YES_NO, CategoricalSpec(redundancy=Redundancy()))
