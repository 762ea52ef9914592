"""Checkpoints as people save them: what their files switch on is overridden, reported or refused."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from extraction.api import extract
from extraction.cli.main import main
from extraction.datasets.sample import Sample
from extraction.model.fingerprint import fingerprint
from extraction.model.load import load_model, wrap_model
from extraction.model.processors import probe_image
from extraction.model.prompts import TEMPLATES
from extraction.model.shipped import WEIGHTS
from extraction.passes.batch import make_batch
from extraction.passes.encode import Encoder
from extraction.proof.preflight import look_over
from extraction.run.fill import RunOptions
from tests.extraction.random_models import build_tokenizer, random_llava

SAMPLE = Sample(id="1", image=probe_image(), question="what is the color of the shape ?", answer="red", task="color")
SHORT = Sample(id="2", image=probe_image(), question="what is this ?", answer="red", task="color")


def altered(folder: Path, **changes) -> str:
    """Copy the tiny model; `changes` name a file by its stem and update its JSON, or delete it if None."""
    for source in WEIGHTS.iterdir():
        if source.suffix in (".json", ".safetensors"):
            shutil.copy(source, folder / source.name)
    for stem, change in changes.items():
        path = folder / f"{stem}.json"
        fields = json.loads(path.read_text()) if path.is_file() else {}
        change(fields)
        path.write_text(json.dumps(fields))
    return str(folder)


def load(path: str):
    return load_model(path, device="cpu", dtype="float32", local_files_only=True)


def encoder_of(vlm) -> Encoder:
    return Encoder.of(vlm, TEMPLATES["plain"])


def found(vlm, subject: str):
    return next(check for check in look_over(vlm) if check.subject == subject)


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return load(altered(tmp_path_factory.mktemp("plain")))


def logits(vlm, samples) -> torch.Tensor:
    encoder = encoder_of(vlm)
    with torch.inference_mode():
        return vlm.model(**make_batch(vlm, [encoder.prepare(s) for s in samples]).inputs).logits[:, -1].float()


CUTS = {
    "tokenizer.json": {
        "tokenizer": lambda f: f.update(
            truncation={"direction": "Right", "max_length": 6, "strategy": "LongestFirst", "stride": 0}
        )
    },
    "from the left": {
        "tokenizer": lambda f: f.update(
            truncation={"direction": "Left", "max_length": 6, "strategy": "LongestFirst", "stride": 0}
        )
    },
    "tokenizer_config.json": {"tokenizer_config": lambda f: f.update(truncation=True, max_length=6)},
    "max_length alone": {"tokenizer_config": lambda f: f.update(max_length=6)},
}


@pytest.mark.parametrize("name", CUTS)
def test_no_saved_truncation_cuts_a_prompt(name, plain, tmp_path):
    vlm = load(altered(tmp_path, **CUTS[name]))
    one, other = (encoder_of(v).prepare(SAMPLE) for v in (vlm, plain))
    np.testing.assert_array_equal(one.input_ids, other.input_ids)
    np.testing.assert_array_equal(one.codes, other.codes)
    assert len(one) > 20
    assert fingerprint(vlm) == fingerprint(plain)  # the same tokens, so the same hash
    check = found(vlm, "truncation")
    assert check.is_notable
    assert "to 6 tokens; not applied" in check.finding


PADS = {
    "tokenizer.json": {
        "tokenizer": lambda f: f.update(
            padding={
                "strategy": {"Fixed": 60},
                "direction": "Right",
                "pad_to_multiple_of": None,
                "pad_id": 0,
                "pad_type_id": 0,
                "pad_token": "<pad>",
            }
        )
    },
    "side": {"tokenizer_config": lambda f: f.update(padding_side="right")},
    "max_length": {"tokenizer_config": lambda f: f.update(padding="max_length", max_length=60)},
    "split marks": {"tokenizer_config": lambda f: f.update(split_special_tokens=True)},
}


@pytest.mark.parametrize("name", PADS)
def test_saved_padding_and_splitting_change_nothing(name, plain, tmp_path):
    vlm = load(altered(tmp_path, **PADS[name]))
    torch.testing.assert_close(logits(vlm, [SAMPLE, SHORT]), logits(plain, [SAMPLE, SHORT]), rtol=0, atol=0)
    assert fingerprint(vlm) == fingerprint(plain)


def _end(fields: dict) -> None:
    """Have the tokenizer put the mark of the end behind every text."""
    marks = {name: {"id": name, "ids": [i], "tokens": [name]} for name, i in (("<s>", 1), ("</s>", 2))}
    single = [
        {"SpecialToken": {"id": "<s>", "type_id": 0}},
        {"Sequence": {"id": "A", "type_id": 0}},
        {"SpecialToken": {"id": "</s>", "type_id": 0}},
    ]
    pair = [*single, {"Sequence": {"id": "B", "type_id": 1}}]
    fields["post_processor"] = {"type": "TemplateProcessing", "single": single, "pair": pair, "special_tokens": marks}


def test_added_tokens_are_reported_and_hashed(plain, tmp_path):
    vlm = load(altered(tmp_path, tokenizer=_end))
    assert encoder_of(vlm).prepare(SAMPLE).input_ids[-1] == 2
    check = found(vlm, "added tokens")
    assert check.is_notable
    assert "'</s>' behind the prompt" in check.finding
    assert fingerprint(vlm) != fingerprint(plain)
    before = found(plain, "added tokens")
    assert (before.finding, before.is_notable) == ("'<s>' before the prompt", False)


IMAGE_PROCESSORS: dict[str, dict] = {
    "LlavaImageProcessor": {"do_pad": True},
    "SiglipImageProcessor": {"size": {"height": 64, "width": 64}},
    "ViTImageProcessor": {"size": {"height": 64, "width": 64}},
    "CLIPImageProcessorFast": {},
}


@pytest.mark.parametrize("name", IMAGE_PROCESSORS)
@pytest.mark.parametrize("stem", ["processor_config", "preprocessor_config"])
def test_image_processor_is_the_one_that_the_checkpoint_names(name, stem, plain, tmp_path):
    more: dict[str, Any] = {"image_processor_type": name, **IMAGE_PROCESSORS[name]}
    if stem == "processor_config":  # transformers 5 writes both into one file
        path = altered(tmp_path, processor_config=lambda f: f["image_processor"].update(more))
    else:
        saved = json.loads((WEIGHTS / "processor_config.json").read_text())["image_processor"]
        path = altered(
            tmp_path,
            processor_config=lambda f: f.pop("image_processor"),
            preprocessor_config=lambda f: f.update({**saved, **more}),
        )
    vlm = load(path)
    wanted = transformers.AutoProcessor.from_pretrained(path, local_files_only=True)
    assert type(vlm.processor.image_processor) is type(wanted.image_processor)
    image = probe_image()
    ours = encoder_of(vlm).prepare(SAMPLE).image_inputs["pixel_values"]
    np.testing.assert_array_equal(ours, wanted.image_processor(image, return_tensors="np")["pixel_values"])
    assert "equal those of AutoProcessor" in found(vlm, "image processor").finding
    is_clip = name.startswith("CLIP")
    assert np.array_equal(ours, encoder_of(plain).prepare(SAMPLE).image_inputs["pixel_values"]) == is_clip
    assert (fingerprint(vlm)["processor_sha256"] == fingerprint(plain)["processor_sha256"]) == is_clip


def test_siglip_tower(tmp_path):
    """The layout of llava-interleave: no token before the patches, all of them kept."""
    torch.manual_seed(0)
    tokenizer, donor = build_tokenizer(), random_llava()
    vision = transformers.SiglipVisionConfig(
        hidden_size=32, intermediate_size=64, num_hidden_layers=3, num_attention_heads=4, image_size=32, patch_size=8
    )
    config = transformers.LlavaConfig(
        vision_config=vision,
        text_config=donor.model.config.text_config,
        image_token_index=donor.image_token_id,
        vision_feature_select_strategy="full",
        vision_feature_layer=-1,
    )
    processor = transformers.LlavaProcessor(
        image_processor=transformers.SiglipImageProcessorPil(size={"height": 32, "width": 32}),
        tokenizer=tokenizer,
        patch_size=8,
        vision_feature_select_strategy="full",
    )
    transformers.LlavaForConditionalGeneration(config).save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    vlm = load(str(tmp_path))
    assert found(vlm, "image tokens").finding.startswith("16 for a test image of 97 x 61")
    assert type(vlm.processor.image_processor).__name__.startswith("SiglipImageProcessor")
    assert logits(vlm, [SAMPLE]).isfinite().all()


@pytest.mark.parametrize(
    ("named", "match"),
    [
        (
            {"processor_class": "PixtralProcessor"},
            "names the processor PixtralProcessor, and .* LLaVA-1.5 are extracted with LlavaProcessor",
        ),
        ({"image_processor": {"image_processor_type": "MyImageProcessor"}}, "has no processor that loads"),
    ],
)
def test_processors_of_other_classes_are_refused(named, match, tmp_path):
    path = altered(tmp_path, processor_config=lambda f: f.update(named))
    if "image_processor" in named:  # nor does the configuration lead to one that is known
        config = json.loads((tmp_path / "config.json").read_text())
        (tmp_path / "config.json").write_text(json.dumps(config | {"image_processor_type": "MyImageProcessor"}))
    with pytest.raises(ValueError, match=match):
        load(path)


def test_tokenizer_without_a_pad_token(plain, tmp_path):
    vlm = load(altered(tmp_path, tokenizer_config=lambda f: f.pop("pad_token")))
    assert vlm.processor.tokenizer.pad_token_id is None
    torch.testing.assert_close(logits(vlm, [SAMPLE, SHORT]), logits(plain, [SAMPLE, SHORT]), rtol=0, atol=0)
    assert found(vlm, "pad token").finding.startswith("none")


def test_pad_token_outside_of_the_embedding(plain, tmp_path):
    vlm = load(altered(tmp_path))
    vlm.processor.tokenizer.add_special_tokens({"pad_token": "[PAD]"})
    vlm = wrap_model(vlm.model, vlm.processor)
    assert vlm.processor.tokenizer.pad_token_id == vlm.embedding_rows
    torch.testing.assert_close(logits(vlm, [SAMPLE, SHORT]), logits(plain, [SAMPLE, SHORT]), rtol=0, atol=0)
    assert found(vlm, "pad token").finding.startswith("id 36 is outside of the embedding")


def test_token_outside_of_the_embedding_is_a_failure_of_its_sample(tmp_path):
    vlm = load(altered(tmp_path))
    vlm.processor.tokenizer.add_tokens(["zebra"])
    said: list[str] = []
    bad = Sample(id="0", image=probe_image(), question="what is the color of the zebra ?", answer="red", task="color")
    store = extract(vlm.model, vlm.processor, [bad, SAMPLE], tmp_path / "store", options=RunOptions(say=said.append))
    assert list(store.ids) == ["1"]
    (failure,) = store.failures
    assert (failure.id, failure.stage) == ("0", "prompt")
    assert "token 36 ('zebra') is outside of the model's embedding of 36 rows" in failure.message
    assert any(line.startswith("vocabulary: 37 tokens, highest id 36; 36 rows") for line in said)


def test_image_token_of_another_checkpoint_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"'<image>'.*image_token_id"):
        load(altered(tmp_path, config=lambda f: f.update(image_token_index=5)))


def test_image_token_outside_of_the_embedding_is_refused():
    vlm = random_llava()
    vlm.model.resize_token_embeddings(vlm.image_token_id)
    with pytest.raises(ValueError, match=r"\(5\)"):
        wrap_model(vlm.model, vlm.processor)


OLD = ("patch_size", "num_additional_image_tokens", "vision_feature_select_strategy")


@pytest.mark.parametrize("gone", [OLD, OLD[:1], OLD[1:2], OLD[2:]])
def test_processor_of_an_old_checkpoint_is_completed(gone, plain, tmp_path):
    path = altered(tmp_path, processor_config=lambda f: [f.pop(name) for name in gone])
    vlm = load(path)
    one, other = (encoder_of(v).prepare(SAMPLE).input_ids for v in (vlm, plain))
    np.testing.assert_array_equal(one, other)
    check = found(vlm, "image settings")
    assert check.is_notable
    assert all(name in check.finding for name in gone)
    assert fingerprint(vlm) == fingerprint(plain)


def test_checkpoint_without_a_processor_file_of_its_own(plain, tmp_path):
    """Only preprocessor_config.json, as before transformers 4.40."""
    image = json.loads((WEIGHTS / "processor_config.json").read_text())["image_processor"]
    path = altered(tmp_path, preprocessor_config=lambda f: f.update(image))
    (tmp_path / "processor_config.json").unlink()
    one, other = (encoder_of(v).prepare(SAMPLE).input_ids for v in (load(path), plain))
    np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"patch_size": 8}, "processor has patch_size 8, .* the model's configuration has patch_size 16"),
        ({"vision_feature_select_strategy": "full"}, "counts 1 tokens beside those of the patches; .* makes 0"),
        ({"num_additional_image_tokens": 2}, "counts 1 tokens beside those of the patches; .* makes 0"),
    ],
)
def test_processor_that_contradicts_the_model_is_refused(changes, match, tmp_path):
    with pytest.raises(ValueError, match=match):
        load(altered(tmp_path, processor_config=lambda f: f.update(changes)))


def test_processor_that_counts_alike_in_another_way(plain, tmp_path):
    """No token before the patches, and none dropped: as many as the model makes."""
    other = {"vision_feature_select_strategy": "full", "num_additional_image_tokens": 0}
    vlm = load(altered(tmp_path, processor_config=lambda f: f.update(other)))
    torch.testing.assert_close(logits(vlm, [SAMPLE]), logits(plain, [SAMPLE]), rtol=0, atol=0)
    assert not found(vlm, "image settings").is_notable


def test_tokenizer_that_changes_pixels_is_reported_and_hashed(plain, tmp_path):
    vlm = load(altered(tmp_path, tokenizer_config=lambda f: f.update(do_normalize=False)))
    check = found(vlm, "tokenizer")
    assert check.is_notable
    assert "do_normalize False" in check.finding
    assert fingerprint(vlm) != fingerprint(plain)
    assert all(check.subject != "tokenizer" for check in look_over(plain))


def test_other_pixels_than_those_of_auto_processor_are_refused(tmp_path, monkeypatch):
    load_auto = transformers.AutoProcessor.from_pretrained

    def without_normalization(*args, **options):
        made = load_auto(*args, **options)
        made.image_processor.do_normalize = False
        return made

    monkeypatch.setattr(transformers.AutoProcessor, "from_pretrained", without_normalization)
    with pytest.raises(ValueError, match=r"pixel_values.*AutoProcessor"):
        load(altered(tmp_path))


def test_image_of_another_size_is_refused(tmp_path):
    crop = {"size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}}
    vlm = load(altered(tmp_path, processor_config=lambda f: f["image_processor"].update(crop)))
    with pytest.raises(ValueError, match=r"do not fit: a test image of 97 x 61 pixels becomes 4 image tokens"):
        look_over(vlm)


@pytest.mark.parametrize("fields", [{"base_model_name_or_path": "llava-hf/llava-1.5-7b-hf"}, {}, {"peft_type": "LORA"}])
def test_adapter_beside_full_weights_is_refused(fields, tmp_path):
    path = altered(tmp_path, adapter_config=lambda f: f.update(fields))
    with pytest.raises(ValueError, match=r"\(adapter_config.json.*merge_and_unload\(\)"):
        load(path)


def test_adapter_alone_is_refused(tmp_path):
    (tmp_path / "adapter_config.json").write_text('{"base_model_name_or_path": "mine"}')
    with pytest.raises(ValueError, match=r"\(adapter_config.json, made for 'mine'\)"):
        load(str(tmp_path))


def test_check_command(command_line, tmp_path):
    pid_extract = command_line("pid-extract", main)
    truncation = CUTS["tokenizer.json"]["tokenizer"]
    path = altered(tmp_path, tokenizer=truncation, tokenizer_config=lambda f: f.pop("pad_token"))
    code, text, _ = pid_extract("check", path)
    assert code == 0
    for part in (
        "model            LLaVA-1.5, 8 blocks of width 128, float16 on cpu",
        "adapter          none",
        "image processor  CLIPImageProcessorPil; values of a test image equal those of AutoProcessor",
        "! truncation       saved, to 6 tokens; not applied, prompts are never cut",
        "pad token        none",
        "vocabulary       36 tokens, highest id 35; 36 rows of the embedding",
        "image tokens     16 for a test image",
    ):
        assert part in text
    (tmp_path / "adapter_config.json").write_text("{}")
    code, _, err = pid_extract("check", path)
    assert code == 1
    assert f"error: model '{path}' holds an adapter" in err
