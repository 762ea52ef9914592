"""A study of 26 small models in one command: seconds until results, page and figures, and the peak of memory.

26 models of 6 and 8 decoder blocks, 6 tasks, with and without one cut, 200 samples a task, states of width 64, by ranks
and with all other settings at their defaults. The command is run as a user runs it, in a process of its own: once
undisturbed, once more, and once killed (SIGKILL) when half of its cells are written. `python -m benchmarks.many_models
[models]`.
"""

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks.record import write_results
from benchmarks.tables import Row
from pid_jax.store import NORM, ActivationStore, Manifest, tensor_name

MODELS, BLOCKS, WIDTH = 26, (6, 8), 64
TASKS = ("ChooseAttr", "ChooseCat", "ChooseRel", "CompareAttr", "LogicalObj", "QueryAttr")
SAMPLES, ANSWERS = 200, ("black", "blue", "red", "yellow")
# Coordinates of the target; the sources read the first of them. And how strong noise is in all columns of a state.
HIDDEN, READ, NOISE = 10, 6, 0.3
CONDITIONS = ("baseline", "image-question@all")
POLL_SECONDS = 0.5
# Answers and final states, as a study has by default.
TARGETS = 2


def make_stores(folder: Path, models: int) -> Path:
    """Write the stores of all models, and the study file that names them."""
    lines = []
    for number in range(models):
        name, blocks = f"model-{number:02}", BLOCKS[number % len(BLOCKS)]
        for condition in range(len(CONDITIONS)):
            _write(folder / name / CONDITIONS[condition], number, blocks, condition)
        lines.append(f'[[models]]\nname = "{name}"\nstore = "{name}/{CONDITIONS[0]}"')
        lines.append(f'knockouts = ["{name}/{CONDITIONS[1]}"]\n')
    path = folder / "study.toml"
    path.write_text("\n".join(lines))
    return path


def _write(path: Path, number: int, blocks: int, condition: int) -> None:
    """Write one store: vision decays over the layers as the question takes it up, unless that is cut."""
    ids = tuple(f"{task}-{i:04}" for task in TASKS for i in range(SAMPLES))
    values: dict[str, np.ndarray] = {}
    target = np.concatenate([_target(number, task) for task in range(len(TASKS))])
    task_of = np.repeat(np.arange(len(TASKS)), SAMPLES)[:, None]
    for layer in range(blocks + 1):
        depth = layer / blocks
        decay = 1.0 if condition else np.exp(-((depth / (0.4 + 0.01 * number)) ** 2))
        vision = np.sqrt(4.0 / (1 + 0.3 * task_of) * (0.05 + decay))
        language = np.sqrt(0.3 + 2.0 * depth * (1.2 - decay) + 0.2 * task_of)
        for role, gain in (("image", vision), ("question", language)):
            rng = np.random.default_rng([number, layer, len(role)])
            source = gain * target[:, :READ] + rng.standard_normal((len(ids), READ))
            values[tensor_name(role, layer)] = _as_state(source, number, layer)
    values[tensor_name("last", NORM)] = _as_state(target, number, blocks + 1)
    answers = target[:, :2] @ np.array([[1, 1], [1, -1], [-1, 1], [-1, -1]]).T
    given = [ANSWERS[i] for i in answers.argmax(axis=1)]
    cut = {"edges": [["image", "question"]], "first": 0, "last": blocks - 1}
    about = cut if condition else {"edges": [], "first": -1, "last": -1}
    manifest = Manifest(
        ids=ids,
        shard_size=len(ids),
        tensors=tuple(values),
        condition={"name": CONDITIONS[condition], "label": CONDITIONS[condition], **about},
        settings={"model": {"name": f"model-{number:02}"}, "data": {"reader": "planted"}},
    )
    store = ActivationStore.create(path, manifest)
    columns = [
        {"task": one.rpartition("-")[0], "question": f"question {one}?", "gold": answer, "predicted": answer}
        | {"correct": True, "image": f"{one}.jpg"}
        for one, answer in zip(ids, given, strict=True)
    ]
    store.write_shard(0, ids, columns, values)


