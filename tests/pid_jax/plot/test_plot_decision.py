"""The figure of the models' own decisions: heights, entropies and intervals, gaps, and what it refuses."""

import math

import numpy as np
import pytest
import xarray as xr

from pid_jax.decompose.result import ATOMS
from pid_jax.plot.decision import plot_decision
from pid_jax.plot.shares import STACKING_ORDER

BITS = 1 / math.log(2)
SHAPE = 2, 3, 2  # models, tasks, answers


@pytest.fixture
def decision() -> xr.Dataset:
    rng = np.random.default_rng(0)
    places = ("model", "task", "answer")
    data = {atom: (places, rng.uniform(0.1, 0.4, SHAPE)) for atom in ATOMS}
    total = sum(values for _, values in data.values())
    data |= {f"i_12{end}": (places, total + more) for end, more in (("", 0), ("_lower", -0.1), ("_upper", 0.2))}
    data["target_entropy"] = (places, total + 0.3)
    names = {"model": ["one", "two"], "task": ["color", "what is it", "why"], "answer": ["model", "gold"]}
    return xr.Dataset(data, names, {"source_1_label": "vision", "source_2_label": "language"})


@pytest.mark.parametrize(("unit", "per_nat"), [("bits", BITS), ("nats", 1.0)])
def test_bars_end_at_the_total_and_the_entropy_is_above_it(decision, unit, per_nat):
    panels = plot_decision(decision, unit=unit).axes
    assert len(panels) == 4
    for index, axes in enumerate(panels):
        cell = decision.isel(model=index // 2, answer=index % 2)
        bars, total = axes.containers[: len(ATOMS)], axes.containers[len(ATOMS)]
        for atom, bar in zip(STACKING_ORDER, bars, strict=True):
            np.testing.assert_allclose([patch.get_height() for patch in bar], cell[atom] * per_nat)
        tops = [patch.get_y() + patch.get_height() for patch in bars[-1]]
        np.testing.assert_allclose(tops, cell.i_12 * per_nat)
        points, _, (whiskers,) = total
        np.testing.assert_allclose(points.get_ydata(), cell.i_12 * per_nat)
        ends = np.array([segment[:, 1] for segment in whiskers.get_segments()]).T
        np.testing.assert_allclose(ends, np.stack([cell.i_12_lower, cell.i_12_upper]) * per_nat)
        lines = [c for c in axes.collections if c is not whiskers]
        heights = [segment[0, 1] for segment in lines[-1].get_segments()]
        np.testing.assert_allclose(heights, cell.target_entropy * per_nat)


def test_axes_name_models_tasks_and_answers(decision):
    panels = plot_decision(decision).axes
    assert [axes.get_title() for axes in panels] == ["about the model's answer", "about the gold answer", "", ""]
    assert [label.get_text() for label in panels[-1].get_xticklabels()] == ["color", "what is it", "why"]
    assert panels[0].get_ylabel().startswith("one\n")
    assert panels[2].get_ylabel().startswith("two\n")


def test_a_task_that_could_not_be_decomposed_is_a_gap(decision):
    gone = xr.zeros_like(decision.synergy, dtype=bool)
    gone[0, 1, 1], gone[1, :, 0] = True, True
    axes = plot_decision(decision.where(~gone)).axes
    assert axes[1].containers[0][1].get_height() == 0
    assert axes[1].containers[0][0].get_height() > 0
    assert "not available" in [text.get_text() for text in axes[2].texts]


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (lambda data: data, {"unit": "bytes"}, "unit must be one of"),
        (lambda data: data.drop_vars("synergy"), {}, "variable 'synergy'"),
        (lambda data: data.isel(task=[]), {}, "dimension 'task'"),
        (lambda data: data.isel(model=0), {}, "dimension 'model'"),
    ],
)
def test_bad_input(decision, change, options, message):
    with pytest.raises(ValueError, match=message):
        plot_decision(change(decision), **options)
