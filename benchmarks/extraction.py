"""Extraction: overhead over the bare model, peak memory, and what knockouts save by starting at their window.

python -m benchmarks.extraction [--device cuda --size 7B]
"""

import argparse
import statistics
import tempfile
import time
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from unittest import mock

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from benchmarks.measure import apart
from benchmarks.random_llava import SIZES, build, make_samples
from benchmarks.record import write_results
from benchmarks.tables import Row
from extraction.datasets.load import DataSettings, load_samples
from extraction.model.load import VisionLanguageModel, load_model
from extraction.model.prompts import TEMPLATES
from extraction.passes.batch import make_batch
from extraction.passes.capture import StatesPlan
from extraction.passes.edges import Knockout
from extraction.passes.encode import Encoder, Prepared
from extraction.passes.forward import ForwardPlan, run_batch
from extraction.passes.knockout import cutting
from extraction.run.fill import Target, fill, plan_store
from extraction.run.settings import ModelSettings, RunSettings
from extraction.run.workers import Preparation
from pid_jax.store import ActivationStore

REPEATS = 3
LONG = 1500  # tokens of the prompts whose peak memory is measured
TEMPLATE = "USER: <image>\n{q} ASSISTANT:"
CUT = (("image", "question"),)
_IN_TURNS = (
    "CPU seconds (seconds on a GPU), one thread, medians of repeats in turns; memory: tensors that live at once."
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--size", default="0.3B", choices=SIZES)
    options = parser.parse_args()
    size, device = options.size, options.device
    torch.set_num_threads(1)
    tables = {
        "Overhead over the bare model": overhead(size, device),
        "Peak memory": memory(size, device),
        "Forward time of knockouts, a window of 3 blocks": windows(size, device),
    }
    name, place, more = "extraction", "a CPU", {}
    if device == "cuda":
        name, place = f"extraction_{device}_{size}", torch.cuda.get_device_name()
        more = {"card": place, "command": f"python -m benchmarks.extraction --device {device} --size {size}"}
    text = f"Random LLaVA of {size} and the small trained one on {place}. {_IN_TURNS}"
    write_results(name, "Extraction", text, tables, **more)


def overhead(size: str, device: str) -> list[Row]:
    """Compare filling a store with the bare model on the same batches, images decoded before."""
    rows, count = [], _per_batch(device, 2)
    with tempfile.TemporaryDirectory() as folder:
        large, images = _build(size, device), make_samples(Path(folder), count, (336, 336))
        small = load_samples(DataSettings(reader="easy-vqa", per_task=640))
        cases = [
            (load_model("tiny", device=device), "small, 64 a batch", small, 64),
            (large, f"{size}, 576 image tokens, {count} a batch", images, count),
        ]
        for vlm, name, samples, batch_size in cases:
            prepared = _prepared(vlm, samples)
            for tokens in (1, 4):
                bare, ours = _in_turns(
                    partial(_bare, vlm, prepared, batch_size, tokens),
                    partial(_fill, vlm, samples, prepared, batch_size, tokens),
                    device=device,
                )
                row = {"model": name, "tokens answered": tokens, "bare": bare, "extraction and store": ours}
                rows.append(row | {"overhead": _percent(ours / bare - 1), "samples/s bare": len(samples) / bare})
    return rows


def memory(size: str, device: str) -> list[Row]:
    """Compare peaks, each in a process of its own, of a LLaVA-1.6 with 1,464 image tokens and a long prompt."""
    kinds = ("bare", "output_hidden_states", "extraction")
    bare, hidden, ours = (apart(peak_memory, kind, size, device) for kind in kinds)
    row = {"model": f"LLaVA-1.6, {size}", "bare MB" + (" over the weights" if device == "cpu" else ""): bare}
    more = {"output_hidden_states, more MB": hidden - bare, "extraction, more MB": ours - bare}
    return [row | more | {"ratio": (ours - bare) / (hidden - bare)}]


def windows(size: str, device: str) -> list[Row]:
    """Compare a hooked pass of the whole model with what a knockout adds to the pass without a cut."""
    vlm = _build(size, device)
    layers = len(vlm.layers)
    with tempfile.TemporaryDirectory() as folder:
        prepared = _prepared(vlm, make_samples(Path(folder), _per_batch(device, 1), (336, 336)))
    batch = make_batch(vlm, prepared)
    plan = ForwardPlan(states=_plan(vlm), max_new_tokens=1)
    every = [Knockout(edges=CUT, first=i, last=i + 2) for i in range(layers - 2)]
    some = [every[i] for i in sorted({0, layers // 3, layers // 2, 2 * layers // 3, layers - 3})]

    def run(*cuts: Knockout) -> Callable[[], object]:
        return lambda: run_batch(vlm, prepared, plan, cuts or (None,))

    whole, base, *shared = _in_turns(
        lambda: _hooked(vlm, batch, some[0]), run(), *(run(cut) for cut in some), run(*every), device=device
    )
    names = [f"blocks {cut.first} to {cut.last} of {layers}" for cut in some]
    names.append(f"all of 3 blocks, {len(every)} together")
    counts = [1] * len(some) + [len(every)]
    return [
        {
            "window": name,
            "whole pass with hooks": count * whole,
            "after the shared pass": seconds - base,
            "less": _percent(1 - (seconds - base) / whole / count),
            "with the shared pass": seconds,
            "windows": count,
        }
        for name, count, seconds in zip(names, counts, shared, strict=True)
    ]


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _build(size: str, device: str, is_next: bool = False) -> VisionLanguageModel:
    return build(size, is_next, device, torch.bfloat16 if device == "cuda" else torch.float32)


def _per_batch(device: str, on_cpu: int) -> int:
    return 32 if device == "cuda" else on_cpu


def _in_turns(*actions: Callable[[], object], device: str) -> list[float]:
    """Medians of the seconds of each action; the first round warms up."""
    times: list[list[float]] = [[] for _ in actions]
    for repeat in range(REPEATS + 1):
        for action, found in zip(actions, times, strict=True):
            start = _now(device)
            action()
            if repeat:
                found.append(_now(device) - start)
    return [statistics.median(found) for found in times]


def _now(device: str) -> float:
    if device == "cuda":
        torch.cuda.synchronize()
        return time.perf_counter()
    return time.process_time()


def _plan(vlm: VisionLanguageModel) -> StatesPlan:
    return StatesPlan(roles=("image", "question", "last"), layers=tuple(range(len(vlm.layers) + 1)))


def _prepared(vlm: VisionLanguageModel, samples: Sequence, template: str = TEMPLATE) -> list[Prepared]:
    encoder = Encoder.of(vlm, template)
    return [encoder.prepare(sample) for sample in samples]


@torch.inference_mode()
def _bare(vlm: VisionLanguageModel, prepared: Sequence[Prepared], batch_size: int, tokens: int) -> None:
    """Answer in the same batches, without hooks and store."""
    for start in range(0, len(prepared), batch_size):
        batch = make_batch(vlm, prepared[start : start + batch_size])
        if tokens == 1:
            vlm.model(**batch.inputs, use_cache=False, logits_to_keep=1).logits.argmax(-1)
        else:
            inputs = {name: value for name, value in batch.inputs.items() if name != "position_ids"}
            vlm.model.generate(**inputs, max_new_tokens=tokens, do_sample=False, num_beams=1)


def _fill(
    vlm: VisionLanguageModel, samples: Sequence, prepared: Sequence[Prepared], batch_size: int, tokens: int
) -> None:
    settings = RunSettings(
        model=ModelSettings(name="benchmark"),
        data=DataSettings(reader="python"),
        template=TEMPLATE,
        batch_size=batch_size,
        shard_size=len(samples),
        max_new_tokens=tokens,
        share_images=False,
    )
    ready = {one.sample.id: one for one in prepared}

    def decoded(_: Preparation, shards: Iterable) -> Iterator:  # images are decoded before in both
        return ((index, [ready[sample.id] for sample in some]) for index, some in shards)

    with tempfile.TemporaryDirectory() as folder, mock.patch.object(Preparation, "shards", decoded):
        store = ActivationStore.create(Path(folder) / "s", plan_store(vlm, samples, settings))
        fill(vlm, samples, settings, [Target(store=store)])


@torch.inference_mode()
def _hooked(vlm: VisionLanguageModel, batch, cut: Knockout) -> None:
    with cutting(vlm, cut, batch.groups):
        vlm.model(**batch.inputs, use_cache=False, logits_to_keep=1)


class LiveTensors(TorchDispatchMode):
    """Adds up the bytes of tensors that live at once: the memory that a computation needs, with any allocator."""

    def __init__(self) -> None:
        super().__init__()
        self.live, self.peak = 0, 0
        self._known: set[int] = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        output = func(*args, **(kwargs or {}))
        for value in tree_leaves(output):
            if isinstance(value, torch.Tensor):
                self._add(value.untyped_storage())
        return output

    def _add(self, storage: torch.UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key in self._known:
            return
        self._known.add(key)
        self.live += size
        self.peak = max(self.peak, self.live)
        weakref.finalize(storage, self._drop, key, size)

    def _drop(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.live -= size


@torch.inference_mode()
def peak_memory(kind: str, size: str, device: str) -> float:
    """Return the peak of the tensors that live at once, in MB, of one way to run one batch."""
    torch.set_num_threads(1)
    vlm = _build(size, device, is_next=True)
    with tempfile.TemporaryDirectory() as folder:
        samples = make_samples(Path(folder), _per_batch(device, 2), (500, 333))
        prepared = _prepared(vlm, samples, TEMPLATES["vicuna_v1"])
    length = make_batch(vlm, prepared).length
    if length < LONG:
        raise RuntimeError(f"The prompts have {length} tokens, wanted {LONG}.")
    plan = ForwardPlan(states=_plan(vlm), max_new_tokens=1, share_images=False)
    with LiveTensors() as live:
        if kind == "extraction":
            run_batch(vlm, prepared, plan)
        else:
            inputs = make_batch(vlm, prepared).inputs
            vlm.model(**inputs, use_cache=False, logits_to_keep=1, output_hidden_states=kind == "output_hidden_states")
    return (torch.cuda.max_memory_allocated() if device == "cuda" else live.peak) / 1e6


if __name__ == "__main__":
    main()
