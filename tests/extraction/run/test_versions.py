"""Stores that other versions of packages began: numbers decide whether they are continued, versions are recorded."""

import dataclasses
import os
import signal
from pathlib import Path

import numpy as np
import pytest

from extraction.model.fingerprint import fingerprint
from extraction.passes.edges import Knockout
from extraction.passes.forward import run_batch
from extraction.proof.knockout import KnockoutError
from extraction.run.fill import RunOptions, Target, fill
from extraction.run.jobs import answers_path, extract_baseline, extract_knockouts, keep_correct
from extraction.run.processes import Process
from extraction.run.settings import RunSettings, package_versions
from pid_jax.store import ActivationStore, StoreError
from pid_jax.store.info import describe_store
from pid_jax.store.manifest import encode_manifest
from pid_jax.store.shard import read_tensors, shard_name
from tests.extraction.random_models import LAYERS, random_llava

OLD, NEW = "11.0.0", "11.0.1"
COUNT = 10  # three shards of four
CUTS = [Knockout(edges=(("image", "question"),), first=1, last=2)]
STRICT = RunOptions(strict_versions=True)


@pytest.fixture(scope="module")
def other():
    """The model as another version of a package would run it: other states and answers, by the same weights."""
    other = random_llava()
    for layer in other.layers:
        layer.mlp.down_proj.weight.data *= -1
    return other


@pytest.fixture
def many(samples):
    return [dataclasses.replace(samples[i % 3], id=f"{i:03d}") for i in range(COUNT)]


@pytest.fixture
def pillow(monkeypatch):
    """Set the version of Pillow that is installed."""
    others = package_versions()

    def install(version: str) -> dict[str, str]:
        own = others | {"pillow": version}
        monkeypatch.setattr("extraction.run.settings.version", own.__getitem__)
        return own

    install(OLD)
    return install


@pytest.fixture
def told():
    """What a run says, and options to say it."""
    said: list[str] = []
    return said, RunOptions(say=said.append)


def _half(path) -> ActivationStore:
    """Take the last two shards of a complete store away."""
    store = ActivationStore.open(path)
    for index in (1, 2):
        Path(store.shard_path(index)).unlink()
    return store


def _fill_half(path, vlm, samples, settings, knockout=None) -> None:
    """Make the last two shards of a complete store again, by a process that is killed before it checks them."""
    fill(vlm, samples, settings, [Target(store=_half(path), knockout=knockout)])


def _assert_equal_but_versions(store: ActivationStore, whole: ActivationStore, scratch: Path) -> None:
    """Compare all bytes of all shards, once the recorded versions are those of the uninterrupted run."""
    copy = ActivationStore.create(scratch, store.manifest)
    for index, header in store.headers.items():
        tensors = read_tensors(store.folder, shard_name(index), header, store.manifest.tensors)
        versions = whole.header(index).versions
        copy.write_shard(index, header.ids, header.columns, tensors, header.failures, versions)
        assert Path(copy.shard_path(index)).read_bytes() == Path(whole.shard_path(index)).read_bytes()


def test_another_version_resumes_with_equal_bytes_and_both_are_shown(llava, many, settings, tmp_path, pillow, told):
    whole = extract_baseline(llava, many, settings, tmp_path / "whole")
    extract_baseline(llava, many, settings, tmp_path / "s")
    _half(tmp_path / "s")
    new = pillow(NEW)
    store = extract_baseline(llava, many, settings, tmp_path / "s", told[1])
    assert [store.header(index).versions["pillow"] for index in range(3)] == [OLD, NEW, NEW]
    assert store.header(2).versions == new
    _assert_equal_but_versions(store, whole, tmp_path / "copy")
    (line,) = told[0]
    assert OLD in line
    assert NEW in line
    info = describe_store(store)
    assert info.versions["pillow"] == {OLD: 1, NEW: 2}
    assert info.versions["torch"] == {new["torch"]: 3}
    assert store.verify() == []
    extract_baseline(llava, many, settings, tmp_path / "s", told[1])  # complete, and proved again
    assert len(told[0]) == 2
    extract_baseline(llava, many, settings, tmp_path / "whole", told[1])  # complete and of one set of versions
    assert len(told[0]) == 2


