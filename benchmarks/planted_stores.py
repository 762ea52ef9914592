"""The planted study as it is met in practice: states in stores, from which `run_study` makes everything."""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import xarray as xr

from benchmarks.planted_system import CONDITIONS, CUTS, DIMS, MODELS, TASKS, Drawn, draw_task, last_cut
from pid_jax.pid.broja import BROJA
from pid_jax.settings.estimate import Copula, NoGaussianization, NoReduction, PIDSpec
from pid_jax.store import NORM, ActivationStore, Manifest, tensor_name
from pid_jax.study.model import StudyModel
from pid_jax.study.run import run_study
from pid_jax.study.spec import StudySpec


def stored_study(rng: np.random.Generator, samples: int, replicates: int, seed: int) -> xr.Dataset:
    """Draw samples, write them to stores, and make the study of the stores.

    Args:
        rng: Draws the samples.
        samples: Samples of each task.
        replicates: Replicates of the study.
        seed: Seed of the study.
    """
    spec = StudySpec(
        pid=PIDSpec(reduction=NoReduction(), gaussianize=NoGaussianization()),
        compared=(),
        measures=(BROJA(),),
        tested=Copula(),
        replicates=replicates,
    )
    drawn = [draw_task(task, samples, rng) for task in range(len(TASKS))]
    with TemporaryDirectory() as folder:
        models = []
        for model, name in enumerate(MODELS):
            stores = [
                _write(
                    Path(folder) / f"{model}-{condition}", model, condition, [task[model, condition] for task in drawn]
                )
                for condition in range(len(CONDITIONS))
            ]
            models.append(StudyModel(name=name, baseline=stores[0], knockouts=tuple(stores[1:])))
        return run_study(models, spec=spec, seed=seed).sel(task=list(TASKS))


def _write(path: Path, model: int, condition: int, tasks: list[Drawn]) -> ActivationStore:
    """Write the states of one model under one condition."""
    blocks = list(MODELS.values())[model]
    samples, last = tasks[0][0].shape[1], last_cut(blocks, CUTS[condition])
    ids = tuple(f"{task}-{i:05d}" for task in TASKS for i in range(samples))
    rows = np.concatenate([rows for rows, _ in tasks], axis=1).astype(np.float32)
    is_correct = np.concatenate([correct for _, correct in tasks])
    image, question, target = np.split(rows, np.cumsum(DIMS)[:2], axis=-1)
    values = {
        tensor_name(role, i): x[i] for role, x in (("image", image), ("question", question)) for i in range(len(x))
    }
    values[tensor_name("last", NORM)] = target[0]
    edges = [["image", "question"]] if last >= 0 else []
    about = {"name": CONDITIONS[condition], "label": CONDITIONS[condition], "edges": edges}
    manifest = Manifest(
        ids=ids,
        shard_size=len(ids),
        tensors=tuple(values),
        condition=about | {"first": min(last, 0), "last": last},
        settings={"model": {"name": list(MODELS)[model]}, "data": {"reader": "planted"}, "versions": {}},
    )
    store = ActivationStore.create(path, manifest)
    place = {one: i for i, one in enumerate(ids)}
    order = [place[one] for one in store.shard_ids(0)]
    gold = np.where(np.arange(len(ids)) % 2, "yes", "no")
    columns = [{"task": ids[i].rsplit("-", 1)[0], "gold": str(gold[i]), "correct": bool(is_correct[i])} for i in order]
    store.write_shard(0, store.shard_ids(0), columns, {name: x[order] for name, x in values.items()})
    return ActivationStore.open(path)
