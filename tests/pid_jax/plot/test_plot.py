"""Figures: one panel for every task and condition, labeled axes, and lines that carry the numbers."""

import itertools
import math

import numpy as np
import pytest
import xarray as xr
from matplotlib.colors import to_hex

from pid_jax.pid.registry import MEASURES
from pid_jax.plot.catalog import planned_figures
from pid_jax.plot.diagnostics import plot_diagnostics
from pid_jax.plot.information import plot_information
from pid_jax.plot.knockout import plot_knockout
from pid_jax.plot.shares import plot_shares
from pid_jax.plot.spectra import plot_spectra
from pid_jax.plot.style import ATOM_STYLES
from pid_jax.plot.trajectories import plot_measures, plot_trajectories
from pid_jax.study.results import one_model
from tests.study_results import planted

ATOMS = ("redundancy", "unique_1", "unique_2", "synergy")
BITS = 1.0 / math.log(2.0)
LAYERS = 9
CUTS = {"all": (0.0, 1.0), "0-2": (0.0, 0.3)}


@pytest.fixture
def results() -> xr.Dataset:
    study = planted(models={"eight": LAYERS - 1}, tasks=["what", "yes-no"], cuts=CUTS, noise=0.0, replicates=2)
    intervals = [f"{atom}_{end}" for atom in ATOMS for end in ("lower", "upper")]
    tests = ["difference", "difference_lower", "difference_upper"]
    return one_model(study, "eight").drop_vars([*intervals, *tests])


FIGURES = {
    "information": (plot_information, (2, 3), "(bits)"),
    "trajectories": (plot_trajectories, (2, 3), "(bits)"),
    "shares": (plot_shares, (2, 3), "(%)"),
    "knockout": (plot_knockout, (2, 4), "(bits)"),
    "measures": (plot_measures, (2, 2), "(bits)"),
}


def panels_of(figure, shape):
    grid = [axes for axes in figure.axes if axes.get_subplotspec() is not None]
    first_of_pair = [axes for axes in grid if axes.yaxis.get_label_position() == "left"]
    return np.array(first_of_pair, dtype=object).reshape(shape)


def line_of(axes, atom):
    (line,) = [line for line in axes.get_lines() if to_hex(line.get_color()).upper() == ATOM_STYLES[atom]["color"]]
    return line


def texts_of(axes):
    return [text.get_text() for text in axes.texts]


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_has_a_labeled_panel_for_every_task_and_condition(results, name):
    plot, shape, unit = FIGURES[name]
    panels = panels_of(plot(results), shape)
    assert all("layer" in axes.get_xlabel() for axes in panels[-1])
    assert all(axes.get_ylabel().endswith(unit) for axes in panels[:, 0])
    for task, axes in zip(["what", "yes-no"], panels[:, 0], strict=True):
        assert axes.get_ylabel().startswith(task)


@pytest.mark.parametrize("name", FIGURES)
def test_legend_names_the_atoms_after_the_sources_and_lies_outside_the_panels(results, name):
    plot, shape, _ = FIGURES[name]
    figure = plot(results)
    (legend,) = figure.legends
    labels = {text.get_text() for text in legend.get_texts()}
    assert labels >= {"Redundant", "Unique: vision", "Unique: language", "Synergistic"}
    figure.draw_without_rendering()
    top = max(axes.get_tightbbox().y1 for axes in panels_of(figure, shape).flat)
    box = legend.get_window_extent()
    assert box.y0 >= top
    assert 0.0 <= box.x0 < box.x1 <= figure.bbox.x1


@pytest.mark.parametrize(("unit", "factor"), [("bits", BITS), ("nats", 1.0)])
def test_trajectories_draw_the_numbers_in_the_unit_asked_for(results, unit, factor):
    panels = panels_of(plot_trajectories(results, measure="mmi", unit=unit), (2, 3))
    for (row, column), axes in np.ndenumerate(panels):
        for atom in ATOMS:
            expected = results[atom].isel(task=row, condition=column).sel(measure="mmi") * factor
            np.testing.assert_allclose(line_of(axes, atom).get_ydata(), expected, atol=1e-12)
    assert f"({unit})" in panels[0, 0].get_ylabel()


