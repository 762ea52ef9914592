"""Families that users add, those that are refused, and what is said of those that are unknown."""

import json
import shutil

import pytest
import torch
import transformers

from extraction import Family, Knockout, extract, extract_with_knockouts, register_family
from extraction.cli.main import main
from extraction.model.families import FAMILIES, UnknownFamilyError, family_of
from extraction.model.family_file import read_family, write_entry
from extraction.model.load import load_model, wrap_model
from extraction.model.shipped import WEIGHTS
from tests.extraction.random_families import random_paligemma2
from tests.extraction.random_models import LAYERS, build_tokenizer, random_llava, text_config, vision_config


class MadeUpConfig(transformers.LlavaConfig):
    model_type = "made_up"


class MadeUpModel(transformers.LlavaForConditionalGeneration):
    config_class = MadeUpConfig


MADE_UP = Family(
    model_type="made_up",
    title="Made up",
    model_class=f"{__name__}:MadeUpModel",
    processor_class="LlavaProcessor",
)


@pytest.fixture
def table():
    """The table of families, which is as before afterwards."""
    before = dict(FAMILIES)
    yield FAMILIES
    FAMILIES.clear()
    FAMILIES.update(before)


@pytest.fixture
def made_up():
    plain = random_llava()
    config = MadeUpConfig(**{k: v for k, v in plain.model.config.to_dict().items() if k != "model_type"})
    model = MadeUpModel(config)
    model.load_state_dict(plain.model.state_dict())
    return model, plain.processor


def test_a_registered_family_is_extracted_with_knockouts(table, made_up, samples, tmp_path):
    model, processor = made_up
    with pytest.raises(UnknownFamilyError, match="'made_up'"):
        wrap_model(model, processor)
    register_family(MADE_UP)
    register_family(MADE_UP)  # as every process does
    store = extract(model, processor, samples, tmp_path / "s", template="vicuna_v1", max_new_tokens=1)
    assert json.loads(store.manifest.settings["fingerprint"]["family"])["model_type"] == "made_up"
    cut = Knockout(edges=(("image", "question"),), first=0, last=LAYERS - 1)
    (found,) = extract_with_knockouts(model, processor, samples, store, [cut], tmp_path / "k").values()
    assert found.is_complete


def test_a_wrong_entry_is_found_before_anything_is_written(table, made_up, samples, tmp_path):
    """This model is causal: the self-test of a knockout compares its masks with the rule."""
    model, processor = made_up
    register_family(Family(**{**vars(MADE_UP), "attention": "bidirectional prompt"}))
    store = extract(model, processor, samples, tmp_path / "s", template="vicuna_v1", max_new_tokens=1)
    cut = Knockout(edges=(("image", "question"),), first=0, last=1)
    with pytest.raises(RuntimeError, match="is not that of the edges"):
        extract_with_knockouts(model, processor, samples, store, [cut], tmp_path / "k")
    assert not (tmp_path / "k").exists()


def test_a_known_family_is_not_replaced(table):
    with pytest.raises(ValueError, match=r"family has the model_type 'llava'.*LLaVA-1\.5"):
        register_family(Family(**{**vars(MADE_UP), "model_type": "llava"}))
    with pytest.raises(TypeError, match="family"):
        register_family({"model_type": "made_up"})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("field", "value"),
    [("image_text", "a picture"), ("attention", "sideways"), ("decoder", ()), ("decoder", ("model",))],
)
def test_fields_that_cannot_be(field, value):
    with pytest.raises(ValueError, match=field):
        Family(**{**vars(MADE_UP), field: value})


def test_a_class_that_is_not_there(table, tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "vipllava"}')
    register_family(Family(**{**vars(MADE_UP), "model_type": "vipllava", "model_class": "NoSuchModel"}))
    with pytest.raises(ValueError, match="NoSuchModel"):
        load_model(str(tmp_path), local_files_only=True)


def random_vipllava():
    """ViP-LLaVA, which is no family of the table, and its processor."""
    torch.manual_seed(0)
    tokenizer = build_tokenizer()
    config = transformers.VipLlavaConfig(
        vision_config=vision_config(),
        text_config=text_config(tokenizer),
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        image_seq_length=16,
        vision_feature_layers=[-2, -1],
    )
    config.vision_feature_select_strategy = "default"
    processor = transformers.LlavaProcessor(
        image_processor=transformers.CLIPImageProcessorPil(
            size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}
        ),
        tokenizer=tokenizer,
        patch_size=8,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        image_token="<image>",
    )
    return transformers.VipLlavaForConditionalGeneration(config), processor


