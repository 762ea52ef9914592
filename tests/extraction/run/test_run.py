"""From samples to a store: failures are recorded, nothing is lost, batches do not matter."""

import dataclasses
import shutil

import numpy as np
import pytest
import torch

from extraction.datasets.sample import Sample
from extraction.errors import TooManyFailuresError
from extraction.model.fingerprint import fingerprint
from extraction.passes.edges import Knockout
from extraction.passes.forward import run_batch
from extraction.run.fill import RunOptions, _Runner
from extraction.run.jobs import extract_baseline, extract_knockouts, keep_correct
from extraction.run.settings import from_manifest
from pid_jax.runtime.files import describe_bytes
from pid_jax.store import NORM, ActivationStore
from tests.extraction.random_models import LAYERS, random_llava

CUT = Knockout(edges=(("image", "question"),), first=0, last=LAYERS - 1, is_all=True)


def _fill(vlm, samples, settings, path):
    return extract_baseline(vlm, samples, settings, path)


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


def test_another_run_in_the_same_folder_is_told(llava, samples, settings, tmp_path, monkeypatch):
    """While the first shard is made, another run makes all."""
    many, lines, made = _renamed(samples, 10), [], []
    whole, run = _fill(llava, many, settings, tmp_path / "a"), _Runner.run

    def overtaken(self, *given):
        made.append(given)
        shutil.copytree(tmp_path / "a", tmp_path / "b", dirs_exist_ok=True)
        return run(self, *given)

    monkeypatch.setattr(_Runner, "run", overtaken)
    store = extract_baseline(llava, many, settings, tmp_path / "b", RunOptions(say=lines.append))
    assert whole.manifest.shard_count > 1
    assert len(made) == 1
    assert len([line for line in lines if "Another run" in line]) == 1
    assert store.verify() == []


def test_a_warning_where_the_disk_is_too_small(llava, samples, settings, tmp_path, monkeypatch):
    lines = []
    monkeypatch.setattr("extraction.run.fill.free_bytes", lambda path: 1000)
    store = extract_baseline(llava, samples, settings, tmp_path / "s", RunOptions(say=lines.append))
    size = sum(x.nbytes for x in (store.read(role="image", layer=0), store.read(role="last", layer=NORM)))
    every = size / 2 * len(store.manifest.tensors)
    (line,) = [line for line in lines if "are free" in line]
    assert describe_bytes(round(every)) in line
    assert str(tmp_path / "s") in line
    lines.clear()
    extract_baseline(llava, samples, settings, tmp_path / "s", RunOptions(say=lines.append))
    assert not [line for line in lines if "are free" in line]


def test_a_shard_that_cannot_be_written_stops_the_run_and_is_made_again(
    llava, samples, settings, tmp_path, monkeypatch
):
    many, write = _renamed(samples, 10), ActivationStore.write_shard

    def write_or_fail(self, index, *args):
        if index == 1:
            raise OSError("no space left on device")
        write(self, index, *args)

    with monkeypatch.context() as patch:
        patch.setattr(ActivationStore, "write_shard", write_or_fail)
        with pytest.raises(OSError, match="no space left"):
            _fill(llava, many, settings, tmp_path / "s")
    again, whole = (_fill(llava, many, settings, tmp_path / name) for name in ("s", "whole"))
    assert again.verify() == []
    for index in range(3):
        one, other = (store.shard_path(index) for store in (again, whole))
        assert one.read_bytes() == other.read_bytes()


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
    baseline = _fill(llava, samples, settings, tmp_path / "b")
    cut = extract_knockouts(llava, samples, baseline, [CUT], tmp_path)[CUT.name]
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
    loud_store = _fill(loud, samples, half, tmp_path / "l")
    assert loud_store.read(role="question", layer=0).dtype == np.float32
    assert loud_store.read(role="image", layer=0).dtype == np.float16


