"""With a modality removed, neither states nor answers depend on it: on models of all families, and on a trained one."""

from dataclasses import replace

import numpy as np
import pytest

from extraction.datasets.load import DataSettings, load_samples
from extraction.model.load import load_model
from extraction.passes.batch import make_batch
from extraction.passes.capture import StatesPlan
from extraction.passes.edges import Knockout
from extraction.passes.forward import ForwardPlan, run_batch
from extraction.passes.prompt_pass import pass_prompts
from extraction.passes.removal import MODALITIES, describe_removal, extent_in, other_modality, removal_of, span_of
from extraction.proof.knockout import KnockoutError, prove_knockout
from extraction.proof.removal import prove_removal
from tests.extraction.conftest import encoder_of
from tests.extraction.random_models import LAYERS, random_llava

ROUNDING = 1e-5
TEMPLATES = (
    "vicuna_v1",
    "{q} USER: <image> ASSISTANT:",
    "<image>{q} ASSISTANT",
)  # also the question first, and no text between


def _plan(**changes) -> ForwardPlan:
    fields = {"states": StatesPlan(roles=("last",), layers=(0, LAYERS)), "max_new_tokens": 4}
    return ForwardPlan(**fields | changes)


def _change(results) -> list[float]:
    """Largest difference between two samples, relative to the largest value, under each condition."""
    states = [result.states[:, :, 0] for result in results]
    return [np.abs(one[0] - one[1]).max() / np.abs(one).max() for one in states]


def _pair(encoder, samples, absent):
    """One sample, and the same with another image or question, of another length."""
    other = replace(samples[0], id="twin", **{absent: getattr(samples[1], absent)})
    return [encoder.prepare(sample) for sample in (samples[0], other)]


@pytest.mark.parametrize("template", TEMPLATES)
@pytest.mark.parametrize("absent", MODALITIES)
def test_nothing_depends_on_what_is_removed(vlm, samples, absent, template):
    encoder = encoder_of(vlm, template)
    pair = _pair(encoder, samples, absent)
    removal = removal_of(absent, LAYERS, extent_in(vlm, pair[0], absent))
    for share in (True, False):
        plain, removed = run_batch(vlm, pair, _plan(share_images=share), [None, removal])
        before, after = _change([plain, removed])
        assert before > 1e-3
        assert after < ROUNDING
        assert removed.answers[0] == removed.answers[1]