def test_panel_titles_tell_condition_and_accuracy(results):
    panels = panels_of(plot_trajectories(results), (2, 3))
    assert panels[0, 0].get_title() == "Baseline\naccuracy 99.0\xa0%"
    assert panels[1, 1].get_title() == "accuracy 89.0\xa0%"


def test_titles_of_neighbors_do_not_touch(results):
    results["condition_label"][:] = "a condition with a name of many words"
    figure = plot_trajectories(results.isel(condition=[0, 1, 2, 1]))
    figure.draw_without_rendering()
    boxes = [axes.title.get_window_extent() for axes in panels_of(figure, (2, 4))[0]]
    assert all(left.x1 < right.x0 for left, right in itertools.pairwise(boxes))


def test_cut_is_shaded_between_the_layers_of_its_blocks_and_named(results):
    baseline, everywhere, early = panels_of(plot_trajectories(results), (2, 3))[0]
    assert not baseline.patches
    assert [patch.get_bbox().intervalx.tolist() for patch in everywhere.patches] == [[0, 8]]
    assert [patch.get_bbox().intervalx.tolist() for patch in early.patches] == [[0, 3]]
    assert texts_of(early) == ["cut in blocks 0–2"]


def test_bands_are_drawn_only_if_there_are_intervals(results):
    assert not panels_of(plot_trajectories(results), (2, 3))[0, 0].collections
    for atom in ATOMS:
        results[f"{atom}_lower"] = results[atom] - 0.1
        results[f"{atom}_upper"] = results[atom] + 0.2
    axes = panels_of(plot_trajectories(results), (2, 3))[0, 0]
    assert len(axes.collections) == 4
    heights = axes.collections[1].get_paths()[0].vertices[:, 1]
    vision = results["unique_1"].isel(task=0, condition=0).sel(measure="broja").values
    assert heights.max() == pytest.approx((vision.max() + 0.2) * BITS)
    assert heights.min() == pytest.approx((vision.min() - 0.1) * BITS)


def test_shares_stack_to_one_hundred_percent(results):
    axes = panels_of(plot_shares(results), (2, 3))[1, 2]
    ends = [bar.get_y() + bar.get_height() for bar in axes.containers[-1]]
    np.testing.assert_allclose(ends, 100.0)
    heights = [bar.get_height() for bar in axes.containers[0]]
    cell = results.isel(task=1, condition=2, layer=0).sel(measure="broja")
    assert heights[0] == pytest.approx(100 * float(cell["unique_1"]) / sum(float(cell[atom]) for atom in ATOMS))


def test_information_is_stacked_in_bits_under_the_entropy(results):
    cell = results.isel(task=1, condition=2).sel(measure="broja")
    entropy = 1.5 * float(cell["i_12"].max())
    figure = plot_information(results.assign(target_entropy=xr.full_like(results["i_12"], entropy)))
    axes = panels_of(figure, (2, 3))[1, 2]
    ends = [bar.get_y() + bar.get_height() for bar in axes.containers[-1]]
    np.testing.assert_allclose(ends, sum(cell[atom] for atom in ATOMS) * BITS)
    heights = [line.get_ydata() for line in axes.get_lines()]
    assert any(np.shape(one) == cell["i_12"].shape and np.allclose(one, cell["i_12"] * BITS) for one in heights)
    assert any(len(one) == 2 and np.allclose(one, entropy * BITS) for one in heights)
    assert axes.get_ylim()[1] > entropy * BITS
    assert axes.get_ylim()[0] == 0


def test_negative_shares_are_stacked_below_zero_and_remarked(results):
    assert plot_shares(results).get_supxlabel() == ""
    results["synergy"][0, 0, 0, 3] = -0.5 / BITS
    results["i_12"][0, 0, 3] = sum(results[atom][0, 0, 0, 3] for atom in ATOMS)
    figure = plot_shares(results)
    axes = panels_of(figure, (2, 3))[0, 0]
    synergy = axes.containers[-1][3]
    assert synergy.get_y() == 0.0
    assert synergy.get_height() == pytest.approx(-50.0 / (BITS * float(results["i_12"][0, 0, 3])))
    assert axes.get_ylim()[0] <= synergy.get_height()
    assert "Negative estimates" in figure.get_supxlabel()


