"""From a baseline to the model's posteriors with one modality absent: cut and replaced, killed, resumed, refused."""

import os
import signal
import time
from dataclasses import replace

import numpy as np
import pytest

from extraction import extract, extract_decision
from extraction.passes.capture import StatesPlan
from extraction.passes.encode import Encoder
from extraction.passes.forward import ForwardPlan, run_batch
from extraction.proof.knockout import KnockoutError
from extraction.run.decision import DecisionSettings, fill_decision
from extraction.run.jobs import extract_baseline
from extraction.run.settings import RunSettings
from pid_jax import read_decision
from pid_jax.store import NORM, ActivationStore, StoreError
from tests.extraction.random_models import random_llava

CUT = ("question-only@cut", "image-only@cut")
GOLDS = ("red", "blue", "circle", "Red.", "blue", "what")


@pytest.fixture(scope="module")
def answered(twins):
    """Six samples with two tasks, three samples each; every image and every question occurs twice."""
    return [
        replace(sample, answer=gold, task="abc"[i // 3], id=f"{i}")
        for i, (sample, gold) in enumerate(zip(twins, GOLDS, strict=True))
    ]


@pytest.fixture
def baseline(llava, answered, settings, tmp_path):
    return extract_baseline(llava, answered, settings, tmp_path / "baseline")


def _stores(found, kept, count=2):
    return [found[f"{kept}-only@replaced-{draw}"] for draw in range(1, count + 1)]


def test_cut(llava, answered, baseline, tmp_path):
    told = []
    found = fill_decision(
        llava,
        answered,
        baseline,
        tmp_path,
        DecisionSettings(),
        proved=lambda removal, *proofs: told.append(removal.name),
    )
    assert sorted(found) == sorted(told) == sorted(CUT)
    for name, store in found.items():
        assert store.path == tmp_path / name
        assert store.manifest.tensors == ("norm/last",)
        assert store.verify() == []
        assert store.manifest.evidence["removal"]["left"] < 1e-5 < store.manifest.evidence["removal"]["effect"]
        assert store.manifest.evidence["knockout"]["baseline_error"] < 1e-4
    question, image = (found[name] for name in CUT)
    for store, column in ((question, "question"), (image, "image_hash")):
        states, parts = store.read(role="last", layer=NORM), store.columns[column]
        for part in set(parts.tolist()):  # each occurs twice, with another image, or question
            one, other = states[parts == part]
            np.testing.assert_allclose(one, other, atol=1e-5)
        assert np.abs(states[0] - states[1]).max() > 1e-3
    decision = read_decision(baseline, question, image)
    assert decision.p_both.shape == (6, 4)
    assert decision.method == "cut"
    for p in (decision.p_both, decision.p_image, decision.p_question):
        np.testing.assert_allclose(p.sum(axis=1), 1)
    assert sorted(decision.of_task("a").answers) == ["blue", "circle", "red"]
    assert decision.gold_index.min() >= 0


def test_replaced(llava, answered, baseline, settings, tmp_path):
    found = fill_decision(llava, answered, baseline, tmp_path, DecisionSettings(absent="replaced", draws=2, seed=3))
    assert len(found) == 4
    encoder, by_id = Encoder.of(llava, settings.template), {sample.id: sample for sample in answered}
    plan = ForwardPlan(states=StatesPlan(roles=("last",), layers=()), max_new_tokens=2)
    for name, store in found.items():
        absent = store.manifest.condition["decision"]["absent"]
        assert (store.manifest.condition["name"], store.manifest.condition["decision"]["seed"]) == (name, 3)
        assert store.verify() == []
        states, columns = store.read(role="last", layer=NORM), store.columns
        for i, (own, partner) in enumerate(zip(store.ids, columns["replaced_by"], strict=True)):
            sample, source = by_id[own], by_id[partner]
            assert own != partner
            assert sample.task == source.task == columns["task"][i]
            assert columns["gold"][i] == sample.answer
            assert columns["question"][i] == (source if absent == "question" else sample).question
            assert columns["image"][i] == (source if absent == "image" else sample).image_name
            made = encoder.prepare(replace(sample, **{absent: getattr(source, absent)}))
            (result,) = run_batch(llava, [made], plan)
            np.testing.assert_allclose(states[i], result.states[0, 0, 0], atol=1e-5)
    both = read_decision(baseline, _stores(found, "question"), _stores(found, "image"))
    each = [
        read_decision(baseline, found[f"question-only@replaced-{k}"], found[f"image-only@replaced-{k}"]) for k in (1, 2)
    ]
    assert both.draws == 2
    np.testing.assert_allclose(both.p_question, (each[0].p_question + each[1].p_question) / 2)
    with pytest.raises(StoreError, match="seed"):
        fill_decision(llava, answered, baseline, tmp_path, DecisionSettings(absent="replaced", draws=2, seed=4))
    with pytest.raises(StoreError, match="draws"):
        read_decision(baseline, _stores(found, "question"), found["image-only@replaced-1"])


def test_from_python_on_all_models(vlm, twins, tmp_path):
    samples = [replace(sample, answer=gold) for sample, gold in zip(twins, GOLDS, strict=True)]
    parts = {"model": vlm.model, "processor": vlm.processor, "samples": samples}
    store = extract(**parts, store=tmp_path / "s", template="plain", max_new_tokens=2, roles=("last",), layers=(0,))
    cut = extract_decision(**parts, baseline=store, out=tmp_path)
    replaced = extract_decision(**parts, baseline=str(store.path), out=tmp_path, absent="replaced")
    assert sorted(cut) == sorted(CUT)
    assert sorted(replaced) == ["image-only@replaced-1", "question-only@replaced-1"]
    with pytest.raises(ValueError, match="samples"):
        extract_decision(**{**parts, "samples": samples[1:]}, baseline=store, out=tmp_path)


def test_broken_samples_are_failures_and_the_rest_goes_on(llava, answered, settings, tmp_path):
    broken = replace(answered[0], id="9", image=tmp_path / "none.png")
    alone = replace(answered[0], id="8", task="alone")
    samples = [*answered, alone, broken]
    baseline = extract_baseline(llava, samples, settings, tmp_path / "b")
    cut = fill_decision(llava, samples, baseline, tmp_path, DecisionSettings())
    replaced = fill_decision(llava, samples, baseline, tmp_path, DecisionSettings(absent="replaced"))
    for store in cut.values():
        assert [failure.id for failure in store.failures] == ["9"]
    for store in replaced.values():
        problems = {failure.id: failure.message for failure in store.failures}
        assert set(problems) == {"8", "9"}
        assert "no other sample of its task" in problems["8"]


@pytest.mark.fast_cases(1)
@pytest.mark.filterwarnings("ignore:os.fork")
@pytest.mark.parametrize("how", [DecisionSettings(), DecisionSettings(absent="replaced", draws=2)])
def test_killed_and_resumed(llava, answered, settings, tmp_path, how):
    many = [replace(answered[i % 6], id=f"{i:03d}") for i in range(40)]
    baseline = extract_baseline(llava, many, settings, tmp_path / "b")
    whole = fill_decision(llava, many, baseline, tmp_path / "whole", how)
    child = os.fork()
    if child == 0:
        try:
            fill_decision(llava, many, baseline, tmp_path / "killed", how)
        finally:
            os._exit(0)
    enough, start = 4, time.monotonic()
    while len(list((tmp_path / "killed").glob("*/shard-*"))) < enough and time.monotonic() - start < 60:
        time.sleep(0.001)
    os.kill(child, signal.SIGKILL)
    assert os.WIFSIGNALED(os.waitpid(child, 0)[1])
    there = len(list((tmp_path / "killed").glob("*/shard-*")))
    assert enough <= there < 10 * how.count, "killed in the middle"
    found = fill_decision(llava, many, baseline, tmp_path / "killed", how)
    for name, store in found.items():
        assert store.verify() == []
        for index in range(store.manifest.shard_count):
            assert store.shard_path(index).read_bytes() == whole[name].shard_path(index).read_bytes()


@pytest.mark.parametrize(
    ("given", "error", "match"),
    [
        ({"absent": "noise"}, ValueError, "absent"),
        ({"draws": 2}, ValueError, "draws"),
        ({"absent": "replaced", "draws": 0}, ValueError, "draws"),
        ({"absent": "replaced", "draws": 1.5}, TypeError, "draws"),
        ({"absent": "replaced", "seed": -1}, ValueError, "seed"),
        ({"absent": "replaced", "seed": True}, TypeError, "seed"),
    ],
)
def test_settings_that_are_refused(given, error, match):
    with pytest.raises(error, match=match):
        DecisionSettings(**given)


def test_baselines_that_are_refused(llava, answered, baseline, settings, tmp_path):
    def decide(base, samples=answered, vlm=llava):
        return fill_decision(vlm, samples, base, tmp_path / "d", DecisionSettings())

    bare = extract_baseline(llava, answered, replace(settings, roles=("image",)), tmp_path / "bare")
    with pytest.raises(ValueError, match=r"baseline.*'last'"):
        decide(bare)
    cut = decide(baseline)[CUT[0]]
    with pytest.raises(ValueError, match=r"baseline.*question-only@cut"):
        decide(cut)
    with pytest.raises(ValueError, match="fingerprint"):
        decide(baseline, vlm=random_llava(seed=1))
    same = [replace(sample, image=answered[0].image) for sample in answered]
    one_image = extract_baseline(llava, same, settings, tmp_path / "one")
    with pytest.raises(ValueError, match="at least two images"):
        fill_decision(llava, same, one_image, tmp_path / "e", DecisionSettings())


def test_states_other_than_the_baselines_are_refused(llava, answered, baseline, tmp_path, monkeypatch):
    monkeypatch.setattr("extraction.proof.stored.tolerance_of", lambda vlm: -1.0)
    for how in (DecisionSettings(), DecisionSettings(absent="replaced")):
        with pytest.raises(KnockoutError, match="baseline"):
            fill_decision(llava, answered, baseline, tmp_path, how)


def test_no_layers_but_the_norm_need_the_role_last():
    fields = {"model": None, "data": None, "template": ""}
    assert RunSettings(**fields, roles=("last",), layers=()).layers == ()
    with pytest.raises(ValueError, match="layers"):
        RunSettings(**fields, roles=("image", "last"), layers=())


def test_stores_open_again(llava, answered, baseline, tmp_path):
    fill_decision(llava, answered, baseline, tmp_path, DecisionSettings())
    opened = [ActivationStore.open(tmp_path / name) for name in CUT]
    assert read_decision(baseline, *opened, task="a").ids.tolist() == ["0", "1", "2"]
