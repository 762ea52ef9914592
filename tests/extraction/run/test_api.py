"""Extraction from Python with a model and data of one's own."""

import pytest

import extraction
from extraction import Knockout, Sample, extract, extract_with_knockouts
from pid_jax import ActivationStore
from tests.extraction.random_models import LAYERS


def test_own_model_and_data(vlm, samples, tmp_path):
    store = extract(vlm.model, vlm.processor, samples, tmp_path / "s", template="vicuna_v1", max_new_tokens=2)
    assert store.ids.tolist() == [sample.id for sample in samples]
    assert store.layers == tuple(range(LAYERS + 1))
    cut = Knockout(edges=(("image", "question"),), first=0, last=1)
    found = extract_with_knockouts(vlm.model, vlm.processor, samples, store, [cut], tmp_path)
    assert list(found) == ["image-question@0-1"]
    assert found[cut.name].ids.tolist() == store.ids.tolist()


def test_images_in_memory(vlm, samples, tmp_path):
    from PIL import Image

    with Image.open(samples[0].image) as image:
        sample = Sample(id="1", image=image.convert("RGB"), question="what is this ?", answer=None, task="t")
    one = extract(vlm.model, vlm.processor, [sample], tmp_path / "s", template="plain")
    assert one.columns["predicted"].shape == (1,)


def test_url_of_an_object_store(vlm, samples):
    url = f"memory://extraction-{vlm.family.model_type}-{type(vlm.decoder).__name__}/s"
    extract(vlm.model, vlm.processor, samples, url, template="plain", shard_size=2, roles=("last",), layers=(0, 2))
    store = ActivationStore.open(url)
    assert store.verify() == []
    assert store.layers == (0, 2)


def test_other_samples_are_refused(vlm, samples, tmp_path):
    store = extract(vlm.model, vlm.processor, samples, tmp_path / "s", max_new_tokens=1)
    cut = Knockout(edges=(("image", "question"),), first=0, last=1)
    with pytest.raises(ValueError, match=r"\(first '000'\)"):
        extract_with_knockouts(vlm.model, vlm.processor, samples[1:], store, [cut], tmp_path)
    changed = [Sample(id=s.id, image=s.image, question="what is this ?", answer=None, task="what") for s in samples]
    with pytest.raises(ValueError, match="data_sha256"):
        extract_with_knockouts(vlm.model, vlm.processor, changed, store, [cut], tmp_path)


def test_public_names():
    assert dir(extraction) == sorted(extraction.__all__)
    for name in extraction.__all__:
        assert getattr(extraction, name) is not None
    with pytest.raises(AttributeError, match="nothing"):
        extraction.nothing  # noqa: B018
