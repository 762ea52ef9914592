"""Extraction: overhead over the bare model, peak memory, and what knockouts save by starting at their window.

python -m benchmarks.extraction [--device cuda --size 7B]
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from benchmarks.live_tensors import LiveTensors
from benchmarks.pages import Row, write_page
from benchmarks.random_llava import SIZES, build, make_samples
from benchmarks.timing import circumstances
from extraction.datasets.easy_vqa import load_easy_vqa
from extraction.datasets.load import DataSettings
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
    """Measure, and write benchmarks/results/extraction.json and .md."""
    options = _options()
    if options.memory:
        _report_peak(options.memory, options.size, options.device)
        return
    torch.set_num_threads(1)
    tables = {
        "Overhead over the bare model": overhead(options.size, options.device),
        "Peak memory": memory(options.size, options.device),
        "Forward time of knockouts, a window of 3 blocks": windows(options.size, options.device),
    }
    text = f"Random LLaVA of {options.size} and the small trained one on {_place(options.device)}. {_IN_TURNS}"
    name = "extraction" if options.device == "cpu" else f"extraction_{options.device}_{options.size}"
    conditions = circumstances("torch", "transformers")
    if options.device == "cuda":
        command = f"python -m benchmarks.extraction --device {options.device} --size {options.size}"
        conditions |= {"card": _place(options.device), "command": command}
    write_page(name, "Extraction", text, tables, conditions)


def overhead(size: str, device: str) -> list[Row]:
    """Compare filling a store with the bare model on the same batches, images decoded before."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        cases = [
            (load_model("tiny", device=device), "small, 64 a batch", load_easy_vqa(per_task=640), 64),
            (
                build(size, is_next=False, device=device, dtype=_dtype(device)),
                f"{size}, 576 image tokens, {_per_batch(device, 2)} a batch",
                make_samples(Path(folder), _per_batch(device, 2), (336, 336)),
                _per_batch(device, 2),
            ),
        ]
        for vlm, name, samples, batch_size in cases:
            for tokens in (1, 4):
                prepared = _prepared(vlm, samples)
                bare, ours = _in_turns(
                    lambda: _bare(vlm, prepared, batch_size, tokens),  # noqa: B023
                    lambda: _fill(vlm, samples, prepared, batch_size, tokens),  # noqa: B023
                    device=device,
                )
                rows.append(
                    {
                        "model": name,
                        "tokens answered": tokens,
                        "bare": bare,
                        "extraction and store": ours,
                        "overhead": _percent(ours / bare - 1),
                        "samples/s bare": len(samples) / bare,
                    }
                )
    return rows


def memory(size: str, device: str) -> list[Row]:
    """Compare peaks, each in a process of its own, of a LLaVA-1.6 with 1,464 image tokens and a long prompt."""
    peaks = {}
    for kind in ("bare", "output_hidden_states", "extraction"):
        command = [sys.executable, "-m", "benchmarks.extraction", "--memory", kind, "--size", size, "--device", device]
        finished = subprocess.run(command, check=True, capture_output=True, text=True)
        peaks[kind] = float(finished.stdout.split()[-1])
    over = {kind: peaks[kind] - peaks["bare"] for kind in ("output_hidden_states", "extraction")}
    return [
        {
            "model": f"LLaVA-1.6, {size}",
            "bare MB" + (" over the weights" if device == "cpu" else ""): peaks["bare"],
            "output_hidden_states, more MB": over["output_hidden_states"],
            "extraction, more MB": over["extraction"],
            "ratio": over["extraction"] / over["output_hidden_states"],
        }
    ]


def windows(size: str, device: str) -> list[Row]:
    """Compare a hooked pass of the whole model with what a knockout adds to the pass without a cut."""
    vlm = build(size, is_next=False, device=device, dtype=_dtype(device))
    layers = len(vlm.layers)
    with tempfile.TemporaryDirectory() as folder:
        prepared = _prepared(vlm, make_samples(Path(folder), _per_batch(device, 1), (336, 336)))
    batch = make_batch(vlm, prepared)
    plan = ForwardPlan(states=_plan(vlm), max_new_tokens=1)
    every = [Knockout(edges=CUT, first=i, last=i + 2) for i in range(layers - 2)]
    some = [every[i] for i in sorted({0, layers // 3, layers // 2, 2 * layers // 3, layers - 3})]

    def run(*cuts: Knockout) -> Callable[[], object]:
        return lambda: run_batch(vlm, prepared, plan, cuts or (None,))

    whole, base, together, *singles = _in_turns(
        lambda: _hooked(vlm, batch, some[0]), run(), run(*every), *(run(cut) for cut in some), device=device
    )
    rows = [
        {
            "window": f"blocks {cut.first} to {cut.last} of {layers}",
            "whole pass with hooks": whole,
            "after the shared pass": single - base,
            "less": _percent(1 - (single - base) / whole),
            "with the shared pass": single,
            "windows": 1,
        }
        for cut, single in zip(some, singles, strict=True)
    ]
    count = len(every)
    all_rows = {
        "window": f"all of 3 blocks, {count} together",
        "whole pass with hooks": count * whole,
        "after the shared pass": together - base,
        "less": _percent(1 - (together - base) / whole / count),
        "with the shared pass": together,
        "windows": count,
    }
    return [*rows, all_rows]


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--size", default="0.3B", choices=SIZES)
    parser.add_argument("--memory", help=argparse.SUPPRESS)
    return parser.parse_args()


def _place(device: str) -> str:
    return torch.cuda.get_device_name() if device == "cuda" else "a CPU"


def _dtype(device: str) -> torch.dtype:
    return torch.bfloat16 if device == "cuda" else torch.float32


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
    whole, Preparation.shards = (
        Preparation.shards,
        lambda self, shards: (  # images are decoded before in both
            (index, [ready[sample.id] for sample in some]) for index, some in shards
        ),
    )
    try:
        with tempfile.TemporaryDirectory() as folder:
            store = ActivationStore.create(Path(folder) / "s", plan_store(vlm, samples, settings, None))
            fill(vlm, samples, settings, [Target(store=store)])
    finally:
        Preparation.shards = whole


@torch.inference_mode()
def _hooked(vlm: VisionLanguageModel, batch, cut: Knockout) -> None:
    with cutting(vlm, cut, batch.groups):
        vlm.model(**batch.inputs, use_cache=False, logits_to_keep=1)


@torch.inference_mode()
def _report_peak(kind: str, size: str, device: str) -> None:
    """Print the peak of the tensors that live at once, in MB, of one way to run one batch."""
    torch.set_num_threads(1)
    vlm = build(size, is_next=True, device=device, dtype=_dtype(device))
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
    print((torch.cuda.max_memory_allocated() if device == "cuda" else live.peak) / 1e6)


if __name__ == "__main__":
    main()