def test_only_the_tensor_that_overflows_is_wider(llava, samples, settings, tmp_path, monkeypatch):
    """Massive activations of one role at one layer; a shard that is made again has the same bytes."""

    def with_massive_activation(vlm, part, plan, conditions):
        results = run_batch(vlm, part, plan, conditions)
        rows = [i for i, prepared in enumerate(part) if prepared.sample.id == "001"]
        for result in results:
            result.states[rows, 2, settings.roles.index("image"), 5] = 70_000.0
        return results

    monkeypatch.setattr("extraction.run.fill.run_batch", with_massive_activation)
    half = dataclasses.replace(settings, dtype="float16")
    store = _fill(llava, _renamed(samples, 7), half, tmp_path / "s")
    wide = [[name for name, place in store.header(i).places.items() if place.dtype == np.float32] for i in (0, 1)]
    assert wide == [["002/image"], []]
    states = store.read(role="image", layer=2)
    assert states.dtype == np.float32
    assert states[1, 5] == 70_000
    assert store.read(role="image", layer=3).dtype == store.read(role="question", layer=2).dtype == np.float16
    assert store.verify() == []
    before = store.shard_path(0).read_bytes()
    store.shard_path(0).unlink()
    again = _fill(llava, _renamed(samples, 7), half, tmp_path / "s")
    assert again.shard_path(0).read_bytes() == before


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


def _same(one: ActivationStore, two: ActivationStore) -> None:
    for index in range(one.manifest.shard_count):
        assert one.shard_path(index).read_bytes() == two.shard_path(index).read_bytes(), index


def test_out_of_memory_halves_the_batch_and_loses_nothing(llava, samples, settings, tmp_path, monkeypatch):
    from extraction.run import fill as run

    sizes, said, whole = [], [], run.run_batch

    def small_memory(vlm, prepared, plan, conditions):
        sizes.append(len(prepared))
        if len(prepared) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return whole(vlm, prepared, plan, conditions)

    monkeypatch.setattr(run, "run_batch", small_memory)
    many = _renamed(samples, 12)
    large = dataclasses.replace(settings, batch_size=8, shard_size=6)
    store = extract_baseline(llava, many, large, tmp_path / "s", RunOptions(say=said.append))
    assert sizes == [6, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1]
    assert said == ["Out of memory: batches of 3 from here on.", "Out of memory: batches of 1 from here on."]
    assert store.ids.tolist() == [sample.id for sample in many]
    assert store.verify() == []


def test_a_sample_too_large_for_the_memory_is_a_failure(llava, samples, settings, tmp_path, monkeypatch):
    from extraction.run import fill as run

    whole = run.run_batch

    def no_room(vlm, prepared, plan, conditions):
        if any(p.sample.id == "001" for p in prepared):
            raise torch.OutOfMemoryError("CUDA out of memory")
        return whole(vlm, prepared, plan, conditions)

    monkeypatch.setattr(run, "run_batch", no_room)
    store = _fill(llava, samples, settings, tmp_path / "s")
    assert [(failure.id, failure.stage) for failure in store.failures] == [("001", "memory")]
    assert store.ids.tolist() == ["000", "002"]


def test_other_errors_of_the_model_are_not_hidden(llava, samples, settings, tmp_path, monkeypatch):
    from extraction.run import fill as run

    def broken(*arguments):
        raise RuntimeError("shapes do not match")

    monkeypatch.setattr(run, "run_batch", broken)
    with pytest.raises(RuntimeError, match="shapes do not match"):
        _fill(llava, samples, settings, tmp_path / "s")


def test_too_many_failures_stop_the_run_and_keep_what_was_made(llava, samples, settings, tmp_path):
    bad = [dataclasses.replace(samples[0], id=f"x{i}", image=tmp_path / "none.png") for i in range(8)]
    everything = [*samples, *bad]
    with pytest.raises(TooManyFailuresError, match="--max-errors"):
        extract_baseline(llava, everything, settings, tmp_path / "s", RunOptions(max_errors=4))
    assert len(ActivationStore.open(tmp_path / "s").missing_shards()) == 1
    store = extract_baseline(llava, everything, settings, tmp_path / "s", RunOptions(max_errors=8))
    assert len(store.failures) == 8


def test_answers_first_then_only_the_right_ones(llava, samples, settings, tmp_path):
    many = _renamed(samples, 6)
    answers = extract_baseline(llava, many, settings, tmp_path / "all").columns["predicted"]
    half = [
        dataclasses.replace(sample, answer=str(answers[i]) if i % 2 else "no such answer")
        for i, sample in enumerate(many)
    ]
    right = keep_correct(llava, half, settings, tmp_path / "s")
    assert [sample.id for sample in right] == ["001", "003", "005"]
    assert ActivationStore.open(f"{tmp_path / 's'}.answers").manifest.tensors == ()
    wrong = [dataclasses.replace(sample, answer="no such answer") for sample in many]
    with pytest.raises(ValueError, match=r"\(see .*none\.answers\)"):
        keep_correct(llava, wrong, settings, tmp_path / "none")