def _target(number: int, task: int) -> np.ndarray:
    """Draw the hidden target of the samples of a task, which models share in part."""
    common = np.random.default_rng(task).standard_normal((SAMPLES, HIDDEN))
    own = np.random.default_rng([task, number]).standard_normal((SAMPLES, HIDDEN))
    return np.sqrt(0.8) * common + np.sqrt(0.2) * own


def _as_state(hidden: np.ndarray, number: int, layer: int) -> np.ndarray:
    """Turn hidden variables into states of the model's width, with noise in all columns."""
    rng = np.random.default_rng([number, layer, WIDTH])
    basis = np.linalg.qr(rng.standard_normal((WIDTH, WIDTH)))[0][:, : hidden.shape[1]]
    noise = NOISE * np.random.default_rng([number, layer, len(hidden), hidden.shape[1]]).standard_normal(
        (len(hidden), WIDTH)
    )
    return (hidden @ basis.T + noise).astype(np.float32)


def run(study: Path, out: Path, what: str, until: Callable[[], bool] = lambda: False) -> Row:
    """Run the command, kill it when `until` says so, and return its cost."""
    before = {name: _changed(out / name) for name in ("results.nc", "report.html")}
    command = [sys.executable, "-m", "pid_jax.cli", "study", str(study), "--out", str(out)]
    start, began = time.time(), time.perf_counter()
    with (out.parent / f"{out.name}.log").open("ab") as log, subprocess.Popen(command, stdout=log, stderr=log) as child:
        while not (ended := os.wait4(child.pid, os.WNOHANG))[0]:
            if until():
                os.kill(child.pid, signal.SIGKILL)
            time.sleep(POLL_SECONDS)
        child.returncode = os.waitstatus_to_exitcode(ended[1])
    if child.returncode not in (0, -signal.SIGKILL):
        raise RuntimeError(f"{' '.join(command)} failed: see {log.name}")
    wall = time.perf_counter() - began
    reached = {name: _changed(out / name) - start for name in before if _changed(out / name) > before[name]}
    usage = ended[2]
    return {
        "command": what,
        "results (s)": reached.get("results.nc", np.nan),
        "page (s)": reached.get("report.html", np.nan),
        "end (s)": wall,
        "CPU s": usage.ru_utime + usage.ru_stime,
        "peak of memory (GB)": usage.ru_maxrss / 1e6,
        "cells": len(list((out / "cells").glob("*.nc"))),
        "files of figures": len(list((out / "figures").glob("*"))) if (out / "figures").is_dir() else 0,
    }


def _changed(path: Path) -> float:
    return path.stat().st_mtime if path.is_file() else 0.0


def main(models: int) -> None:
    with TemporaryDirectory() as folder:
        study = make_stores(Path(folder), models)
        out, again = Path(folder) / "out", Path(folder) / "killed"
        cells = TARGETS * models * len(TASKS) * len(CONDITIONS)
        rows = [run(study, out, "undisturbed"), run(study, out, "once more")]
        rows.append(run(study, again, "killed at half", lambda: 2 * len(list((again / "cells").glob("*.nc"))) > cells))
        rows.append(run(study, again, "resumed"))
        for name in ("answer.nc", "results.nc"):
            if (out / name).read_bytes() != (again / name).read_bytes():
                raise RuntimeError(f"{name} of the study that was killed differs")
        page = (out / "report.html").stat().st_size / 1e6
    for row in rows:
        print(row)
    write_results(
        "many_models",
        "A study of many models",
        f"{models} models of {' and '.join(map(str, BLOCKS))} blocks, {len(TASKS)} tasks of {SAMPLES} samples, "
        f"{len(CONDITIONS)} conditions, states of width {WIDTH}, two targets, by ranks: {cells} cells. Seconds since "
        f"the start of `pid-jax study`. The page has {page:.1f} MB. The study that was killed has the same results, "
        "byte by byte.",
        {"One command": rows},
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="?", type=int, default=MODELS)
    main(**vars(parser.parse_args()))
