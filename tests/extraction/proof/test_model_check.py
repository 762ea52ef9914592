"""`pid-extract check` runs all self-tests of a model, and fails if one does."""

import json
from dataclasses import replace

from extraction import extract
from extraction.cli.main import main
from extraction.model.prompts import resolve_template
from extraction.passes.capture import Recorder
from extraction.proof.model_check import check_model
from pid_jax import ActivationStore
from tests.extraction.random_models import random_llava


def test_every_family(vlm):
    found = check_model(vlm, resolve_template("vicuna_v1", vlm.processor, vlm.family))
    assert [one.subject for one in found] == ["states", "shared images", "knockout"]
    assert not [one.finding for one in found if one.is_failed]


def test_a_template_with_the_question_first():
    vlm = random_llava()
    found = check_model(vlm, "USER: {q} <image> ASSISTANT:")
    assert not [one.finding for one in found if one.is_failed]
    assert "before the image" in found[1].finding


def test_a_template_that_makes_no_prompt():
    """A tokenizer that drops the line break leaves the question at the end."""
    (found,) = check_model(random_llava(), "USER: <image> {q}\n")
    assert found.is_failed
    assert "--template" in found.finding


def test_states_that_are_not_finite():
    vlm = random_llava()
    vlm.norm.weight.data[0] = float("nan")
    (states, *_) = check_model(vlm, "USER: <image> {q} ASSISTANT:")
    assert states.is_failed
    assert "not finite" in states.finding


def swap(self, layer, hidden, record=Recorder.record):
    record(self, layer, hidden.roll(1, dims=1))


def test_the_command(command_line, monkeypatch):
    pid_extract = command_line("pid-extract", main)
    code, text, _ = pid_extract("check", "tiny", "--attn-implementation", "eager")
    assert code == 0
    for part in ("  states ", "equal output_hidden_states", "eager, float32, cpu", "  shared images ", "  knockout "):
        assert part in text
    assert len(text.splitlines()) < 25, "one screen"
    monkeypatch.setattr(Recorder, "record", swap)
    code, text, err = pid_extract("check", "tiny")
    assert code == 1
    assert "x states " in text
    assert "failed: states" in err


def test_info_shows_what_the_run_compared(command_line, samples, tmp_path):
    vlm, pid_extract = random_llava(), command_line("pid-extract", main)
    store = extract(vlm.model, vlm.processor, samples, tmp_path / "s", template="vicuna_v1")
    code, text, _ = pid_extract("info", str(store.path))
    assert code == 0
    assert "equal output_hidden_states" in text
    _, text, _ = pid_extract("info", str(store.path), "--json")
    assert json.loads(text)["parity"]["attention"] == "sdpa"
    other = ActivationStore.create(tmp_path / "t", replace(store.manifest, evidence={}))
    code, text, _ = pid_extract("info", str(other.path))
    assert code == 0
    assert "output_hidden_states" not in text