def test_shares_leave_out_layers_without_a_total_to_divide_by(results):
    results["i_12"][0, 0, 2] = 1e-5
    results["redundancy"][0, 0, 0, 4] = np.nan
    figure = plot_shares(results)
    axes = panels_of(figure, (2, 3))[0, 0]
    for layer in (2, 4):
        assert all(container[layer].get_height() == 0.0 for container in axes.containers)
    assert axes.containers[0][3].get_height() > 0.0
    assert "No bar" in figure.get_supxlabel()


def test_knockout_draws_baseline_and_differences(results):
    upper, lower = panels_of(plot_knockout(results), (2, 4))[1, [0, 2]]
    before, after = (results["unique_1"][1, place, 0].values * BITS for place in (0, 1))
    drawn = [line.get_ydata() for line in upper.get_lines()]
    np.testing.assert_allclose(drawn, [before, after])
    np.testing.assert_allclose(line_of(lower, "unique_1").get_ydata(), after - before)
    assert upper.get_title() == "accuracy 99.0 → 89.0\xa0%"


def test_tested_differences_are_drawn_with_their_intervals(results):
    dims, names = ("task", "condition", "quantity", "layer"), [*ATOMS, "i_1", "i_2", "i_12"]
    ends = {"difference": 0.5, "difference_lower": 0.25, "difference_upper": 1.0}
    values = {name: (dims, np.full((2, 3, len(names), LAYERS), value)) for name, value in ends.items()}
    tested = results.assign(values)
    lower = panels_of(plot_knockout(tested), (2, 4))[0, 2]
    np.testing.assert_allclose(line_of(lower, "unique_1").get_ydata(), 0.5 * BITS)
    assert len(lower.collections) == len(ATOMS) + 1
    spans = [band.get_paths()[0].vertices[:, 1] for band in lower.collections]
    assert all(span.min() == pytest.approx(0.25 * BITS) and span.max() == pytest.approx(BITS) for span in spans)
    untested = panels_of(plot_knockout(tested, measure="mmi"), (2, 4))[0, 2]
    assert not untested.collections


def test_measures_show_broja_and_mmi_on_one_scale(results):
    broja, mmi = panels_of(plot_measures(results), (2, 2))[0]
    for axes, measure in ((broja, "broja"), (mmi, "mmi")):
        expected = results["unique_1"].isel(task=0, condition=0).sel(measure=measure) * BITS
        np.testing.assert_allclose(line_of(axes, "unique_1").get_ydata(), expected, atol=1e-12)
    assert line_of(mmi, "unique_1").get_ydata()[0] < line_of(broja, "unique_1").get_ydata()[0]
    assert broja.get_ylim() == mmi.get_ylim()


def test_panel_without_estimates_says_so(results):
    for atom in ATOMS:
        results[atom][0, 1] = np.nan
    for name in ("trajectories", "shares", "knockout"):
        plot, shape, _ = FIGURES[name]
        place = (0, 0) if name == "knockout" else (0, 1)
        assert "not available" in texts_of(panels_of(plot(results), shape)[place]), name
    results["cell"][0, 1] = "failed"
    assert "failed" in texts_of(panels_of(plot_trajectories(results), (2, 3))[0, 1])


def test_colors_and_markers_of_atoms_are_distinct():
    for key in ("color", "linestyle", "marker"):
        assert len({style[key] for style in ATOM_STYLES.values()}) == 4


