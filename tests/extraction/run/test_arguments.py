"""What people give to `extract` instead of what it takes: it works, or one line names the argument."""

import copy
import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from extraction import Knockout, RunOptions, Sample, extract, extract_with_knockouts
from extraction.model.load import wrap_model
from extraction.passes.images import open_image
from extraction.run.settings import parse_layers
from pid_jax.store import ActivationStore
from tests.extraction.random_models import LAYERS

PIXELS = np.random.default_rng(0).integers(0, 255, (40, 50, 3), dtype=np.uint8)
CUT = Knockout(edges=(("image", "question"),), first=0, last=1)


def _sample(**changes):
    fields = {"id": "1", "image": PIXELS, "question": "what is this ?", "answer": "red", "task": "what"}
    return Sample(**fields | changes)


def _png(pixels=PIXELS):
    Image.fromarray(pixels).save(encoded := io.BytesIO(), "PNG")
    return encoded.getvalue()


def _extract(vlm, path, **changes):
    given = {"samples": [_sample()], "store": path, "max_new_tokens": 1, "model": vlm.model, "processor": vlm.processor}
    return extract(**given | changes)


@pytest.mark.parametrize("kind", ["str", "bytes", "bytearray", "array"])
def test_images_that_work(tmp_path, kind):
    (tmp_path / "cat.png").write_bytes(_png())
    image = {"str": str(tmp_path / "cat.png"), "bytes": _png(), "bytearray": bytearray(_png()), "array": PIXELS}[kind]
    sample = _sample(image=image)
    np.testing.assert_array_equal(np.asarray(open_image(sample)), PIXELS)
    assert sample.image_key == _sample(image=copy.deepcopy(image)).image_key
    hash(sample.image_key)


def test_gray_and_transparent_pixels():
    assert open_image(_sample(image=PIXELS[:, :, 0])).getpixel((3, 2)) == (PIXELS[2, 3, 0],) * 3
    assert open_image(_sample(image=np.dstack([PIXELS, PIXELS[:, :, :1]]))).size == (50, 40)


@pytest.mark.parametrize(
    ("image", "match"),
    [
        (PIXELS / 255, "uint8, got float64"),
        (PIXELS.astype(int), "uint8, got int64"),
        (PIXELS.transpose(2, 0, 1), r"\(height, width, 3 or 4\), got \(3, 40, 50\)"),
        (torch.from_numpy(PIXELS), "got Tensor"),
        (io.BytesIO(_png()), r"file\.read\(\).*got BytesIO"),
        ({"bytes": _png(), "path": None}, "got dict"),
        ("https://a.b/cat.png", "URL"),
        (3, "got int"),
    ],
)
def test_images_that_do_not(image, match):
    with pytest.raises((TypeError, ValueError), match=rf"image of sample '1'.*{match}"):
        _sample(image=image)


@pytest.mark.parametrize(
    ("field", "value"),
    [(f, v) for f in ("question", "answer", "task") for v in (3, True, b"a", 1.5)]
    + [("question", None), ("task", None), ("answer", "\ud800"), ("task", "\ud800")],
)
def test_fields_that_are_no_text(field, value):
    with pytest.raises((TypeError, ValueError), match=rf"{field} of sample '1'"):
        _sample(**{field: value})


def test_ids_must_be_texts_and_numpy_texts_are_texts(llava, tmp_path):
    with pytest.raises(TypeError, match="id of a sample"):
        _sample(id=1)
    texts = {name: np.str_("what") for name in ("id", "question", "answer", "task")}
    assert _extract(llava, tmp_path / "s", samples=[_sample(**texts)]).ids.tolist() == ["what"]


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"samples": []}, "samples is empty"),
        ({"samples": [_sample(), _sample()]}, "samples must have different ids, got '1'"),
        ({"samples": [{"id": "1"}]}, r"samples.*got dict at index 0: use Sample"),
        ({"samples": pd.DataFrame({"id": ["1"]})}, r"samples.*got DataFrame.*to_dict"),
        ({"samples": _sample()}, "samples.*got Sample"),
        ({"samples": None}, "samples.*got NoneType"),
        ({"layers": [1.0]}, "layers.*got 1.0"),
        ({"layers": [True]}, "layers.*got True"),
        ({"layers": ["1"]}, "layers.*got '1'"),
        ({"layers": "all"}, "layers.*got 'all'"),
        ({"layers": -1}, "layers.*got -1"),
        ({"layers": np.array([True])}, "layers.*True"),
        ({"roles": "image"}, "roles.*got 'image'"),
        ({"roles": None}, "roles.*got None"),
        ({"roles": [["image"]]}, "roles must be among"),
        ({"template": None}, "template.*got None"),
        ({"store": None}, "store.*got None"),
        ({"store": ""}, "store.*got ''"),
        ({"batch_size": 0}, "batch_size.*got 0"),
        ({"batch_size": True}, "batch_size.*got True"),
        ({"shard_size": 1.5}, "shard_size.*got 1.5"),
        ({"max_new_tokens": None}, "max_new_tokens.*got None"),
        ({"keep": "Correct"}, "keep.*got 'Correct'"),
        ({"dtype": torch.bfloat16}, r"dtype.*got torch\.bfloat16"),
        ({"dtype": None}, "dtype.*got None"),
        ({"share_images": "no"}, "share_images.*got 'no'"),
        ({"options": {}}, "options.*got dict"),
        ({"processor": None}, "processor.*got NoneType"),
        ({"model": "llava-hf/llava-1.5-7b-hf"}, "model.*load_model.*pid-extract"),
        ({"model": None}, "model.*got NoneType"),
    ],
)
def test_arguments_that_do_not_work(llava, tmp_path, changes, match):
    with pytest.raises((TypeError, ValueError), match=match):
        _extract(llava, tmp_path / "s", **changes)
    assert not (tmp_path / "s").exists()


