"""States are compared with `output_hidden_states` of a plain call before anything is extracted."""

from dataclasses import asdict, replace

import numpy as np
import pytest
import torch

from extraction import extract
from extraction.passes.capture import Recorder
from extraction.passes.prompt_pass import pass_prompts
from extraction.proof.parity import ParityError, prove_parity
from pid_jax import ActivationStore
from pid_jax.store.info import describe_store
from pid_jax.store.manifest import GROUPS
from tests.extraction.conftest import MODELS, encoder_of, implementations
from tests.extraction.random_models import LAYERS, random_llava


def prepared_of(vlm, samples):
    return [encoder_of(vlm).prepare(sample) for sample in samples]


@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
def test_every_family(vlm, prepared, implementation):
    """Two prompts of different length, so that one is padded in a batch."""
    if implementation not in implementations(vlm):
        pytest.skip(f"{implementation} cannot cap the logits of attention")
    before, vlm.text_config._attn_implementation = vlm.text_config._attn_implementation, implementation
    try:
        proof = prove_parity(vlm, prepared, GROUPS)
    finally:
        vlm.text_config._attn_implementation = before
    assert proof is not None
    assert (proof.attention, proof.dtype, proof.devices) == (implementation, "float32", ("cpu",))
    assert proof.samples == ("000", "001")
    assert proof.states == 2 * len(GROUPS) * (LAYERS + 2)
    assert proof.alone < 8e-7
    assert proof.together < 2e-6


# Twice what docs/models.md says.
HALVES = {torch.float16: 6e-3, torch.bfloat16: 4e-2}


@pytest.mark.fast_cases(2)
@pytest.mark.parametrize("build", MODELS.values(), ids=MODELS)
@pytest.mark.parametrize("dtype", HALVES)
def test_half_precision(dtype, build, samples):
    vlm = build()
    vlm.model.to(dtype)
    proof = prove_parity(vlm, prepared_of(vlm, samples[:2]))
    assert proof is not None
    assert proof.dtype == str(dtype).removeprefix("torch.")
    assert proof.alone < 8e-7 < proof.tolerance_alone
    assert proof.together < HALVES[dtype] < proof.tolerance_together


def shift_layers(self, layer, hidden, record=Recorder.record):
    record(self, layer - 1 if isinstance(layer, int) and layer > 2 else layer, hidden)


def shift_positions(self, layer, hidden, record=Recorder.record):
    record(self, layer, hidden.roll(1, dims=1))


def forget(self, layer, hidden, record=Recorder.record):
    if layer != 3:
        record(self, layer, hidden)


def round_off(self, layer, hidden, record=Recorder.record):
    record(self, layer, hidden.half())


def use_normed(self, layer, hidden, record=Recorder.record):
    record(self, layer, hidden)
    if layer == "norm":
        record(self, LAYERS, hidden)


@pytest.mark.parametrize("fault", [shift_layers, shift_positions, forget, round_off, use_normed])
def test_faults_of_recording_are_found(fault, samples, monkeypatch):
    vlm = random_llava()
    two = prepared_of(vlm, samples[:2])
    assert prove_parity(vlm, two) is not None
    monkeypatch.setattr(Recorder, "record", fault)
    with pytest.raises(ParityError, match="output_hidden_states"):
        prove_parity(vlm, two)


def test_faults_of_padding_are_found(samples, monkeypatch):
    """Each sample alone is right, both in a batch are not."""
    vlm = random_llava()
    two = prepared_of(vlm, samples[:2])
    monkeypatch.setattr("extraction.passes.batch.count_positions", lambda is_token: torch.ones_like(is_token).cumsum(1))
    assert prove_parity(vlm, two[:1]) is not None
    monkeypatch.setattr(
        "extraction.passes.batch.count_positions", lambda is_token: is_token.long().cumsum(1).flip(1).clamp_min(0)
    )
    with pytest.raises(ParityError, match="run alone"):
        prove_parity(vlm, two)


def test_masks_that_let_padding_in_are_found(samples, monkeypatch):
    vlm = random_llava()
    two = prepared_of(vlm, samples[:2])

    def blind(vlm, batch, *args, **kwargs):
        batch.inputs["attention_mask"] = torch.ones_like(batch.inputs["attention_mask"])
        return pass_prompts(vlm, batch, *args, **kwargs)

    monkeypatch.setattr("extraction.passes.forward.pass_prompts", blind)
    with pytest.raises(ParityError, match="in one batch"):
        prove_parity(vlm, two)


def test_another_decoder_than_the_one_that_runs(samples):
    vlm = random_llava()
    two = prepared_of(vlm, samples[:2])
    vlm.decoder.layers.append(vlm.decoder.layers[-1])
    with pytest.raises(ParityError, match="another decoder"):
        prove_parity(vlm, two)


def test_samples_that_are_not_finite_are_no_proof(samples):
    vlm = random_llava()
    three = prepared_of(vlm, samples)
    three[0].image_inputs["pixel_values"][:] = np.nan
    proof = prove_parity(vlm, three)
    assert proof is not None
    assert proof.samples == ("001", "002")
    assert prove_parity(vlm, three[:1]) is None


def test_it_is_in_the_manifest_and_shown(samples, tmp_path):
    vlm = random_llava()
    store = extract(vlm.model, vlm.processor, samples, tmp_path / "s", template="vicuna_v1", layers=(0, -1))
    found = describe_store(ActivationStore.open(store.path)).parity
    assert list(found["samples"]) == ["000", "001"]
    assert found["states"] == 2 * 3 * 3
    expected = prove_parity(vlm, prepared_of(vlm, samples[:2]), layers=(0, LAYERS))
    assert expected is not None
    assert found["alone"] == asdict(expected)["alone"]


def test_nothing_is_written_where_it_fails(samples, tmp_path, monkeypatch):
    vlm = random_llava()
    monkeypatch.setattr(Recorder, "record", shift_positions)
    with pytest.raises(ParityError):
        extract(vlm.model, vlm.processor, samples, tmp_path / "s", template="vicuna_v1", share_images=False)
    assert not (tmp_path / "s").exists()


def test_it_decides_nothing(samples, tmp_path):
    """A store with other figures, or none, is resumed."""
    vlm = random_llava()
    whole = extract(vlm.model, vlm.processor, samples, tmp_path / "s", template="vicuna_v1", shard_size=2)
    manifest = whole.manifest
    other = ActivationStore.create(tmp_path / "t", replace(manifest, evidence={}))
    again = extract(vlm.model, vlm.processor, samples, other.path, template="vicuna_v1", shard_size=2)
    assert again.is_complete
    assert again.manifest.digest == manifest.digest
    assert describe_store(again).parity == {}