def test_dollar_signs_in_labels_are_text(results):
    results = results.assign_coords(task=["$\\frac{$", "yes-no"])
    figure = plot_trajectories(results)
    figure.draw_without_rendering()
    assert "$\\frac{$" in panels_of(figure, (2, 3))[0, 0].get_ylabel()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda data: plot_trajectories(data, unit="bytes"), ["unit", "bytes", "nats"]),
        (lambda data: plot_shares(data, measure="ccs"), ["measure", "ccs", "broja"]),
        (lambda data: plot_shares(data.drop_vars("i_12")), ["i_12", "pid_jax.study"]),
        (lambda data: plot_trajectories(data.isel(task=0)), ["'task'"]),
        (lambda data: plot_trajectories(data.expand_dims("model")), ["one model", "eight", "one_model"]),
        (lambda data: plot_knockout(data.isel(condition=[0])), ["knockout", "baseline", "leave"]),
        (lambda data: plot_measures(data.sel(measure=["broja"])), ["measure", "broja"]),
    ],
)
def test_errors_name_the_argument_and_what_was_got(results, call, words):
    with pytest.raises(ValueError, match=words[0]) as caught:
        call(results)
    assert all(word in str(caught.value) for word in words)


def test_measures_that_a_study_lacks_do_not_take_its_figures(results, monkeypatch):
    monkeypatch.setitem(MEASURES, "new", MEASURES["mmi"])
    titles = [axes.get_title() for axes in panels_of(plot_measures(results), (2, 2))[0]]
    assert titles == ["BROJA, baseline", "MMI, baseline"]
    study = results.expand_dims("model").assign_coords(model=["eight"], last_layer=("model", [LAYERS - 1]))
    assert "measures" in planned_figures(study)


def test_a_measure_without_a_name_of_its_own_is_shown(results):
    third = results.sel(measure=["mmi"]).assign_coords(measure=["third"])
    both = xr.concat([results.sel(measure=["broja"]), third], "measure", data_vars="minimal", join="outer")
    titles = [axes.get_title() for axes in panels_of(plot_measures(both), (2, 2))[0]]
    assert titles == ["BROJA, baseline", "third, baseline"]


@pytest.mark.parametrize("plot", [plot_trajectories, plot_shares, plot_knockout, plot_diagnostics])
def test_without_a_measure_asked_for_that_of_the_study_is_shown(results, plot):
    only = results.sel(measure=["mmi"])
    shown, wanted = (
        [line.get_ydata() for axes in figure.axes for line in axes.get_lines()]
        for figure in (plot(only), plot(results, measure="mmi"))
    )
    assert len(shown) == len(wanted) > 0
    for one, other in zip(shown, wanted, strict=True):
        np.testing.assert_array_equal(one, other)


def test_figures_draw_what_a_study_has(results):
    legends = plot_diagnostics(results.drop_vars("explained_variance_2")).legends
    words = [text.get_text() for text in legends[0].get_texts()]
    assert words[:2] == ["vision", "prediction"]
    assert len(plot_spectra(results.drop_vars("spectrum_2")).axes) == 2 + 1  # two tasks and a bar of colors


def many_cuts(**cuts: tuple[float, float]) -> xr.Dataset:
    return one_model(planted(models={"eight": 8}, edges=("image-question", "question-last"), cuts=cuts), "eight")


@pytest.mark.parametrize("plot", [plot_trajectories, plot_shares])
def test_of_many_conditions_baseline_and_widest_cuts_are_shown_and_the_others_counted(plot):
    figure = plot(many_cuts(early=(0.0, 0.3), all=(0.0, 1.0), late=(0.4, 0.7)))
    titles = [axes.get_title().split("\n")[0] for axes in panels_of(figure, (3, 3))[0]]
    assert titles == ["Baseline", "Image-Question cut, all", "Question-Last cut, all"]
    assert "4 other conditions are left out here and shown in the heat map" in figure.get_supxlabel().replace("\n", " ")


def test_without_a_window_all_the_widest_is_shown():
    panels = panels_of(plot_trajectories(many_cuts(early=(0.0, 0.3), middle=(0.2, 0.8))), (3, 3))
    titles = [axes.get_title().split("\n")[0] for axes in panels[0]]
    assert titles == ["Baseline", "Image-Question cut, middle", "Question-Last cut, middle"]


@pytest.mark.slow
def test_rows_get_lower_before_a_figure_gets_higher_than_a_page():
    few, many = (
        plot_trajectories(one_model(planted(models={"a": 4}, tasks=[f"t{i}" for i in range(n)], cuts=CUTS), "a"))
        for n in (2, 6)
    )
    assert few.get_figheight() < many.get_figheight() <= 9.0
    assert many.get_figwidth() == pytest.approx(7.2)
