"""Real checkpoints on disk load as they are; what cannot be loaded says why."""

import json
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

from extraction.model.families import family_of
from extraction.model.load import load_model, wrap_model
from extraction.model.own_processors import original_name
from extraction.model.shipped import WEIGHTS
from extraction.passes.batch import make_batch
from tests.extraction.conftest import encoder_of
from tests.extraction.random_models import random_llava


@pytest.fixture(scope="module")
def folder(vlm, tmp_path_factory):
    path = tmp_path_factory.mktemp("checkpoint")
    vlm.model.save_pretrained(path)
    vlm.processor.save_pretrained(path)
    return path


def load_again(vlm, folder, dtype):
    attention = vlm.text_config._attn_implementation
    return load_model(str(folder), dtype=dtype, device="cpu", attn_implementation=attention, local_files_only=True)


def test_saved_model_loads_and_gives_the_same_logits(vlm, folder, samples):
    loaded = load_again(vlm, folder, "float32")
    assert type(loaded.model) is type(vlm.model)
    assert len(loaded.layers) == len(vlm.layers)
    made = [make_batch(v, [encoder_of(v).prepare(samples[0])]) for v in (vlm, loaded)]
    with torch.inference_mode():
        one, two = (v.model(**b.inputs).logits for v, b in zip((vlm, loaded), made, strict=True))
    torch.testing.assert_close(one, two)


def test_checkpoints_name_the_processors_of_transformers(vlm, folder, samples, tmp_path):
    """And bring a video processor, which is left alone."""
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    path = tmp_path / "processor_config.json"
    saved = json.loads(path.read_text())
    named = original_name(saved["processor_class"])
    video = {"video_processor_type": f"{type(vlm.model).__name__}VideoProcessor", "size": {"height": 8, "width": 8}}
    path.write_text(json.dumps({**saved, "processor_class": named, "video_processor": video}))
    (tmp_path / "video_preprocessor_config.json").write_text(json.dumps(video))
    loaded = load_again(vlm, tmp_path, "float32")
    assert original_name(type(loaded.processor).__name__) == named
    one, two = (encoder_of(v).prepare(samples[0]) for v in (vlm, loaded))
    np.testing.assert_array_equal(one.input_ids, two.input_ids)
    for name, value in one.image_inputs.items():
        np.testing.assert_array_equal(value, two.image_inputs[name])


def test_half_precision_runs(vlm, folder, samples):
    loaded = load_again(vlm, folder, "bfloat16")
    batch = make_batch(loaded, [encoder_of(loaded).prepare(samples[0])])
    assert batch.inputs["pixel_values"].dtype == torch.bfloat16
    with torch.inference_mode():
        assert loaded.model(**batch.inputs).logits.isfinite().all()


def test_missing_folder():
    with pytest.raises(ValueError, match=r"'/no/such'.*config.json"):
        load_model("/no/such", local_files_only=True)


def test_folder_without_processor(tmp_path):
    for name in ("config.json", "model.safetensors", "generation_config.json"):
        shutil.copy(WEIGHTS / name, tmp_path / name)
    with pytest.raises(ValueError, match=r"has no processor that loads.*Copy the processor files"):
        load_model(str(tmp_path), local_files_only=True)


def test_folder_without_weights(tmp_path):
    for source in WEIGHTS.iterdir():
        if source.suffix != ".safetensors":
            shutil.copy(source, tmp_path / source.name)
    with pytest.raises(ValueError, match="could not be loaded"):
        load_model(str(tmp_path), local_files_only=True)


def test_another_architecture(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(ValueError, match=r"'bert'.*LLaVA-1\.5"):
        load_model(str(tmp_path), local_files_only=True)


@pytest.mark.parametrize(("option", "value"), [("attn_implementation", "flash_attention_2"), ("dtype", "int8")])
def test_unknown_options(option, value):
    with pytest.raises(ValueError, match=f"{option} must be .*'{value}'"):
        load_model("tiny", **{option: value})


def test_model_of_no_family():
    with pytest.raises(ValueError, match=r"'Linear'.*'None'"):
        wrap_model(torch.nn.Linear(1, 1), None)


def test_model_without_decoder():
    vlm = random_llava()
    vlm.model.model.language_model = None
    with pytest.raises(ValueError, match=r"layers.*rotary_emb.*model\.language_model"):
        wrap_model(vlm.model, vlm.processor)


def test_device_or_device_map():
    with pytest.raises(ValueError, match=r"device.*\('cpu'\).*device_map.*\('auto'\)"):
        load_model("tiny", device="cpu", device_map="auto")


def test_code_of_a_checkpoint_never_runs(tmp_path, monkeypatch):
    """Nor is anybody asked whether it may."""
    (tmp_path / "config.json").write_text('{"model_type": "mine", "auto_map": {"AutoConfig": "mine.Config"}}')
    (tmp_path / "mine.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass Config: pass\n")
    monkeypatch.setattr("builtins.input", lambda *args: pytest.fail("asked"))
    with pytest.raises(ValueError, match="could not be loaded"):
        load_model(str(tmp_path), local_files_only=True)
    assert not (tmp_path / "ran").exists()


def test_missing_weights_are_not_filled_with_random_ones(tmp_path):
    for source in WEIGHTS.iterdir():
        shutil.copy(source, tmp_path / source.name)
    weights = load_file(tmp_path / "model.safetensors")
    dropped = next(name for name in weights if "layers.3.mlp" in name)
    save_file({k: v for k, v in weights.items() if k != dropped}, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(ValueError, match=r"layers\.3\.mlp"):
        load_model(str(tmp_path), local_files_only=True)
    (tmp_path / "model.safetensors").write_bytes((WEIGHTS / "model.safetensors").read_bytes()[:-1000])
    with pytest.raises(ValueError, match="could not be loaded"):
        load_model(str(tmp_path), local_files_only=True)


def test_attention_without_a_mask_is_refused():
    vlm = random_llava()
    vlm.text_config._attn_implementation = "flex_attention"
    with pytest.raises(ValueError, match="'flex_attention'"):
        wrap_model(vlm.model, vlm.processor)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is one")
def test_device_that_is_not_there():
    with pytest.raises(ValueError, match=r"device.*'cuda:0'"):
        load_model("tiny", device="cuda:0")


@pytest.mark.parametrize(
    ("model_type", "title"),
    [("idefics2", "Idefics2"), ("llava_next_video", "LLaVA-NeXT-Video")],
)
def test_a_relative_of_a_family_is_refused_by_its_name(model_type, title):
    assert model_type in CONFIG_MAPPING_NAMES
    with pytest.raises(ValueError, match=rf"family {title} \('{model_type}'\), .*the first SmolVLM \('idefics3'\)"):
        family_of(SimpleNamespace(model_type=model_type), "a/b")