def test_equal_versions_cost_nothing(llava, many, settings, tmp_path, pillow, monkeypatch):
    extract_baseline(llava, many, settings, tmp_path / "s")
    _half(tmp_path / "s")
    monkeypatch.setattr("extraction.run.versions.compare_rows", None)
    assert extract_baseline(llava, many, settings, tmp_path / "s").is_complete


@pytest.mark.parametrize("roles", [("image", "question", "last"), ()])
def test_other_numbers_are_refused(llava, other, many, settings, tmp_path, pillow, monkeypatch, roles):
    settings = dataclasses.replace(settings, roles=roles)
    begun = extract_baseline(llava, many, settings, tmp_path / "s")
    _half(tmp_path / "s")
    monkeypatch.setattr("extraction.run.fill.fingerprint", lambda vlm: begun.manifest.settings["fingerprint"])
    pillow(NEW)
    with pytest.raises(StoreError, match=r"sample '00\d'.*Install") as caught:
        extract_baseline(other, many, settings, tmp_path / "s")
    assert f"pillow {OLD}, now {NEW}" in str(caught.value)
    assert ActivationStore.open(tmp_path / "s").missing_shards() == [1, 2]


def test_a_processor_that_makes_other_pixels_is_refused(llava, many, settings, tmp_path, pillow, monkeypatch):
    extract_baseline(llava, many, settings, tmp_path / "s")
    _half(tmp_path / "s")
    pillow(NEW)
    kind = type(llava.processor.image_processor)
    resize = kind.resize
    monkeypatch.setattr(kind, "resize", lambda self, image, *args, **how: resize(self, image[::-1], *args, **how))
    with pytest.raises(StoreError, match=r"sample '000', role 'image'"):
        extract_baseline(llava, many, settings, tmp_path / "s")


def _alter(monkeypatch, rows: set[int]) -> None:
    """Let a package change the text of answers, those of some rows of a batch."""

    def altered(vlm, prepared, plan, conditions=(None,)):
        found = run_batch(vlm, prepared, plan, conditions)
        for result in found:
            result.answers = [text.upper() + "!" if i in rows else text for i, text in enumerate(result.answers)]
        return found

    for room in ("run.fill", "proof.stored"):
        monkeypatch.setattr(f"extraction.{room}.run_batch", altered)


def test_answers_that_changed_are_refused_where_states_did_not(llava, many, settings, tmp_path, pillow, monkeypatch):
    base = extract_baseline(llava, many, settings, tmp_path / "s")
    pillow(NEW)
    _alter(monkeypatch, {0, 1})
    with pytest.raises(StoreError, match=r"sample '00\d' was answered .*Install"):
        extract_knockouts(llava, many, base, CUTS, tmp_path)
    _half(tmp_path / "s")
    with pytest.raises(StoreError, match=r"sample '00\d' was answered .*Install"):
        extract_baseline(llava, many, settings, tmp_path / "s")


def test_one_equal_answer_is_enough(llava, many, settings, tmp_path, pillow, told, monkeypatch):
    """Where two tokens tie, rounding decides."""
    extract_baseline(llava, many, settings, tmp_path / "s")
    _half(tmp_path / "s")
    pillow(NEW)
    _alter(monkeypatch, {1})
    extract_baseline(llava, many, settings, tmp_path / "s", told[1])
    assert "1 of 2 answers" in told[0][0]


@pytest.mark.parametrize("is_complete", [True, False])
def test_strict_versions_refuse(llava, many, settings, tmp_path, pillow, is_complete):
    base = extract_baseline(llava, many, settings, tmp_path / "s")
    extract_knockouts(llava, many, base, CUTS, tmp_path)
    if not is_complete:
        _half(tmp_path / CUTS[0].name)
    extract_baseline(llava, many, settings, tmp_path / "s", STRICT)
    extract_knockouts(llava, many, base, CUTS, tmp_path, STRICT)
    pillow(NEW)
    if not is_complete:
        _half(tmp_path / "s")
    with pytest.raises(StoreError, match="strict_versions"):
        extract_baseline(llava, many, settings, tmp_path / "s", STRICT)
    if is_complete:
        with pytest.raises(StoreError, match="strict_versions"):
            extract_knockouts(llava, many, base, CUTS, tmp_path, STRICT)