def test_an_unknown_family_gets_an_entry_that_works(table, command_line, samples, tmp_path):
    """What `check` prints is completed by nothing and given back."""
    pid_extract = command_line("pid-extract", main)
    model, processor = random_vipllava()
    path, entry = tmp_path / "vip", tmp_path / "vip.toml"
    model.save_pretrained(path)
    processor.save_pretrained(path)

    code, text, err = pid_extract("check", str(path), "--local-files-only")
    assert code == 1
    assert "ViP-LLaVA ('vipllava')" in err
    for part in ("VipLlavaForConditionalGeneration", "LlavaProcessor", "'<image>'", "model.language_model"):
        assert part in text
    entry.write_text(text[text.index("model_type =") :])
    assert read_family(entry).model_class == "VipLlavaForConditionalGeneration"

    code, text, _ = pid_extract("check", str(path), "--local-files-only", "--family", str(entry))
    assert code == 0
    assert f"vipllava, {LAYERS} blocks of width 48" in text
    data = tmp_path / "data.jsonl"
    rows = [{"id": s.id, "image": str(s.image), "question": s.question, "answer": "red", "task": "t"} for s in samples]
    data.write_text("\n".join(map(json.dumps, rows)))
    how = ("--local-files-only", "--family", str(entry))
    base, cuts = str(tmp_path / "s"), str(tmp_path / "k")
    code, _, err = pid_extract(
        "run", "--model", str(path), "--jsonl", str(data), "--images", "/", "--out", base, "--dtype", "float32", *how
    )
    assert code == 0, err
    code, text, err = pid_extract("knockout", "--baseline", base, "--out", cuts, *how)
    assert code == 0, err
    assert "proved on real samples" in text


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("model_type = ", "is no TOML"),
        ('model_type = "a"', "lacks title, model_class, processor_class"),
        (f"{write_entry(vars(MADE_UP))}\nimage_tokn = 'x'", "image_tokn"),
        (write_entry({**vars(MADE_UP), "has_own_positions": "yes"}), "has_own_positions"),
        (write_entry({**vars(MADE_UP), "decoder": "model"}), "decoder"),
    ],
)
def test_family_files_that_cannot_be_read(text, match, tmp_path):
    path = tmp_path / "family.toml"
    path.write_text(text)
    with pytest.raises(ValueError, match=rf"family\.toml.*{match}"):
        read_family(path)


def test_an_entry_survives_its_file(tmp_path):
    for family in (*FAMILIES.values(), MADE_UP):
        path = tmp_path / "family.toml"
        path.write_text(write_entry(vars(family)))
        assert read_family(path) == family


def test_cross_attention_is_refused_with_the_reason(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "mllama"}')
    with pytest.raises(UnknownFamilyError, match=r"'mllama'.*cross-attention") as caught:
        load_model(str(tmp_path), local_files_only=True)
    assert not caught.value.report


def test_a_configuration_without_a_model_is_reported(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(UnknownFamilyError, match="'bert'") as caught:
        load_model(str(tmp_path), local_files_only=True)
    assert 'model_class = "?"' in caught.value.report


QUANTIZED = [
    ({"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_quant_type": "nf4"}, "'bitsandbytes', 4 bits"),
    ({"quant_method": "bitsandbytes", "load_in_8bit": True}, "'bitsandbytes', 8 bits"),
    ({"quant_method": "gptq", "bits": 4}, "'gptq', 4 bits"),
    ({"quant_method": "fp8"}, "'fp8'"),
]


@pytest.mark.parametrize(("config", "match"), QUANTIZED)
def test_quantized_checkpoints_are_refused_before_their_packages_are_asked_for(config, match, tmp_path):
    for source in WEIGHTS.iterdir():
        shutil.copy(source, tmp_path / source.name)
    whole = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(whole | {"quantization_config": config}))
    with pytest.raises(ValueError, match=rf"quantization_config {match}.*dequantize\(\)"):
        load_model(str(tmp_path), local_files_only=True)


def test_a_quantized_model_in_memory_is_refused():
    vlm = random_llava()
    vlm.model.is_quantized = True
    with pytest.raises(ValueError, match="quantized"):
        wrap_model(vlm.model, vlm.processor)


def test_sdpa_where_attention_is_capped():
    vlm = random_paligemma2()
    vlm.text_config._attn_implementation = "sdpa"
    with pytest.raises(ValueError, match=r"attn_implementation must be 'eager'.*'gemma2'"):
        wrap_model(vlm.model, vlm.processor)


def test_pixtral_is_told_from_llava_by_its_tower():
    config = transformers.LlavaConfig(vision_config={"model_type": "pixtral"})
    assert family_of(config, "a/b").title == "Pixtral"
    assert family_of(transformers.LlavaConfig(), "a/b").title == "LLaVA-1.5"
