"""A model's own posteriors from stores: against loops, laws, and stores that do not belong together."""

import dataclasses

import numpy as np
import pytest

from pid_jax import read_decision
from pid_jax.store import NORM, ActivationStore, Failure, Manifest, StoreError, tensor_name
from pid_jax.store.decision import NO_GOLD, DecisionPosteriors, decision_of
from pid_jax.store.readout import Candidate, Readout, write_readout
from pid_jax.study.model import StudyModel, check_model

WIDTH = 4
IDS = tuple(f"{i:02d}" for i in range(9, -1, -1))  # not in order
TASKS = {i: "color" if int(i) < 6 else "yes-no" for i in IDS}
GOLDS = dict(
    zip(sorted(IDS), ("Red.", "blue", "dark red", "dark blue", "red", "", "yes", "no", "No", "perhaps"), strict=True)
)
CANDIDATES = (("no",), ("red",), ("yes",), ("blue",), ("dark blue", "dark green", "dark red"), ("seven",))
SETTINGS = {"fingerprint": "a", "roles": ["image", "last"], "layers": None, "dtype": "float16"}
NAMES = {"question": "question-only@cut", "image": "image-only@cut"}


def _readout() -> Readout:
    values = np.random.default_rng(0)
    return Readout(
        is_centered=False,
        eps=1e-6,
        weight=np.ones(WIDTH, np.float32),
        bias=np.zeros(WIDTH, np.float32),
        candidates=tuple(Candidate(token=k, text=f"t{k}", answers=one) for k, one in enumerate(CANDIDATES)),
        embedding=values.standard_normal((len(CANDIDATES), WIDTH)).astype(np.float32),
        head_bias=values.standard_normal(len(CANDIDATES)).astype(np.float32),
    )


def _states(condition: str) -> dict[str, np.ndarray]:
    values = np.random.default_rng(sum(condition.encode()))
    return {i: values.standard_normal(WIDTH).astype(np.float32) for i in sorted(IDS)}


def _fill(path, condition, failed=(), only=None, golds=GOLDS, **changes) -> ActivationStore:
    fields = {
        "ids": IDS,
        "shard_size": 4,
        "tensors": (tensor_name("last", NORM),),
        "condition": condition,
        "settings": SETTINGS | {"roles": ["last"], "layers": []},
    }
    store = ActivationStore.create(path, Manifest(**fields | changes))
    states = _states(condition["name"])
    for index in store.missing_shards() if only is None else only:
        own = [i for i in store.shard_ids(index) if i not in failed]
        columns = [{"task": TASKS[i], "gold": golds[i], "predicted": "red", "correct": False} for i in own]
        failures = [Failure(id=i, stage="image", message="gone") for i in store.shard_ids(index) if i in failed]
        store.write_shard(index, own, columns, {"norm/last": np.stack([states[i] for i in own])}, failures)
    return ActivationStore.open(path)


def _condition(kept: str, method: str = "cut", draw: int = 1) -> dict:
    absent = "image" if kept == "question" else "question"
    name = NAMES[kept] if method == "cut" else f"{kept}-only@{method}-{draw}"
    return {"name": name, "decision": {"kept": kept, "absent": absent, "method": method}}


def _baseline(path, readout=True, **changes) -> ActivationStore:
    store = _fill(path, {"name": "baseline"}, settings=SETTINGS, **changes)
    if readout:
        write_readout(store.folder, _readout(), store.manifest.digest)
    return store


@pytest.fixture
def three(tmp_path):
    stores = [_fill(tmp_path / name, _condition(kept)) for kept, name in NAMES.items()]
    return [_baseline(tmp_path / "baseline"), *stores]


def _expected(condition: str, sample: str, possible: set[int]) -> np.ndarray:
    readout, state = _readout(), _states(condition)[sample].astype(float)
    weights = [
        np.exp(float(readout.embedding[k].astype(float) @ state) + float(readout.head_bias[k]))
        if k in possible
        else 0.0
        for k in range(len(CANDIDATES))
    ]
    return np.array(weights) / sum(weights)


def test_against_a_loop(three):
    found = read_decision(*three)
    assert found.ids.tolist() == sorted(IDS)
    assert found.candidates == (("no",), ("red",), ("yes",), ("blue",), ("dark blue", "dark red"))
    assert found.answers[-1] == "dark blue | dark red"
    assert found.merged == (("dark blue", "dark red"),)
    assert (found.method, found.draws) == ("cut", 1)
    assert found.gold.tolist() == [GOLDS[i] for i in sorted(IDS)]
    assert found.gold_index.tolist() == [1, 3, 4, 4, 1, NO_GOLD, 2, 0, 0, NO_GOLD]
    for name, condition in (("p_both", "baseline"), ("p_question", NAMES["question"]), ("p_image", NAMES["image"])):
        given = getattr(found, name)
        assert given.dtype == np.float64
        for row, sample in enumerate(sorted(IDS)):
            possible = {1, 3, 4} if TASKS[sample] == "color" else {0, 2}
            np.testing.assert_allclose(given[row], _expected(condition, sample, possible)[:5], rtol=1e-5)