def test_knockouts_and_their_baseline(llava, many, settings, tmp_path, pillow, told, monkeypatch):
    """Knockouts follow a baseline of another version, are resumed under a third, and are refused for other numbers."""
    base = extract_baseline(llava, many, settings, tmp_path / "s")
    whole = extract_knockouts(llava, many, base, CUTS, tmp_path / "whole")[CUTS[0].name]
    pillow(NEW)
    extract_knockouts(llava, many, base, CUTS, tmp_path, told[1])
    assert len(told[0]) == 1
    begun = _half(tmp_path / CUTS[0].name)
    pillow("12.0.0")
    cut = extract_knockouts(llava, many, base, CUTS, tmp_path, told[1])[CUTS[0].name]
    assert len(told[0]) == 3  # of the baseline and of the store that was begun
    assert [cut.header(index).versions["pillow"] for index in range(3)] == [NEW, "12.0.0", "12.0.0"]
    _assert_equal_but_versions(cut, whole, tmp_path / "copy")

    _half(begun.path)
    other = random_llava()
    other.layers[LAYERS - 1].mlp.up_proj.weight.data[3] += 0.05
    monkeypatch.setattr("extraction.run.fill.fingerprint", lambda vlm: base.manifest.settings["fingerprint"])
    with pytest.raises(StoreError, match=rf"layer {LAYERS} .*Install"):
        extract_knockouts(other, many, base, CUTS, tmp_path)
    pillow(OLD)  # the baseline's, so that only the self-test of the baseline is left to notice
    with pytest.raises(KnockoutError, match=rf"layer {LAYERS} "):
        extract_knockouts(other, many, base, CUTS, tmp_path / "new")


def test_processes_that_begin_together_with_different_versions(llava, many, settings, tmp_path, pillow, told):
    """Neither finds a shard of the other at first; the check after filling does, and nothing is lost."""

    def progress(done: int) -> None:
        if done == 0:  # now the other process makes its own shard, and is killed before those of this one
            pillow(NEW)
            other = extract_baseline(llava, many, settings, tmp_path / "s", RunOptions(process=Process(world_size=2)))
            pillow(OLD)
            for index in (0, 2):
                Path(other.shard_path(index)).unlink()

    store = extract_baseline(llava, many, settings, tmp_path / "s", dataclasses.replace(told[1], progress=progress))
    assert [store.header(index).versions["pillow"] for index in range(3)] == [OLD, NEW, OLD]
    assert len(told[0]) == 1
    assert store.verify() == []


def test_a_refused_store_is_refused_again(llava, other, many, settings, tmp_path, pillow, monkeypatch):
    """The first run notices after filling only; for the next ones the store is complete."""
    same = fingerprint(llava)
    monkeypatch.setattr("extraction.run.fill.fingerprint", lambda vlm: same)
    rounds = []

    def progress(done: int) -> None:
        if done == 0:
            rounds.append(done)
            pillow(NEW)
            theirs = extract_baseline(other, many, settings, tmp_path / "s", RunOptions(process=Process(world_size=2)))
            pillow(OLD)
            for index in (0, 2):
                Path(theirs.shard_path(index)).unlink()

    for _ in range(2):
        with pytest.raises(StoreError, match="Install"):
            extract_baseline(llava, many, settings, tmp_path / "s", RunOptions(progress=progress))
    assert rounds == [0]
    pillow(NEW)
    with pytest.raises(StoreError, match="Install"):
        extract_baseline(other, many, settings, tmp_path / "s")