@pytest.mark.slow
def test_workers_prepare_the_same(llava, samples, settings, tmp_path):
    bad = Sample(id="bad", image=tmp_path / "none.png", question="what is this ?", answer=None, task="what")
    many = [*_renamed(samples, 10), bad]
    alone = _fill(llava, many, settings, tmp_path / "alone")
    helped = extract_baseline(llava, many, settings, tmp_path / "helped", RunOptions(workers=2))
    _same(alone, helped)


def test_knockouts_share_passes_and_equal_those_made_alone(llava, samples, settings, tmp_path):
    many = _renamed(samples, 6)
    cuts = [Knockout(edges=(("image", "question"),), first=i, last=i + 1) for i in range(LAYERS - 1)]
    proofs, base = [], _fill(llava, many, settings, tmp_path / "b")
    together = extract_knockouts(llava, many, base, cuts, tmp_path, proved=lambda cut, proof: proofs.append(cut))
    assert proofs == cuts
    alone = extract_knockouts(llava, many, base, cuts[2:3], tmp_path / "alone")
    _same(together[cuts[2].name], alone[cuts[2].name])
    evidence = together[cuts[1].name].manifest.evidence["knockout"]
    assert evidence["weight_left"] == 0 < evidence["weight_cut"]
    assert 0 <= evidence["baseline_error"] < 1e-5


def test_baseline_keeps_the_evidence_of_its_self_tests(llava, samples, settings, tmp_path):
    store = _fill(llava, samples, settings, tmp_path / "s")
    assert 0 <= store.manifest.evidence["prefix"]["image_error"] < 1e-5
    apart = dataclasses.replace(settings, share_images=False)
    assert set(_fill(llava, samples, apart, tmp_path / "apart").manifest.evidence) == {"parity"}
    answers = dataclasses.replace(settings, roles=(), share_images=False)
    assert _fill(llava, samples, answers, tmp_path / "answers").manifest.evidence == {}


def test_layers_and_roles(llava, samples, settings, tmp_path):
    some = dataclasses.replace(settings, layers=(0, 3), roles=("system", "suffix"))
    store = _fill(llava, samples, some, tmp_path / "s")
    assert (store.layers, store.roles) == ((0, 3), ("suffix", "system"))
    assert from_manifest(dict(store.manifest.settings)) == some
    for i, beyond in enumerate((LAYERS + 1, -LAYERS - 2)):
        with pytest.raises(ValueError, match=rf"layers must be within 0 \(embeddings\) to {LAYERS}.*got {beyond}"):
            _fill(llava, samples, dataclasses.replace(settings, layers=(0, beyond)), tmp_path / f"t{i}")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("layers", "resolved"),
    [
        ([-1], (LAYERS,)),
        ((-1, 0, LAYERS), (0, LAYERS)),
        ([-LAYERS - 1], (0,)),
        (np.array([3, 1]), (1, 3)),
        (range(2), (0, 1)),
    ],
)
def test_layers_are_stored_as_resolved_numbers(llava, samples, settings, tmp_path, layers, resolved):
    some = dataclasses.replace(settings, layers=layers)
    store = _fill(llava, samples, some, tmp_path / "s")
    assert (store.layers, store.manifest.settings["layers"]) == (resolved, list(resolved))
    whole = _fill(llava, samples, settings, tmp_path / "whole")
    np.testing.assert_array_equal(
        store.read(role="last", layer=resolved[-1]), whole.read(role="last", layer=resolved[-1])
    )


@pytest.mark.parametrize(
    ("field", "value", "match"),
    [
        ("roles", ("picture",), "roles must be among"),
        ("layers", (), "layers is empty"),
        ("keep", "best", "keep must be"),
        ("dtype", "int8", "dtype on disk"),
    ],
)
def test_settings_out_of_range(settings, field, value, match):
    with pytest.raises(ValueError, match=match):
        dataclasses.replace(settings, **{field: value})


@pytest.mark.parametrize(
    ("names", "match"),
    [((), "knockouts"), ((0, 0), "different names"), ((LAYERS,), f"ends behind the last block {LAYERS - 1}")],
)
def test_knockouts_that_cannot_be(llava, samples, settings, tmp_path, names, match):
    cuts = [Knockout(edges=(("image", "question"),), first=i, last=i) for i in names]
    base = _fill(llava, samples, settings, tmp_path / "b")
    with pytest.raises(ValueError, match=match):
        extract_knockouts(llava, samples, base, cuts, tmp_path)
