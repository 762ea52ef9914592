"""
From atoms to claims
====================

Atoms are numbers of one layer. A claim such as "vision-unique information peaks early and decays" is about whole
trajectories, with sampling errors that layers share. This page takes a small LLaVA from images to a verdict, and
shows on the way that every verdict is a short calculation that you can do yourself.
"""

import logging
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from extraction import Knockout, extract, extract_with_knockouts
from extraction.datasets.gqa import load_gqa
from extraction.model.load import load_model
from extraction.scenes.folder import write_gqa_folder
from pid_jax import (
    MMI,
    PCA,
    Copula,
    Multiverse,
    NoGaussianization,
    PIDSpec,
    StudyModel,
    StudySpec,
    add_metrics,
    run_multiverse,
    run_study,
)

logging.disable(logging.WARNING)

# %%
# A model, whole and with a cut
# -----------------------------
# The model has six decoder blocks and answers questions about two drawn shapes in the six tasks of GQA. Then it
# answers again while question tokens cannot attend to image tokens in the blocks 0 to 2.

folder = Path(tempfile.mkdtemp())
write_gqa_folder(folder / "gqa", images=250)
samples = [sample for sample in load_gqa(folder / "gqa") if sample.task in ("ChooseCat", "LogicalObj", "QueryAttr")]
vlm = load_model("tiny-gqa-6")
baseline = extract(vlm.model, vlm.processor, samples, folder / "baseline", max_new_tokens=2)
cut = Knockout(edges=(("image", "question"),), first=0, last=2)
knockouts = extract_with_knockouts(vlm.model, vlm.processor, samples, baseline, [cut], folder)
model = StudyModel(name="six blocks", baseline=baseline, knockouts=tuple(knockouts.values()))
print(f"{len(samples)} questions; conditions: baseline, {', '.join(knockouts)}")

# %%
# Atoms, and how they scatter
# ---------------------------
# A study holds the atoms of every layer and, beside them, replicates: what the atoms would have been with the
# samples drawn again. Replicate 17 draws the same samples in all layers and conditions.

pid = PIDSpec(reduction=PCA(dim=(6, 6, 4)), gaussianize=Copula())
spec = StudySpec(pid=pid, compared=(), compared_measures=(), replicates=200)
results = run_study([model], spec=spec)
one = results.sel(model="six blocks", task="LogicalObj")
bits = 1 / np.log(2)

figure, axes = plt.subplots(figsize=(6, 3.4), layout="constrained")
for condition, color in zip(one.condition.values, ("C0", "C3"), strict=True):
    cell = one.sel(condition=condition)
    axes.plot(one.layer, bits * cell.replicate_unique_1[:, :50], color=color, alpha=0.08)
    axes.plot(
        one.layer, bits * cell.unique_1.sel(measure="broja"), "o-", color=color, label=str(cell.condition_label.item())
    )
axes.set(
    xlabel="layer (0 = embeddings)", ylabel="unique to vision (bits)", title="LogicalObj, estimate and 50 replicates"
)
axes.legend()
plt.show()

# %%
# From atoms to a metric
# ----------------------
# How much of its peak does vision-unique information lose? A function of the trajectory, applied to the estimate
# and to every replicate.


def decay(trajectory):
    """1 - final / peak, over the last axis."""
    return 1 - trajectory[..., -1] / trajectory.max(axis=-1)


before = one.sel(condition="baseline")
drawn = decay(before.replicate_unique_1.values.T)
print(f"decay {decay(before.unique_1.sel(measure='broja').values):.3f}, standard error {drawn.std():.3f}")

# %%
# `add_metrics` does that for all metrics, with care where a simple interval fails: for the place of a peak, for
# shares of little information, for correlations close to one.

results = add_metrics(results)
print(results.metric.sel(model="six blocks", metric_name=["decay", "peak_layer", "language_share_last"]).to_pandas())

# %%
# A paired difference
# -------------------
# What the cut traps is a difference between conditions of the same samples. Because replicates belong together, the
# scatter of the difference is that of the differences.

after = one.sel(condition=one.condition.values[1])
layer = int(one.cut_last.values[1]) + 1
difference = (after.replicate_unique_1 - before.replicate_unique_1).sel(layer=layer).values
value = float((after.unique_1 - before.unique_1).sel(measure="broja", layer=layer))
print(f"trapped at layer {layer}: {bits * value:.2f} bits, standard error {bits * difference.std():.2f}")
effect = results.effect.sel(task="LogicalObj", effect_name="trapped_vision")
print(f"the same by add_metrics: {bits * float(effect[0, 1]):.2f}")

# %%
# From metrics to verdicts
# ------------------------
# Each claim has a criterion that was fixed before any results. A verdict needs the whole interval on one side of
# it; if the interval is on both sides, or something is missing, it says "not testable here" and why.

for claim in results.claim.values:
    cell = results.sel(model="six blocks", claim=claim)
    print(f"{cell.claim_text.item()}\n  {cell.verdict.item().upper()}: {cell.reason.item()}\n")

# %%
# What if something else had been chosen?
# ---------------------------------------
# The same verdicts, one choice changed at a time: another measure, and no map to ranks.

choices = Multiverse(measures=(MMI(),), gaussianizers=(NoGaussianization(),), conditions=tuple(knockouts))
results = run_multiverse(results, [model], spec=spec, multiverse=choices)
for universe in results.universe.values:
    cell = results.isel(universe=universe, model=0).sel(claim="vision_early")
    print(f"{cell.universe_measure.item()}, {cell.universe_gaussianizer.item()}: {cell.universe_verdict.item()}")