def test_complete_stores_that_were_never_proved(llava, other, many, settings, tmp_path, pillow):
    """Knockouts, the baseline of complete knockouts, and answers."""
    base = extract_baseline(llava, many, settings, tmp_path / "s")
    (cut,) = extract_knockouts(llava, many, base, CUTS, tmp_path).values()
    answers = dataclasses.replace(settings, roles=())
    extract_baseline(llava, many, answers, answers_path(tmp_path / "s"))
    whole = {path: Path(path).read_bytes() for path in map(cut.shard_path, (1, 2))}
    pillow(NEW)
    _fill_half(cut.path, other, many, settings, CUTS[0])
    _fill_half(answers_path(tmp_path / "s"), other, many, answers)
    pillow(OLD)
    with pytest.raises(StoreError, match="Install"):
        extract_knockouts(llava, many, base, CUTS, tmp_path)
    with pytest.raises(StoreError, match="Install"):
        keep_correct(llava, many, settings, tmp_path / "s")
    for path, content in whole.items():
        Path(path).write_bytes(content)
    extract_knockouts(llava, many, base, CUTS, tmp_path)
    pillow(NEW)
    _fill_half(base.path, other, many, settings)
    pillow(OLD)
    with pytest.raises(StoreError, match="Install"):
        extract_knockouts(llava, many, ActivationStore.open(base.path), CUTS, tmp_path)


@pytest.mark.filterwarnings("ignore:os.fork")
def test_killed_between_shards_and_resumed_under_another_version(llava, many, settings, tmp_path, pillow, told):
    whole = extract_baseline(llava, many, settings, tmp_path / "whole")
    child = os.fork()
    if child == 0:
        write = ActivationStore.write_shard

        def write_or_die(self, index, *args):
            if index == 1:
                os.kill(os.getpid(), signal.SIGKILL)
            return write(self, index, *args)

        try:
            ActivationStore.write_shard = write_or_die  # this process ends here
            extract_baseline(llava, many, settings, tmp_path / "s")
        finally:
            os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    assert ActivationStore.open(tmp_path / "s").missing_shards() == [1, 2]
    pillow(NEW)
    store = extract_baseline(llava, many, settings, tmp_path / "s", told[1])
    assert [store.header(index).versions["pillow"] for index in range(3)] == [OLD, NEW, NEW]
    _assert_equal_but_versions(store, whole, tmp_path / "copy")
    assert len(told[0]) == 1
    assert store.verify() == []


def test_a_store_of_an_earlier_release_is_read_and_resumed(llava, many, settings, tmp_path, pillow, told):
    """Versions stood in the settings of the manifest, so that they are in its checksum."""
    made = extract_baseline(llava, many, settings, tmp_path / "s")
    manifest = dataclasses.replace(made.manifest, settings={**made.manifest.settings, "versions": package_versions()})
    old = ActivationStore.create(tmp_path / "old", manifest)
    header = made.header(0)
    tensors = read_tensors(made.folder, shard_name(0), header, manifest.tensors)
    old.write_shard(0, header.ids, header.columns, tensors)
    assert not old.header(0).versions
    text = encode_manifest(manifest)
    pillow(NEW)
    store = extract_baseline(llava, many, settings, tmp_path / "old", told[1])
    assert len(told[0]) == 1
    assert (tmp_path / "old" / "manifest.json").read_text() == text
    assert store.verify() == []
    assert describe_store(store).versions["pillow"] == {OLD: 1, NEW: 2}
    np.testing.assert_array_equal(store.read(role="last", layer="norm"), made.read(role="last", layer="norm"))
    assert extract_knockouts(llava, many, store, CUTS, tmp_path)[CUTS[0].name].is_complete


def test_answers_first(llava, many, settings, tmp_path, pillow, told):
    settings = dataclasses.replace(settings, keep="correct")
    plain = extract_baseline(llava, many, dataclasses.replace(settings, roles=(), keep="all"), tmp_path / "plain")
    said = dict(zip(plain.ids, plain.columns["predicted"], strict=True))
    asked = [dataclasses.replace(sample, answer=str(said[sample.id])) for sample in many]
    keep_correct(llava, asked, settings, tmp_path / "s")
    _half(tmp_path / "s.answers")
    pillow(NEW)
    assert len(keep_correct(llava, asked, settings, tmp_path / "s", told[1])) == COUNT
    assert len(told[0]) == 1


def test_images_that_are_gone_leave_nothing_to_compare(llava, many, settings: RunSettings, tmp_path, pillow):
    extract_baseline(llava, many, settings, tmp_path / "s")
    _half(tmp_path / "s")
    pillow(NEW)
    gone = [dataclasses.replace(sample, problem="gone") for sample in many]
    with pytest.raises(StoreError, match="restore their images"):
        extract_baseline(llava, gone, settings, tmp_path / "s")
