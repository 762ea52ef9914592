"""
Reading the report
==================

Every study ends in one page, ``report.html``. It needs nothing but a browser, asks for nothing from the network,
and every number on it can be had from ``results.nc`` beside it. Here a small study is made and written, and its
sections are gone through in the order in which to read them.
"""

import json
import logging
import re
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt

from extraction import Knockout, extract, extract_with_knockouts
from extraction.datasets.gqa import load_gqa
from extraction.model.load import load_model
from extraction.scenes.folder import write_gqa_folder
from pid_jax import PCA, Copula, PIDSpec, StudyModel, StudySpec, add_metrics, load_study, run_study, save_study
from pid_jax.plot.trajectories import plot_trajectories
from pid_jax.plot.verdicts import plot_verdicts
from pid_jax.report.page import write_report
from pid_jax.study.results import one_model

logging.disable(logging.WARNING)

folder = Path(tempfile.mkdtemp())
write_gqa_folder(folder / "gqa", images=200)
samples = [sample for sample in load_gqa(folder / "gqa") if sample.task in ("ChooseCat", "LogicalObj", "QueryAttr")]
models = []
for name in ("tiny-gqa-8", "tiny-gqa-6"):
    vlm = load_model(name)
    baseline = extract(vlm.model, vlm.processor, samples, folder / name / "baseline", max_new_tokens=2)
    everywhere = Knockout(edges=(("image", "question"),), first=0, last=len(vlm.layers) - 1)
    cuts = extract_with_knockouts(vlm.model, vlm.processor, samples, baseline, [everywhere], folder / name)
    models.append(StudyModel(name=name, baseline=baseline, knockouts=tuple(cuts.values())))
spec = StudySpec(pid=PIDSpec(reduction=PCA(dim=(6, 6, 4)), gaussianize=Copula()), replicates=100)
results = add_metrics(run_study(models, spec=spec))
save_study(results, folder / "results.nc")
page = write_report(results, folder / "report.html")
print(f"{page.name}: {page.stat().st_size / 1e6:.1f} MB, of which the script of the charts is most")

# %%
# First: is anything wrong?
# -------------------------
# Before any number, look at what was left out and what the diagnostics say. The page has it in its section on
# diagnostics; the dataset has the same.

results = load_study(folder / "results.nc")
print("stores left out:", json.loads(results.attrs["problems"]))
print("cells that failed:", int((results.cell == "failed").sum()), "of", results.cell.size)
print("largest certificate gap:", f"{float(abs(results.gap).max()):.0e} nats")
print("variance kept of vision:", f"{float(results.explained_variance_1.min()):.2f} at least")
print("samples a task:", results.n_samples.values.tolist())

# %%
# 200 samples for 16 dimensions are few: intervals will be wide, and the page says so.
#
# Then: the verdicts
# ------------------
# The table of claims says for each model what this run shows, with its interval and the criterion. "Not testable
# here" is a result: these samples, tasks or models do not decide the claim.

plot_verdicts(results)
plt.show()

# %%
# Then: the trajectories behind them
# ----------------------------------
# One panel a task and condition, the four atoms over the layers, bands for intervals. Look for crossings: where
# vision-unique (blue) falls, does redundancy rise, so that language now tells it too? And does it stay where the
# cut keeps the question from reading the image?

plot_trajectories(one_model(results, "tiny-gqa-8"))
plt.show()

# %%
# Last: the numbers
# -----------------
# Charts and tables of the page are drawn from one block of data in it. Whatever it shows can be recomputed.

text = page.read_text(encoding="utf-8")
block = re.search(r'<script[^>]*type="application/json"[^>]*>(.*?)</script>', text, re.DOTALL)
print("data in the page:", f"{len(block.group(1)) / 1e3:.0f} kB" if block else "none")
cell = results.sel(model="tiny-gqa-8", task="LogicalObj", condition="baseline", measure="broja", layer=0)
print(f"unique to vision, LogicalObj, layer 0: {float(cell.unique_1) / 0.6931:.2f} bits")

# %%
# To change what is shown, change the study and write the page again: ``pid-jax report results.nc --out DIR`` draws
# it from the file alone.
