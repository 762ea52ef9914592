"""Image states are replaced where they enter a block, and nothing else is."""

import numpy as np
import pytest
import torch

from extraction import image_replacement
from extraction.passes.batch import make_batch
from extraction.passes.capture import Recorder, StatesPlan, watching
from extraction.passes.edges import describe_condition
from extraction.passes.forward import ForwardPlan, run_batch
from extraction.passes.replacement import Replacement, replacing
from extraction.proof.knockout import KnockoutError
from extraction.proof.replacement import prove_replacement
from extraction.run.jobs import extract_baseline, extract_knockouts
from tests.extraction.conftest import MODELS, encoder_of
from tests.extraction.random_models import LAYERS, random_llava
from tests.extraction.random_runs import random_run

PLAN = StatesPlan(roles=("image", "question", "last"), layers=tuple(range(LAYERS + 1)))
FORWARD = ForwardPlan(states=PLAN, max_new_tokens=2)


def _adds_features(vlm):
    return hasattr(vlm.model.config.vision_config, "deepstack_visual_indexes")


@pytest.fixture
def first(vlm):
    return 3 if _adds_features(vlm) else 1


@pytest.mark.parametrize("method", ["mean", "noise"])
def test_self_test_passes_on_all_models(vlm, prepared, method, first):
    proof = prove_replacement(vlm, image_replacement(method, first=first, blocks=LAYERS), prepared)
    assert max(proof.mean_error, proof.spread_error, proof.tail_error) < 1e-5
    assert proof.moved > 1e-3
    assert proof.effect > 0


@pytest.mark.parametrize("method", ["mean", "noise"])
@torch.inference_mode()
def test_the_short_pass_equals_a_hook(vlm, encoder, twins, method, first):
    replacement = image_replacement(method, first=first, blocks=LAYERS)
    six = [encoder.prepare(sample) for sample in twins]
    base, found = run_batch(vlm, six, FORWARD, [None, replacement])
    batch = make_batch(vlm, six)
    recorder = Recorder(vlm, batch.groups, PLAN, batch.has_prefix)
    with watching(vlm, recorder, {}), replacing(vlm, replacement, batch.groups):
        vlm.model(**batch.inputs, use_cache=False, logits_to_keep=1)
    hooks = recorder.states.numpy()
    np.testing.assert_allclose(found.states, hooks, atol=1e-5 * max(1.0, float(np.abs(hooks).max())), rtol=0)
    np.testing.assert_array_equal(found.states[:, : first + 1], base.states[:, : first + 1])
    assert np.abs(found.states[:, first + 1] - base.states[:, first + 1]).max() > 1e-4


def test_noise_depends_on_the_sample_and_the_seed_alone(samples):
    vlm = random_llava()
    prepared = [encoder_of(vlm).prepare(sample) for sample in samples]
    together, back = make_batch(vlm, prepared), make_batch(vlm, prepared[::-1])
    hidden = torch.randn(3, together.length, 8, generator=torch.Generator().manual_seed(0))
    image = together.groups.mask("image")
    noise = image_replacement("noise", blocks=LAYERS)
    one, other = noise.enter(hidden, together.groups), noise.enter(hidden.flip(0), back.groups).flip(0)
    assert torch.equal(one, other)
    assert torch.equal(one[~image], hidden[~image])
    assert not torch.equal(one, image_replacement("noise", blocks=LAYERS, seed=1).enter(hidden, together.groups))
    for row in range(3):
        old, new = hidden[row, image[row]], one[row, image[row]]
        torch.testing.assert_close(new.mean(0), old.mean(0), atol=1e-6, rtol=0)
        torch.testing.assert_close(new.std(0), old.std(0), atol=1e-6, rtol=0)
    mean = image_replacement("mean", blocks=LAYERS).enter(hidden, together.groups)
    assert (mean[0, image[0]] == hidden[0, image[0]].mean(0)).all()


def test_names_and_condition():
    everywhere, later = image_replacement(blocks=8), image_replacement("noise", first=3, blocks=8, seed=4)
    assert (everywhere.name, later.name) == ("image-mean@all", "image-noise@3-7")
    assert describe_condition(later)["replacement"] == {"method": "noise", "seed": 4}
    assert (later.label, describe_condition(later)["mask"]) == (
        "Image states replaced by noise, from layer 3 on",
        "image-noise",
    )


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda new, old, image: old, "unchanged"),
        (lambda new, old, image: new * 1.01, "means of image states"),
        (lambda new, old, image: torch.where(image[..., None], new, new + 1e-3), "states of other positions"),
    ],
    ids=["nothing", "other means", "other positions"],
)
def test_self_test_sees_faults(samples, monkeypatch, change, match):
    vlm = random_llava()
    prepared = [encoder_of(vlm).prepare(sample) for sample in samples[:2]]
    enter = Replacement.enter

    def wrong(self, hidden, groups):
        return change(enter(self, hidden, groups), hidden, groups.mask("image"))

    monkeypatch.setattr(Replacement, "enter", wrong)
    with pytest.raises(KnockoutError, match=match):
        prove_replacement(vlm, image_replacement("noise", first=1, blocks=LAYERS), prepared)


def test_self_test_sees_a_short_pass_that_does_nothing(samples, monkeypatch):
    vlm = random_llava()
    prepared = [encoder_of(vlm).prepare(sample) for sample in samples[:2]]
    enter = Replacement.enter
    calls = []

    def once(self, hidden, groups):
        calls.append(1)
        return enter(self, hidden, groups) if len(calls) == 1 else hidden

    monkeypatch.setattr(Replacement, "enter", once)
    with pytest.raises(KnockoutError, match="disagrees with the hook"):
        prove_replacement(vlm, image_replacement("mean", first=1, blocks=LAYERS), prepared)


@pytest.mark.parametrize("name", [name for name in MODELS if "qwen3" in name.lower()])
def test_features_that_are_added_later_are_refused(name, samples):
    vlm = MODELS[name]()
    prepared = [encoder_of(vlm).prepare(sample) for sample in samples[:2]]
    with pytest.raises(ValueError, match="leaves features of the image"):
        prove_replacement(vlm, image_replacement(first=0, blocks=LAYERS), prepared)


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ({"method": "zero"}, ValueError, "method"),
        ({"first": 8}, ValueError, "first"),
        ({"first": -1}, ValueError, "first"),
        ({"seed": 0.5}, TypeError, "seed"),
    ],
)
def test_bad_arguments(arguments, error, match):
    with pytest.raises(error, match=match):
        image_replacement(**{"blocks": 8, **arguments})


def test_a_store(samples, tmp_path):
    vlm = random_llava()
    settings = random_run(vlm, max_new_tokens=1)
    baseline = extract_baseline(vlm, samples, settings, tmp_path / "baseline")
    replaced = [image_replacement(method, blocks=LAYERS) for method in ("mean", "noise")]
    stores = extract_knockouts(vlm, samples, baseline, replaced, tmp_path)
    assert list(stores) == ["image-mean@all", "image-noise@all"]
    for store in stores.values():
        assert store.verify() == []
        assert store.manifest.evidence["replacement"]["mean_error"] < 1e-5
        np.testing.assert_array_equal(store.read(role="image", layer=0), baseline.read(role="image", layer=0))
        assert np.abs(store.read(role="image", layer=1) - baseline.read(role="image", layer=1)).max() > 1e-4
