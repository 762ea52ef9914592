"""From samples to a store: failures are recorded, nothing is lost, batches do not matter."""

import dataclasses

import numpy as np
import pytest

from extraction.datasets.load import DataSettings
from extraction.datasets.sample import Sample
from extraction.edges import Knockout
from extraction.models import fingerprint
from extraction.run import check_knockout, extract, plan_store
from extraction.settings import ModelSettings, RunSettings, from_manifest
from pid_jax.store import NORM, ActivationStore
from tests.extraction.random_models import LAYERS, random_llava

CUT = Knockout(edges=(("image", "question"),), first=0, last=LAYERS - 1, is_all=True)


@pytest.fixture(scope="module")
def llava():
    return random_llava()


@pytest.fixture
def settings(template):
    return RunSettings(
        model=ModelSettings(name="random"),
        data=DataSettings(reader="jsonl", path="unused.jsonl"),
        template=template,
        batch_size=2,
        shard_size=4,
        max_new_tokens=2,
    )


def _fill(vlm, samples, settings, path, knockout=None):
    store = ActivationStore.create(path, plan_store(vlm, samples, settings, knockout))
    extract(vlm, samples, settings, store, knockout)
    return store


def _renamed(samples, count):
    return [dataclasses.replace(samples[i % len(samples)], id=f"{i:03d}") for i in range(count)]


def test_store_holds_every_sample_and_layer(llava, samples, settings, tmp_path):
    many = _renamed(samples, 7)
    store = _fill(llava, many, settings, tmp_path / "s")
    assert store.ids.tolist() == [sample.id for sample in many]
    assert store.layers == tuple(range(LAYERS + 1))
    assert store.roles == ("image", "last", "question")
    assert store.read(role="question", layer=0).shape == (7, 48)
    assert store.read(role="last", layer=NORM).dtype == np.float32
    assert store.columns["question"].tolist() == [sample.question for sample in many]
    assert (store.columns["n_image"] == 16).all()
    assert not store.failures
    assert store.verify() == []


def test_equal_samples_have_equal_states(llava, samples, settings, tmp_path):
    store = _fill(llava, _renamed(samples, 6), settings, tmp_path / "s")
    states = store.read(role="last", layer=NORM)
    np.testing.assert_allclose(states[:3], states[3:], atol=1e-5)
    assert np.abs(states[0] - states[1]).max() > 1e-3


def test_bad_samples_are_recorded_and_the_rest_goes_on(llava, samples, settings, tmp_path):
    corrupt = tmp_path / "corrupt.png"
    corrupt.write_bytes(samples[0].image.read_bytes()[:60])
    bad = [
        Sample(id="b-missing", image=tmp_path / "none.png", question="what is this ?", answer=None, task="what"),
        Sample(id="c-corrupt", image=corrupt, question="what is this ?", answer=None, task="what"),
        Sample(id="d-empty", image=samples[0].image, question="  ", answer=None, task="what"),
        Sample(id="e-long", image=samples[0].image, question="what is " * 1200, answer=None, task="what"),
    ]
    store = _fill(llava, [*samples, *bad], settings, tmp_path / "s")
    assert store.ids.tolist() == [sample.id for sample in samples]
    found = {failure.id: (failure.stage, failure.message) for failure in store.failures}
    assert {i: stage for i, (stage, _) in found.items()} == {
        "b-missing": "image",
        "c-corrupt": "image",
        "d-empty": "prompt",
        "e-long": "length",
    }
    assert "does not exist" in found["b-missing"][1]
    assert "replace the file" in found["c-corrupt"][1]
    assert "question is empty" in found["d-empty"][1]
    assert "shorten the question" in found["e-long"][1]
    assert store.verify() == []


def test_non_finite_states_are_failures(samples, settings, tmp_path):
    broken = random_llava()
    token = broken.processor.tokenizer.convert_tokens_to_ids("circle")
    broken.model.get_input_embeddings().weight.data[token] = float("nan")
    store = _fill(broken, samples, settings, tmp_path / "s")
    assert [failure.stage for failure in store.failures] == ["states"]
    assert "circle" not in " ".join(store.columns["question"])


def test_knockout_has_its_condition_and_other_states(llava, samples, settings, tmp_path):
    check_knockout(llava, samples, settings, CUT)
    baseline = _fill(llava, samples, settings, tmp_path / "b")
    cut = _fill(llava, samples, settings, tmp_path / "k", CUT)
    assert cut.manifest.condition["name"] == "image-question@all"
    assert cut.manifest.settings == baseline.manifest.settings
    np.testing.assert_array_equal(baseline.read(role="image", layer=3), cut.read(role="image", layer=3))
    assert np.abs(baseline.read(role="question", layer=3) - cut.read(role="question", layer=3)).max() > 1e-3


def test_float16_on_disk_unless_it_overflows(llava, samples, settings, tmp_path):
    half = dataclasses.replace(settings, dtype="float16")
    store = _fill(llava, samples, half, tmp_path / "s")
    assert store.read(role="last", layer=1).dtype == np.float16
    loud = random_llava()
    loud.model.get_input_embeddings().weight.data[:] *= 1e6
    assert _fill(loud, samples, half, tmp_path / "l").read(role="image", layer=0).dtype == np.float32


def test_settings_survive_the_manifest(llava, samples, settings, tmp_path):
    store = _fill(llava, samples, settings, tmp_path / "s")
    assert from_manifest(dict(ActivationStore.open(store.path).manifest.settings)) == settings


def test_other_weights_are_other_settings(llava):
    assert fingerprint(llava) == fingerprint(random_llava())
    other = random_llava(seed=1)
    assert fingerprint(llava)["parameters_sha256"] != fingerprint(other)["parameters_sha256"]
    assert fingerprint(llava)["config_sha256"] == fingerprint(other)["config_sha256"]


@pytest.mark.parametrize("name", ["batch_size", "shard_size", "max_new_tokens"])
def test_sizes_must_be_positive(settings, name):
    with pytest.raises(ValueError, match=f"{name} must be at least 1, got 0"):
        dataclasses.replace(settings, **{name: 0})
