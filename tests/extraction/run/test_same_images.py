"""Images and weights that change after the baseline: a knockout of it is refused, and nothing wrong is stored."""

import dataclasses
import io
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from extraction.datasets import tables
from extraction.datasets.hub import load_hub
from extraction.passes.edges import Knockout
from extraction.passes.images import open_image
from extraction.proof.knockout import KnockoutError
from extraction.run.fill import RunOptions
from extraction.run.jobs import extract_baseline, extract_knockouts, keep_correct
from extraction.run.same_images import IMAGE_HASH
from pid_jax.store import ActivationStore
from tests.extraction.datasets.test_gqa import question
from tests.extraction.random_models import LAYERS, random_llava, random_llava_next

CUTS = [Knockout(edges=(("image", "question"),), first=i, last=i + 1) for i in (0, 2)]
COUNT = 8


@pytest.fixture
def settings(settings):
    return dataclasses.replace(settings, shard_size=2, max_new_tokens=1)


def _png(seed, size=(40, 40)):
    pixels = np.random.default_rng(seed).integers(0, 255, (*size, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(encoded := io.BytesIO(), "PNG")
    return encoded.getvalue()


@pytest.fixture
def own(samples, tmp_path):
    """Samples with image files of their own, which a test may replace."""
    (tmp_path / "images").mkdir()
    made = []
    for i in range(COUNT):
        path = tmp_path / "images" / f"{i}.png"
        path.write_bytes(_png(i))
        made.append(dataclasses.replace(samples[i % 3], id=f"{i:03d}", image=path))
    return made


@pytest.mark.parametrize("size", [(40, 40), (30, 50)])
def test_a_replaced_image_stops_the_knockout(llava, own, settings, tmp_path, size):
    """It is none of those that the self-test looks at, and shards before it are kept."""
    base = extract_baseline(llava, own, settings, tmp_path / "b")
    kept = own[5].image.read_bytes()
    own[5].image.write_bytes(_png(99, size))
    with pytest.raises(ValueError, match=r"images/5\.png.*'005'.*/b "):
        extract_knockouts(llava, own, base, CUTS, tmp_path)
    stopped = ActivationStore.open(tmp_path / CUTS[0].name)
    assert stopped.missing_shards() == [2, 3]
    own[5].image.write_bytes(kept)
    again = extract_knockouts(llava, own, base, CUTS, tmp_path)
    whole = extract_knockouts(llava, own, base, CUTS, tmp_path / "whole")
    for name, store in again.items():
        for index in range(COUNT // 2):
            assert store.shard_path(index).read_bytes() == whole[name].shard_path(index).read_bytes()
        assert store.columns[IMAGE_HASH].tolist() == base.columns[IMAGE_HASH].tolist()


@pytest.mark.parametrize("workers", [0, 1])
def test_all_images_replaced(llava, own, settings, tmp_path, workers):
    base = extract_baseline(llava, own, settings, tmp_path / "b", RunOptions(workers=workers))
    assert len(set(base.columns[IMAGE_HASH])) == COUNT
    for i, sample in enumerate(own):
        sample.image.write_bytes(_png(100 + i))
    with pytest.raises(ValueError, match=r"images/0\.png"):
        extract_knockouts(llava, own, base, CUTS, tmp_path, RunOptions(workers=workers))
    assert not ActivationStore.exists(tmp_path / CUTS[0].name)


def test_a_resumed_baseline_wants_the_images_that_it_began_with(llava, samples, settings, tmp_path):
    shutil.copy(samples[0].image, tmp_path / "a.png")
    twice = [dataclasses.replace(samples[i % 2], id=f"{i}", image=tmp_path / "a.png") for i in range(4)]
    base = extract_baseline(llava, twice, settings, tmp_path / "b")
    base.shard_path(1).unlink()
    (tmp_path / "a.png").write_bytes(_png(9))
    with pytest.raises(ValueError, match=r"a\.png.*'2'"):
        extract_baseline(llava, twice, settings, tmp_path / "b")
    assert base.missing_shards() == [1]


def test_processes_that_saw_different_images(llava, samples, settings, tmp_path):
    """Two processes fill a store, and an image is replaced in between: the rows say so."""
    shutil.copy(samples[0].image, tmp_path / "a.png")
    twice = [dataclasses.replace(samples[i % 2], id=f"{i}", image=tmp_path / "a.png") for i in range(4)]
    base = extract_baseline(llava, twice, settings, tmp_path / "b")
    (tmp_path / "a.png").write_bytes(_png(9))
    other = extract_baseline(llava, twice, settings, tmp_path / "other")
    shutil.copy(other.shard_path(1), base.shard_path(1))
    for images in ((tmp_path / "a.png").read_bytes(), samples[0].image.read_bytes()):
        (tmp_path / "a.png").write_bytes(images)
        with pytest.raises(ValueError, match=r"a\.png.*'2'"):
            extract_baseline(llava, twice, settings, tmp_path / "b")
        with pytest.raises(ValueError, match=r"a\.png.*'2'"):
            extract_knockouts(llava, twice, ActivationStore.open(base.path), CUTS, tmp_path)


def test_answers_and_states_are_of_the_same_images(llava, own, settings, tmp_path):
    answers = extract_baseline(llava, own, dataclasses.replace(settings, roles=()), tmp_path / "first")
    golds = dict(zip(answers.ids, answers.columns["predicted"], strict=True))
    asked = [dataclasses.replace(sample, answer=golds[sample.id]) for sample in own]
    settings = dataclasses.replace(settings, keep="correct")
    right = keep_correct(llava, asked, settings, tmp_path / "b")
    assert len(right) == COUNT
    extract_baseline(llava, right, settings, tmp_path / "b")
    shutil.rmtree(tmp_path / "b")
    own[5].image.write_bytes(_png(99))
    with pytest.raises(ValueError, match=r"images/5\.png.*b\.answers"):
        extract_baseline(llava, right, settings, tmp_path / "b")


@pytest.mark.slow
def test_replaced_images_change_the_states_too(llava, own, settings, tmp_path, monkeypatch):
    """Were the hashes not there, the self-test would see it."""
    base = extract_baseline(llava, own, settings, tmp_path / "b")
    own[1].image.write_bytes(_png(99))
    monkeypatch.setattr("extraction.run.jobs.KnownImages.check", lambda self, outcomes: None)
    with pytest.raises(KnockoutError, match=r"sample '001'.*Images") as caught:
        extract_knockouts(llava, own, base, CUTS, tmp_path / "new")
    assert "role 'image'" in str(caught.value)
    assert not ActivationStore.exists(tmp_path / "new" / CUTS[0].name)


def test_weights_that_the_fingerprint_does_not_see(llava, own, settings, tmp_path, monkeypatch):
    base = extract_baseline(llava, own, settings, tmp_path / "b")
    monkeypatch.setattr("extraction.run.fill.fingerprint", lambda vlm: base.manifest.settings["fingerprint"])
    other = random_llava()
    other.layers[LAYERS - 1].mlp.up_proj.weight.data[3] += 0.05
    with pytest.raises(KnockoutError, match=rf"layer {LAYERS} .*weights"):
        extract_knockouts(other, own, base, CUTS, tmp_path)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("model", [random_llava, random_llava_next])
def test_states_agree_with_the_baseline(own, settings, tmp_path, dtype, model):
    """Whatever the precision of the model and of the store, batches, shared passes, and what is recorded."""
    vlm = model()
    vlm.model.to(getattr(torch, dtype))
    twins = [dataclasses.replace(own[i % 2], id=f"{i}", question=own[i].question) for i in range(4)]
    bad = dataclasses.replace(own[0], id="bad", image=tmp_path / "none.png")
    for i, changes in enumerate(({"dtype": "float16"}, {"roles": ("suffix", "last"), "layers": (1, 4)})):
        some = dataclasses.replace(settings, batch_size=5, shard_size=5, **changes)
        base = extract_baseline(vlm, [bad, *twins], some, tmp_path / f"b{i}")
        cut = extract_knockouts(vlm, [bad, *twins], base, CUTS[:1], tmp_path / f"k{i}")[CUTS[0].name]
        error = cut.manifest.evidence["knockout"]["baseline_error"]
        assert 0 <= error < {"float32": 1e-3, "float16": 1e-2, "bfloat16": 5e-2}[dtype]


def test_other_sources_of_images(llava, samples, settings, tmp_path):
    pixels = [open_image(sample) for sample in samples]
    memory = [dataclasses.replace(s, image=image) for s, image in zip(samples, pixels, strict=True)]
    base = extract_baseline(llava, memory, settings, tmp_path / "b")
    assert base.columns[IMAGE_HASH].tolist() == [sample.image_name for sample in memory]
    turned = [dataclasses.replace(s, image=pixels[i - 1]) for i, s in enumerate(memory)]
    with pytest.raises(ValueError, match="data_sha256"):
        extract_knockouts(llava, turned, base, CUTS, tmp_path)


def test_rows_of_a_data_set(llava, settings, tmp_path):
    pa = pytest.importorskip("pyarrow", reason="parquet files need pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    fields = ("imageId", "question", "answer", "types")
    asked = [{"id": f"{n}", **{k: question("ChooseAttr", f"{n}")[k] for k in fields}} for n in range(3)]
    for name in ("instructions", "images"):
        (tmp_path / f"val_balanced_{name}").mkdir()
    parquet.write_table(pa.Table.from_pylist(asked), tmp_path / "val_balanced_instructions" / "a.parquet")

    def load(seeds):
        table = pa.Table.from_pylist([{"id": f"{n}", "image": {"bytes": _png(seed)}} for n, seed in enumerate(seeds)])
        parquet.write_table(table, tmp_path / "val_balanced_images" / "a.parquet")
        tables._parquet.cache_clear()
        tables.last_group.cache_clear()
        return load_hub(tmp_path)

    base = extract_baseline(llava, load((0, 1, 2)), settings, tmp_path / "b")
    assert len(set(base.columns[IMAGE_HASH])) == 3
    with pytest.raises(ValueError, match=r"val_balanced_images/2"):
        extract_knockouts(llava, load((0, 1, 9)), base, CUTS, tmp_path)


def test_failed_samples_do_not_matter(llava, own, settings, tmp_path):
    """The first sample failed in the baseline, and its image is there now."""
    later = own[0].image.read_bytes()
    own[0].image.unlink()
    base = extract_baseline(llava, own, settings, tmp_path / "b")
    own[0].image.write_bytes(later)
    cut = extract_knockouts(llava, own, base, CUTS, tmp_path)[CUTS[0].name]
    assert cut.ids.tolist() == ["000", *base.ids.tolist()]


def test_only_a_complete_store_without_a_knockout_is_a_baseline(llava, own, settings, tmp_path):
    base = extract_baseline(llava, own, settings, tmp_path / "b")
    cut = extract_knockouts(llava, own, base, CUTS, tmp_path)[CUTS[0].name]
    with pytest.raises(ValueError, match="baseline"):
        extract_knockouts(llava, own, cut, CUTS, tmp_path / "k")
    base.shard_path(0).unlink()
    with pytest.raises(ValueError, match="not complete"):
        extract_knockouts(llava, own, ActivationStore.open(base.path), CUTS, tmp_path / "k")
