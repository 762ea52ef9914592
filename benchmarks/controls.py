"""Random controls of knockouts: how often is an effect within its null without a route, and a planted route found?

`python -m benchmarks.controls [studies]`. A small network of linear attention is planted, in which question tokens read
the image and the last token reads the question. One study cuts the route from image to question, another one as many
edges of each sample that were chosen at random. Both have random controls, made by `extraction.random_controls`, and go
through stores and `run_study`. The seeds were not used while the test was chosen.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
import xarray as xr

from benchmarks.measure import Cost
from benchmarks.record import write_results
from benchmarks.tables import Row
from extraction import Knockout, Sample, random_controls
from extraction.passes.blocks import allowed_pairs
from extraction.passes.edges import describe_condition
from extraction.passes.knockout import cut_of
from extraction.passes.spans import TokenGroups
from pid_jax.pid.broja import BROJA
from pid_jax.settings.estimate import NoReduction, PIDSpec
from pid_jax.settings.gaussianize import Copula
from pid_jax.store import NORM, ActivationStore, Manifest, tensor_name
from pid_jax.store.manifest import GROUPS
from pid_jax.study.metrics.add import add_metrics
from pid_jax.study.model import StudyModel
from pid_jax.study.run import run_study
from pid_jax.study.spec import StudySpec

STUDIES, SAMPLES, CONTROLS, REPLICATES = 100, 400, 5, 100
SEED = 7103
BLOCKS, WIDTH = 3, 2
# Tokens of a prompt by group.
TOKENS = {"system": 4, "image": 9, "question": 5, "suffix": 4, "last": 1}
# Logits of attention above those of all other pairs, (from group, to group).
STRONG = {("image", "question"): 2.0, ("question", "last"): 2.0, ("image", "last"): 2.0}
LEVEL = 0.05
ROUTE = Knockout(edges=(("image", "question"),), first=0, last=BLOCKS - 1, is_all=True)
SPEC = StudySpec(
    pid=PIDSpec(reduction=NoReduction(), gaussianize=Copula()),
    compared=(),
    compared_measures=(),
    measures=(BROJA(),),
    replicates=REPLICATES,
)


def arbitrary(seed: int) -> Knockout:
    """Cut as many edges of each sample as the route has, chosen at random among all."""

    def mask(groups: TokenGroups) -> torch.Tensor:
        rng = np.random.default_rng([SEED, seed])
        size = groups.positions
        pairs = np.argwhere(np.tri(size, k=-1, dtype=bool))
        count = TOKENS["image"] * TOKENS["question"]
        cut = np.zeros((len(groups.codes), size, size), bool)
        for row in cut:
            chosen = pairs[rng.choice(len(pairs), count, replace=False)]
            row[chosen[:, 0], chosen[:, 1]] = True
        return torch.from_numpy(cut)

    return Knockout(mask=mask, title="arbitrary", first=0, last=BLOCKS - 1, is_all=True)


def make_groups(ids: Sequence[str]) -> TokenGroups:
    """Arrange the prompts of all samples, which are equally long."""
    codes = np.repeat([GROUPS.index(name) for name in TOKENS], list(TOKENS.values()))
    samples = tuple(Sample(id=i, image=None, question="", answer=None, task="", problem="planted") for i in ids)
    return TokenGroups(torch.from_numpy(np.tile(codes, (len(ids), 1))), samples=samples)


def run_network(groups: TokenGroups, tokens: np.ndarray, logits: np.ndarray, cut: np.ndarray) -> list[np.ndarray]:
    """Run all blocks; return the states of each layer, (sample, position, width)."""
    allowed = allowed_pairs(groups, groups.positions)[:, 0].numpy() & ~cut
    weights = np.where(allowed, np.exp(logits), 0)
    weights /= weights.sum(axis=-1, keepdims=True)
    layers = [tokens]
    for _ in range(BLOCKS):
        layers.append(0.5 * layers[-1] + weights @ layers[-1])
    return layers


def make_study(knockout: Knockout, seed: int) -> xr.Dataset:
    """Plant a network and samples, extract them under the knockout and its controls, and study that."""
    rng = np.random.default_rng([SEED, seed, 1])
    groups = make_groups([f"{seed}-{i:04d}" for i in range(SAMPLES)])
    codes = groups.codes.numpy()[0]
    seen, told = rng.standard_normal((2, SAMPLES, 1, WIDTH))
    tokens = 0.7 * rng.standard_normal((SAMPLES, len(codes), WIDTH))
    tokens += np.where((codes == GROUPS.index("image"))[:, None], seen, 0)
    tokens += np.where((codes == GROUPS.index("question"))[:, None], told, 0)
    logits = 0.5 * rng.standard_normal((len(codes), len(codes)))
    for (source, to), strength in STRONG.items():
        logits += strength * np.outer(codes == GROUPS.index(to), codes == GROUPS.index(source))
    is_yes = (seen + told).sum(axis=(1, 2)) > 0
    conditions = [None, knockout, *random_controls(knockout, CONTROLS, seed)]
    with TemporaryDirectory() as folder:
        stores = []
        for k, one in enumerate(conditions):
            cut = np.zeros((1, 1, 1), bool) if one is None else cut_of(one, groups)[:, 0].numpy()
            layers = run_network(groups, tokens, logits, cut)
            said = layers[-1][:, -1].sum(axis=1) > 0
            columns = [{"task": "planted", "gold": "yes" if yes else "no", "correct": bool(yes == own)}
                       for yes, own in zip(is_yes, said, strict=True)]  # fmt: skip
            stores.append(_write(Path(folder) / str(k), describe_condition(one), groups, layers, columns))
        model = StudyModel(name="planted", baseline=stores[0], knockouts=tuple(stores[1:]))
        return run_study([model], spec=SPEC, seed=seed)


def _write(
    path: Path, condition: dict, groups: TokenGroups, layers: list[np.ndarray], columns: list[dict]
) -> ActivationStore:
    """Write pooled states of one condition."""
    ids, codes = tuple(sample.id for sample in groups.samples), groups.codes.numpy()[0]
    values = {
        tensor_name(role, layer): states[:, codes == GROUPS.index(role)].mean(axis=1).astype(np.float32)
        for layer, states in enumerate(layers)
        for role in ("image", "question")
    }
    values[tensor_name("last", NORM)] = layers[-1][:, -1].astype(np.float32)
    settings = {"model": {"name": "planted"}, "data": {"reader": "planted"}, "versions": {}}
    manifest = Manifest(ids=ids, shard_size=len(ids), tensors=tuple(values), condition=condition, settings=settings)
    store = ActivationStore.create(path, manifest)
    store.write_shard(0, ids, columns, values)
    return ActivationStore.open(path)


def examine(results: xr.Dataset, knockout: Knockout) -> dict[str, tuple[float, float, float]]:
    """Read the effect, the effect above its controls and its p-value, by effect."""
    found = add_metrics(results).isel(model=0, task=0).sel(condition=knockout.name)
    names = ("effect", "effect_above_controls", "effect_controls_p")
    return {
        str(effect): tuple(float(found[name].sel(effect_name=effect)) for name in names)
        for effect in found["effect_name"].values
    }


def summarize(studies: Sequence[dict[str, tuple[float, float, float]]]) -> list[Row]:
    """Count, for every effect, how often it is within its null and how often found beyond it."""
    rows: list[Row] = []
    for effect in studies[0]:
        values = np.array([one[effect] for one in studies])
        is_found = values[:, 2] < LEVEL
        rows.append(
            {
                "effect": effect,
                "mean effect": values[:, 0].mean(),
                "mean above controls": values[:, 1].mean(),
                "sd above controls": values[:, 1].std(),
                "within its null": 1 - is_found.mean(),
                "found": is_found.mean(),
            }
        )
    return rows


def main(studies: int) -> None:
    made = {
        "A random set of edges is cut: no route": arbitrary,
        "The route from image to question is cut": lambda seed: ROUTE,
    }
    tables = {}
    with Cost() as cost:
        for title, make in made.items():
            found = []
            for seed in range(studies):
                knockout = make(seed)
                found.append(examine(make_study(knockout, seed), knockout))
                print(f"{title}: {seed + 1}/{studies}", end="\r", flush=True)
            tables[f"{title}, {studies} studies"] = summarize(found)
    write_results(
        "controls",
        "Effects of knockouts against random controls",
        f"Studies of a planted network of {BLOCKS} blocks of linear attention, {SAMPLES} samples, {CONTROLS} random "
        f"controls, {REPLICATES} replicates. Within its null: `effect_controls_p` of at least {LEVEL}. "
        f"{cost.cpu:.0f} CPU seconds.",
        tables,
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("studies", nargs="?", type=int, default=STUDIES)
    main(**vars(parser.parse_args()))