def test_arguments_that_work(llava, tmp_path):
    whole = _extract(llava, tmp_path / "whole", samples=(_sample(id=f"{i}") for i in range(2)))
    assert whole.ids.tolist() == ["0", "1"]
    for i, dtype in enumerate((torch.float16, np.float16, np.dtype("float16"))):
        store = _extract(llava, tmp_path / f"{i}", dtype=dtype, batch_size=np.int64(4), roles=np.array(["last"]))
        assert store.read(role="last", layer=LAYERS).dtype == np.float16
        assert (store.roles, store.manifest.settings["batch_size"]) == (("last",), 4)


def test_models_that_are_none(llava, tmp_path):
    for model, match in ((llava, r"vlm\.model"), (copy.deepcopy(llava.model).to("meta"), "meta")):
        with pytest.raises((TypeError, ValueError), match=rf"model.*{match}"):
            _extract(llava, tmp_path / "s", model=model)
    for part in (llava.processor.tokenizer, llava.processor.image_processor):
        with pytest.raises(TypeError, match=f"processor.*got {type(part).__name__}"):
            _extract(llava, tmp_path / "s", processor=part)
    training = copy.deepcopy(llava.model).train()
    assert len(_extract(llava, tmp_path / "s", model=training).ids) == 1
    assert not training.training


class PeftModel(torch.nn.Module):
    """What `peft` makes of a model, as far as it can be told from outside."""

    def __init__(self, model):
        super().__init__()
        self.base_model, self.config, self.peft_config = model, model.config, {"default": object()}

    def get_base_model(self):
        return self.base_model

    def merge_and_unload(self):
        return self.base_model


def test_models_with_adapters(llava):
    wrapped = PeftModel(llava.model)
    with pytest.raises(ValueError, match=r"model.*PeftModel.*'default'.*merge_and_unload\(\)"):
        wrap_model(wrapped, llava.processor)
    assert wrap_model(wrapped.merge_and_unload(), llava.processor).model is llava.model
    injected = copy.copy(llava.model)
    injected._hf_peft_config_loaded = True
    with pytest.raises(ValueError, match=r"model.*PeftModel\.from_pretrained.*merge_and_unload\(\)"):
        wrap_model(injected, llava.processor)
    around = copy.copy(llava.model)  # the base that get_peft_model has put its layers into
    around.peft_config = {"default": object()}
    with pytest.raises(ValueError, match=r"model.*'default'.*PeftModel\.from_pretrained"):
        wrap_model(around, llava.processor)
    with pytest.raises(ValueError, match=r"model.*DataParallel.*model\.module"):
        wrap_model(torch.nn.DataParallel(llava.model), llava.processor)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"knockouts": CUT}, "knockouts.*got Knockout"),
        ({"knockouts": []}, "knockouts is empty"),
        ({"knockouts": ["image-question"]}, "knockouts.*got str"),
        ({"baseline": None}, "baseline.*got None"),
        ({"baseline": {}}, "baseline"),
        ({"out": None}, "out.*got None"),
        ({"options": {}}, "options.*got dict"),
        ({"samples": [_sample(), _sample()]}, "samples.*different ids"),
    ],
)
def test_arguments_of_knockouts(llava, tmp_path, changes, match):
    base = _extract(llava, tmp_path / "b")
    given = {"samples": [_sample()], "baseline": base, "knockouts": [CUT], "out": tmp_path / "k"}
    with pytest.raises((TypeError, ValueError), match=match):
        extract_with_knockouts(llava.model, llava.processor, **given | changes)
    assert not (tmp_path / "k").exists()


def test_a_baseline_may_be_named_by_its_place(llava, tmp_path):
    _extract(llava, tmp_path / "b")
    for i, place in enumerate((tmp_path / "b", str(tmp_path / "b"))):
        cuts = (cut for cut in [CUT])
        found = extract_with_knockouts(llava.model, llava.processor, [_sample()], place, cuts, tmp_path / f"{i}")
        assert isinstance(found[CUT.name], ActivationStore)


@pytest.mark.parametrize("text", ["-1", "0,-1", "-1, 3"])
def test_layers_on_the_command_line(text):
    assert parse_layers(text) == tuple(sorted(int(part) for part in text.split(",")))
    for wrong in (f"{text},x", "--1", "1.0", "-"):
        with pytest.raises(ValueError, match="layers"):
            parse_layers(wrong)


def test_options_hold_no_impossible_limits():
    with pytest.raises(ValueError, match="max_errors"):
        RunOptions(max_errors=-1)
    assert isinstance(_sample(image="cat.png").image, Path)