def test_all_candidates(three):
    found = read_decision(*three, candidates="all")
    assert found.answers == ("no", "red", "yes", "blue", "dark blue | dark red", "seven")
    for row, sample in enumerate(sorted(IDS)):
        np.testing.assert_allclose(found.p_both[row], _expected("baseline", sample, set(range(6))), rtol=1e-5)


@pytest.mark.parametrize("task", ["color", "yes-no"])
def test_a_task_alone_is_the_task_of_all(three, task):
    one, same = read_decision(*three, task=task), read_decision(*three).of_task(task)
    for field in dataclasses.fields(DecisionPosteriors):
        found, expected = getattr(one, field.name), getattr(same, field.name)
        assert found.tolist() == expected.tolist() if isinstance(found, np.ndarray) else found == expected
    assert set(one.tasks) == {task}
    assert one.p_both.shape == (len(one.ids), {"color": 3, "yes-no": 2}[task])
    np.testing.assert_allclose(one.p_image.sum(axis=1), 1)
    with pytest.raises(ValueError, match="task"):
        one.of_task("other")


def test_draws_are_averaged(three, tmp_path):
    draws = {
        kept: [_fill(tmp_path / f"{kept}{k}", _condition(kept, "replaced", k)) for k in (1, 2, 3)] for kept in NAMES
    }
    found = read_decision(three[0], draws["question"], draws["image"])
    each = [read_decision(three[0], *pair) for pair in zip(draws["question"], draws["image"], strict=True)]
    assert (found.draws, found.method) == (3, "replaced")
    for name in ("p_question", "p_image"):
        np.testing.assert_allclose(getattr(found, name), np.mean([getattr(one, name) for one in each], axis=0))
    np.testing.assert_array_equal(found.p_both, each[0].p_both)
    assert "3 draws" in repr(found)


def test_samples_without_a_row_are_left_out(three, tmp_path):
    gap = _fill(tmp_path / "gap", _condition("image"), failed=("03", "08"))
    found, whole = read_decision(three[0], three[1], gap), read_decision(*three)
    rows = [i not in ("03", "08") for i in whole.ids]
    assert found.ids.tolist() == whole.ids[rows].tolist()
    for name in ("p_both", "p_image", "p_question", "gold_index"):
        np.testing.assert_array_equal(getattr(found, name), getattr(whole, name)[rows])


def test_repr_is_short_and_says_what_is_merged(three):
    text = repr(read_decision(*three))
    assert "dark blue | dark red" in text
    assert len(text) < 300


def test_stores_that_do_not_belong_together(three, tmp_path):
    baseline, question, image = three

    def refused(match, *stores, error=StoreError, **given):
        with pytest.raises(error, match=match):
            read_decision(*stores, **given)

    refused("question_only.*image", baseline, image, question)
    refused("question_only.*'baseline'", baseline, baseline, image)
    refused("baseline.*'question-only@cut'", question, question, image)
    knockout = _fill(tmp_path / "k", {"name": "image-question@all", "edges": [["image", "question"]]})
    refused("image_only.*'image-question@all'", baseline, question, knockout)
    other = _fill(tmp_path / "o", _condition("image"), settings=SETTINGS | {"fingerprint": "b"})
    refused("image_only.*fingerprint", baseline, question, other)
    fewer = _fill(tmp_path / "f", _condition("image"), ids=IDS[:8])
    refused("image_only.*samples", baseline, question, fewer)
    partial = _fill(tmp_path / "p", _condition("image"), only=[0])
    refused("not complete", baseline, question, partial)
    drawn = _fill(tmp_path / "d", _condition("image", "replaced"))
    refused("one method", baseline, question, drawn)
    refused("more than once", baseline, [question, question], [image, image])
    refused("question_only", baseline, [], image, error=TypeError)
    refused("image_only", baseline, question, str(image.path), error=TypeError)
    refused("baseline", str(baseline.path), question, image, error=TypeError)
    refused("task", baseline, question, image, error=ValueError, task="colour")
    refused("candidates", baseline, question, image, error=ValueError, candidates="few")


def test_baselines_that_lack_something(three, tmp_path):
    _, question, image = three
    bare = _baseline(tmp_path / "bare", readout=False)
    with pytest.raises(StoreError, match=r"readout\.safetensors"):
        read_decision(bare, question, image)
    same = _baseline(tmp_path / "same", golds={i: "dark red" if TASKS[i] == "color" else GOLDS[i] for i in IDS})
    with pytest.raises(StoreError, match=r"task 'color'.*1 candidate"):
        read_decision(same, question, image)
    assert read_decision(same, question, image, task="yes-no").answers == ("no", "yes")
    with pytest.raises(StoreError, match="candidate"):
        read_decision(same, question, image, task="color")


def test_a_study_does_not_take_one_for_a_knockout(three):
    baseline, question, _ = three
    model, problems = check_model(StudyModel(name="m", baseline=baseline, knockouts=(question,)))
    assert model.knockouts == ()
    assert len(problems) == 1
    assert "as `decision`" in problems[0]
    assert decision_of(baseline.manifest.condition) == {}