def test_answers_of_several_tokens_do_not_read_the_image_either(samples):
    """Without the mask of new tokens they would: states of the prompt are equal, and answers differ."""
    vlm = random_llava()
    encoder = encoder_of(vlm)
    others = [replace(samples[i % 3], id=str(i), image=samples[i // 3].image) for i in range(9)]
    prepared = [encoder.prepare(sample) for sample in others]
    removal = removal_of("image", LAYERS, extent_in(vlm, prepared[0], "image"))
    (removed,) = run_batch(vlm, prepared, _plan(max_new_tokens=12), [removal])
    assert removed.answers[:3] == removed.answers[3:6] == removed.answers[6:]
    cut = Knockout(mask=removal.mask, title="cut", first=0, last=LAYERS - 1)
    (leaking,) = run_batch(vlm, prepared, _plan(max_new_tokens=12), [cut])
    np.testing.assert_allclose(leaking.states, removed.states, atol=1e-5)
    assert not leaking.answers[:3] == leaking.answers[3:6] == leaking.answers[6:]


def test_the_template_after_the_question_and_positions_would_reveal_it(samples):
    """The former hands on the question, and the latter its length."""
    vlm = random_llava()
    encoder = encoder_of(vlm)
    whole = {"first": 0, "last": LAYERS - 1}
    last_only = Knockout(edges=(("question", "last"),), **whole)
    edges = Knockout(edges=(("question", "last"), ("question", "suffix")), **whole)
    removal = removal_of("question", LAYERS, 8)
    conditions = [last_only, edges, replace(removal, extent=None), removal]
    changes = {}
    for question in ("what is the color of the thing ?", "what is this ?"):
        twin = replace(samples[0], id="twin", question=question)
        changes[question] = _change(
            run_batch(vlm, [encoder.prepare(s) for s in (samples[0], twin)], _plan(), conditions)
        )
    same_length, shorter = changes.values()
    assert same_length[0] > 1e-2
    assert max(same_length[1:]) < ROUNDING
    assert min(shorter[:3]) > 1e-2
    assert shorter[3] < ROUNDING


@pytest.mark.parametrize("absent", MODALITIES)
def test_extent_does_not_change_a_prompt_that_has_it(vlm, samples, absent):
    prepared = [encoder_of(vlm).prepare(samples[0])]
    removal = removal_of(absent, LAYERS, extent_in(vlm, prepared[0], absent))
    longer = replace(removal, extent=removal.extent + 5)
    results = run_batch(vlm, prepared, _plan(), [replace(removal, extent=None), removal, longer])
    np.testing.assert_array_equal(results[0].states, results[1].states)
    assert np.abs(results[0].states - results[2].states).max() > 1e-4


def test_positions_after_the_span_alone_are_moved(vlm, prepared):
    batch = make_batch(vlm, prepared)
    done = pass_prompts(vlm, batch, _plan().states)
    for absent in MODALITIES:
        removal = removal_of(absent, LAYERS, 50)
        moved = removal.positions(done.groups, done.positions).reshape(-1, *done.groups.codes.shape)
        old = done.positions.expand_as(moved) if done.positions.ndim == 2 else done.positions
        span = span_of(done.groups, absent)
        for row in range(len(prepared)):
            first, last = np.flatnonzero(span[row].numpy())[[0, -1]]
            np.testing.assert_array_equal(moved[:, row, : last + 1], old[..., row, : last + 1].reshape(-1, last + 1))
            assert (moved[:, row, last + 1] - moved[:, row, first] == 50).all()
            np.testing.assert_array_equal(np.diff(moved[0, row, last + 1 :]), 1)


@pytest.mark.parametrize("absent", MODALITIES)
def test_proof_passes_on_all_models(vlm, samples, absent):
    encoder = encoder_of(vlm)
    prepared = [encoder.prepare(sample) for sample in samples]
    removal = removal_of(absent, LAYERS, extent_in(vlm, prepared[0], absent))
    mask = prove_knockout(vlm, replace(removal, extent=None), prepared[:2])
    assert mask.weight_left == 0 < mask.weight_cut
    proof = prove_removal(vlm, encoder, removal, prepared[0], prepared)
    assert proof.left < ROUNDING < 1e-3 < proof.effect
    assert proof.samples[0] == "000" != proof.samples[1]


def test_proof_finds_what_is_left(samples, monkeypatch):
    vlm = random_llava()
    encoder = encoder_of(vlm)
    prepared = [encoder.prepare(sample) for sample in samples]
    removal = removal_of("question", LAYERS, 8)
    with pytest.raises(KnockoutError, match="question"):
        prove_removal(vlm, encoder, replace(removal, extent=None), prepared[0], prepared)
    late = replace(removal_of("image", LAYERS, 16), first=1)
    with pytest.raises(KnockoutError, match="image"):
        prove_removal(vlm, encoder, late, prepared[0], prepared)
    with pytest.raises(ValueError, match="at least two questions"):
        prove_removal(vlm, encoder, removal, prepared[0], prepared[:1])


def test_a_trained_model():
    """Twenty questions of easy-VQA about other images, and twenty images with other questions."""
    vlm = load_model("tiny")
    encoder = encoder_of(vlm, "plain")
    samples = load_samples(DataSettings(reader="easy-vqa", per_task=10, one_per_image=True))
    first = encoder.prepare(samples[0])
    plan = ForwardPlan(states=StatesPlan(roles=("last",), layers=()), max_new_tokens=2)
    for absent in MODALITIES:
        part = {absent: getattr(samples[0], absent)}
        twins = [encoder.prepare(replace(s, id=f"{s.id}-", **part)) for s in samples[1:]]
        prepared = [encoder.prepare(s) for s in samples[1:]]
        removal = removal_of(absent, len(vlm.layers), extent_in(vlm, first, absent))
        plain, removed = run_batch(vlm, [*prepared, *twins], plan, [None, removal])
        size, count = np.abs(plain.states).max(), len(prepared)
        effect, left = (np.abs(r.states[:count] - r.states[count:]).max() / size for r in (plain, removed))
        assert left < ROUNDING < 0.1 < effect
        assert removed.answers[:count] == removed.answers[count:]


def test_names():
    removal = removal_of("image", 3, 16)
    condition = describe_removal(removal)
    assert (removal.name, condition["name"]) == ("question-only@cut", "question-only@cut")
    assert condition["decision"] == {"kept": "question", "absent": "image", "method": "cut", "extent": 16}
    assert [other_modality(one) for one in MODALITIES] == ["question", "image"]
    with pytest.raises(ValueError, match="absent"):
        removal_of("sound", 3)
