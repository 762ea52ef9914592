"""Extraction killed with SIGKILL at random moments, then resumed: every id once, every value bit-equal."""

import json
import os
import random
import signal
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from extraction.datasets.load import DataSettings, load_samples
from extraction.model.load import load_model
from extraction.passes.edges import Knockout, describe_condition
from extraction.run.fill import RunOptions, Target, fill, plan_store
from extraction.run.processes import Process
from extraction.run.settings import ModelSettings, RunSettings
from pid_jax.store import ActivationStore

CUTS = (None, Knockout(edges=(("image", "question"),), first=2, last=4))


@pytest.fixture(scope="module")
def job():
    vlm = load_model("tiny")
    data = DataSettings(reader="easy-vqa", per_task=150)
    settings = RunSettings(
        model=ModelSettings(name="tiny"),
        data=data,
        template="USER: <image>\n{q} ASSISTANT:",
        batch_size=8,
        shard_size=16,
        max_new_tokens=2,
    )
    return vlm, load_samples(data), settings


def _targets(job, path) -> list[Target]:
    vlm, samples, settings = job
    manifest = plan_store(vlm, samples, settings)
    return [
        Target(
            store=ActivationStore.create(path / str(i), replace(manifest, condition=describe_condition(cut))),
            knockout=cut,
        )
        for i, cut in enumerate(CUTS)
    ]


def _extract(job, path, process: Process | None = None) -> list[ActivationStore]:
    vlm, samples, settings = job
    targets = _targets(job, path)
    fill(vlm, samples, settings, targets, RunOptions(process=process or Process()))
    return [target.store for target in targets]


def _start_child(job, path, process: Process) -> int:
    """Run the extraction in a process of its own that shares the loaded model."""
    child = os.fork()
    if child == 0:
        try:
            _extract(job, path, process)
        finally:
            os._exit(0)
    return child


# The children use PyTorch on one thread and are killed in any case; it does not matter that other tests loaded JAX.
@pytest.mark.filterwarnings("ignore:os.fork")
@pytest.mark.parametrize("kills", [5, pytest.param(50, marks=pytest.mark.slow)])
def test_killed_at_random_moments_with_changing_numbers_of_processes(job, tmp_path, kills):
    """Rounds of one to three processes, each killed at a moment of its own; what is complete is begun anew."""
    start = time.monotonic()
    undisturbed = _extract(job, tmp_path / "undisturbed")
    duration = time.monotonic() - start

    path, moments, killed = tmp_path / "killed", random.Random(0), 0
    for round_ in range(kills):
        world = moments.randint(1, 3)
        children = [_start_child(job, path, Process(rank=rank, world_size=world)) for rank in range(world)]
        for child in children:
            time.sleep(moments.uniform(0, duration / 12))
            os.kill(child, signal.SIGKILL)
        killed += sum(os.WIFSIGNALED(os.waitpid(child, 0)[1]) for child in children)
        if not any(target.store.missing_shards() for target in _targets(job, path)):
            _check_complete(job, undisturbed, path)
            path = tmp_path / f"killed-{round_}"
    assert killed >= kills // 2, "most rounds must kill in the middle of the work"
    _check_complete(job, undisturbed, path)


def _check_complete(job, undisturbed: list[ActivationStore], path: Path) -> None:
    """Finish what is missing, and compare it with the undisturbed run."""
    for one, two in zip(undisturbed, _extract(job, path), strict=True):
        assert two.verify() == []
        assert sorted(two.ids) == sorted(sample.id for sample in job[1])
        _assert_same(one, two)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:os.fork")
def test_processes_divide_the_work_and_take_over_for_the_dead(job, tmp_path):
    """One of three processes never starts; the others make its shards too."""
    children = [_start_child(job, tmp_path, Process(rank=rank, world_size=3)) for rank in (0, 2)]
    for child in children:
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    for target in _targets(job, tmp_path):
        assert target.store.is_complete
        assert target.store.verify() == []
    alone = _extract(job, tmp_path / "alone")
    for one, target in zip(alone, _targets(job, tmp_path), strict=True):
        _assert_same(one, target.store)


def test_a_partial_file_is_never_read(job, tmp_path):
    store, _ = _extract(job, tmp_path)
    first = store.shard_path(0)
    partial = first.with_name(".shard-00000-1-ab.safetensors.partial")
    partial.write_bytes(first.read_bytes()[:1000])
    again = ActivationStore.open(store.path)
    assert again.verify() == []
    assert len(again.ids) == len(job[1])


def _assert_same(one: ActivationStore, two: ActivationStore) -> None:
    for name in one.manifest.tensors:
        prefix, role = name.split("/")
        layer = prefix if prefix == "norm" else int(prefix)
        np.testing.assert_array_equal(one.read(role=role, layer=layer), two.read(role=role, layer=layer))
    columns = [{k: v.tolist() for k, v in store.columns.items()} for store in (one, two)]
    assert json.dumps(columns[0]) == json.dumps(columns[1])
    for index in range(one.manifest.shard_count):
        assert Path(one.shard_path(index)).read_bytes() == Path(two.shard_path(index)).read_bytes()
