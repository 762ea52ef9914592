"""Figures of a study over models: marks carry the numbers, gaps stay gaps, and nothing is cut off or overlaps."""

import ast
import itertools
import math
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from matplotlib.collections import LineCollection
from matplotlib.colors import to_hex
from matplotlib.text import Text

import pid_jax.plot
from pid_jax.plot.associations import plot_associations
from pid_jax.plot.catalog import KINDS, file_endings, planned_figures
from pid_jax.plot.claims_by_measure import plot_claims_by_measure
from pid_jax.plot.diagnostics import plot_diagnostics
from pid_jax.plot.files import ALL, MAIN, NONE, choose_figures, save_figures, save_missing, study_figures
from pid_jax.plot.fingerprints import cluster_order, plot_fingerprints
from pid_jax.plot.models import plot_models
from pid_jax.plot.quantities import MOST_MODELS
from pid_jax.plot.shares import plot_shares
from pid_jax.plot.spectra import plot_spectra
from pid_jax.plot.style import ATOM_STYLES, SERIES_STYLES, VERDICT_STYLES, figure_style
from pid_jax.plot.universes import plot_universes, universe_names
from pid_jax.plot.verdicts import plot_verdicts
from pid_jax.plot.windows import plot_windows
from pid_jax.study.metrics.add import add_metrics
from pid_jax.study.metrics.claims import CONTRADICTED, NOT_TESTABLE, SUPPORTED
from pid_jax.study.results import one_model
from tests.study_metrics import with_made_up_metrics
from tests.study_results import planted

BITS = 1.0 / math.log(2.0)
CUTS = {"all": (0.0, 1.0), "0-1": (0.0, 0.25), "2-4": (0.4, 0.8)}


def made_up(**choices) -> xr.Dataset:
    """A study with the names that metrics and the multiverse give, and made-up numbers."""
    chosen = {"models": {"six": 6, "llava/1.5 7b": 4}, "cuts": CUTS, "replicates": 40} | choices
    results = with_made_up_metrics(planted(**chosen))
    names = results.metric_name.values.tolist()
    if "vision_share_early" not in names:
        names[names.index("vision_share_first")] = "vision_share_early"
    return results.assign_coords(metric_name=names)


@pytest.fixture
def study() -> xr.Dataset:
    return made_up()


@pytest.fixture
def model(study) -> xr.Dataset:
    return one_model(study, "six")


def test_every_figure_is_in_the_catalog_and_the_documentation():
    """The learning curve is that of an estimate, and decisions have a dataset of their own."""
    root = Path(pid_jax.plot.__file__).parent
    found = {
        f"pid_jax.plot.{path.stem}.{node.name}"
        for path in root.glob("*.py")
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("plot_")
    }
    listed = {f"{kind.plot.__module__}.{kind.plot.__name__}" for kind in KINDS.values()}
    assert found - listed == {"pid_jax.plot.decision.plot_decision", "pid_jax.plot.learning.plot_learning_curve"}
    pages = "".join(path.read_text() for path in (root.parents[1] / "docs" / "api").glob("*.md"))
    assert {name for name in found if f".. autofunction:: {name}\n" not in pages} == set()


def meshes(figure) -> list[np.ma.MaskedArray]:
    """Values of all heat maps in order, color bars left out."""
    panels = [axes for axes in figure.axes if axes.get_subplotspec() is not None]
    return [c.get_array() for axes in panels for c in axes.collections if type(c).__name__ == "QuadMesh"]


def first_mesh(axes):
    return next(c for c in axes.collections if type(c).__name__ == "QuadMesh")


def line_in(axes, color):
    (line,) = [line for line in axes.get_lines() if to_hex(line.get_color()).upper() == color]
    return line


def test_models_are_drawn_over_depth_in_bits_with_the_intervals_of_estimates(study):
    figure = plot_models(study)
    axes = figure.axes[1]  # first task, vision-unique
    for m, blocks in enumerate((6, 4)):
        line = line_in(axes, SERIES_STYLES[m]["color"])
        values, low = (study[f"unique_1{end}"].values[m, 0, 0, 0, : blocks + 1] for end in ("", "_lower"))
        np.testing.assert_allclose(line.get_xdata(), np.arange(blocks + 1) / blocks)
        np.testing.assert_allclose(line.get_ydata(), values * BITS)
        heights = axes.collections[m].get_paths()[0].vertices[:, 1]
        assert heights.min() == pytest.approx(low.min() * BITS, rel=1e-6)
    assert "(bits)" in figure.axes[0].get_ylabel()
    assert "90 % intervals" in figure.get_supxlabel()
    line = line_in(plot_models(study, measure="mmi").axes[1], SERIES_STYLES[0]["color"])
    np.testing.assert_allclose(line.get_ydata(), study["unique_1"].values[0, 0, 0, 1] * BITS, atol=1e-12)


def test_correlation_between_models_is_printed_with_its_interval_and_of_the_least_pair(study):
    value = study["model_correlation"].sel(model="six", model_2="llava/1.5 7b", atom="unique_1").values[2]
    title = plot_models(study).axes[9].get_title()
    assert title == f"r = {value:.2f} ({value - 0.04:.2f} to {value + 0.04:.2f})"
    three = made_up(models={"a": 4, "b": 5, "c": 6})
    pairs = three["model_correlation"].sel(atom="synergy").values[:, :, 0][np.triu_indices(3, 1)]
    assert f"r ≥ {pairs.min():.2f}" in plot_models(three).axes[3].get_title()


def test_missing_layers_leave_gaps(study):
    study["unique_1"][0, 0, 0, 0, 3] = np.nan
    line = line_in(plot_models(study).axes[1], SERIES_STYLES[0]["color"])
    assert np.isnan(line.get_ydata()).tolist() == [False] * 3 + [True] + [False] * 3


def test_fingerprints_stand_in_the_rows_of_their_distances(study):
    figure = plot_fingerprints(study)
    order = cluster_order(study["fingerprint_distance"].values)
    assert sorted(order) == list(range(6))
    flat = study["fingerprint"].sel(share="unique_2", point="middle").values.ravel() * 100
    line = line_in(figure.axes[2], ATOM_STYLES["unique_2"]["color"])
    np.testing.assert_allclose(line.get_xdata(), flat[order])
    (matrix,) = meshes(figure)
    np.testing.assert_allclose(matrix, study["fingerprint_distance"].values[np.ix_(order, order)] * 100)
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert names[0].split("\n") == [f"1  {study.profile_task.values[order[0]]}", study.profile_model.values[order[0]]]
    assert "(%)" in figure.axes[2].get_xlabel()
    assert "(percentage points)" in figure.axes[-1].get_title()
    # A band and intervals for each atom.
    lines = [c for c in figure.axes[2].collections if isinstance(c, LineCollection)]
    for collection, width in zip(lines[4:6], (30.0, 8.0), strict=True):
        np.testing.assert_allclose([end[0] - start[0] for start, end in collection.get_segments()], width)


def test_near_fingerprints_stand_together_and_unknown_ones_last():
    place = np.array([0.0, 10.0, 0.1, np.nan, 10.2, 0.3])
    order = cluster_order(np.abs(place[:, None] - place))
    assert order[-1] == 3
    is_far = [place[row] > 5.0 for row in order[:-1]]
    assert sorted(order) == list(range(6))
    assert is_far in (sorted(is_far), sorted(is_far, reverse=True))


def test_windows_map_differences_in_bits_on_one_scale_around_zero(model):
    model["difference"][1, 2, 1, 4] = np.nan
    figure = plot_windows(model)
    for task, mesh in enumerate(meshes(figure)):
        expected = model["difference"].sel(quantity="unique_1").values[task, 1:] * BITS
        np.testing.assert_allclose(mesh.filled(np.nan), expected)
    limits = {first_mesh(axes).get_clim() for axes in figure.axes[:3]}
    ((low, high),) = limits
    assert low == -high == -np.nanmax(np.abs(model["difference"].sel(quantity="unique_1"))) * BITS
    assert any("(bits)" in axes.get_xlabel() for axes in figure.axes[3:])


def test_windows_outline_the_outputs_of_blocks_cut_and_dot_what_is_not_significant(model):
    axes = plot_windows(model).axes[0]
    spans = [(patch.get_x(), patch.get_x() + patch.get_width(), patch.get_y()) for patch in axes.patches]
    cuts = zip(model["cut_first"].values[1:], model["cut_last"].values[1:], strict=True)
    assert spans == [(first + 0.5, last + 1.5, row - 0.5) for row, (first, last) in enumerate(cuts)]
    (dots,) = [c for c in axes.collections if c.get_gid() == "not significant"]
    adjusted = model["difference_family_wise"].sel(quantity="unique_1").values[0, 1:]
    assert sorted(map(tuple, dots.get_offsets())) == sorted((c, r) for r, c in np.argwhere(adjusted >= 0.05))


def test_maps_of_some_layers_stand_at_the_numbers_of_these(model):
    """Stores may hold every third layer only."""
    some = model.assign_coords(layer=3 * model["layer"].values)
    some["cut_first"], some["cut_last"] = (("condition", 3 * model[name].values) for name in ("cut_first", "cut_last"))
    layers = some["layer"].values
    sides = [-0.5, *(layers[1:] - 1.5), layers[-1] + 0.5]
    axes = plot_windows(some).axes[0]
    np.testing.assert_allclose(axes.collections[0].get_coordinates()[0, :, 0], sides)
    for patch, first, last in zip(axes.patches, some["cut_first"].values[1:], some["cut_last"].values[1:], strict=True):
        inside = [layer for layer in layers if first < layer <= last + 1]
        assert patch.get_x() == inside[0] - 1.5
        assert patch.get_x() + patch.get_width() == min(inside[-1] + 1.5, sides[-1])
    (dots,) = [c for c in axes.collections if c.get_gid() == "not significant"]
    assert {x for x, _ in dots.get_offsets()} <= set(layers)
    np.testing.assert_allclose(first_mesh(plot_spectra(some).axes[0]).get_coordinates()[0, :, 0], sides)


def test_effects_are_drawn_with_intervals_and_hollow_where_not_significant(model):
    figure = plot_windows(model)
    axes = figure.axes[3 + 3]  # first task: trapped vision, then synergy
    synergy = model.isel(task=0).sel(effect_name="compensatory_synergy")
    value, is_clear = synergy["effect"].values[1:] * BITS, synergy["effect_family_wise"].values[1:] < 0.05
    _, hollow, filled = axes.get_lines()
    np.testing.assert_allclose(filled.get_ydata(), value[is_clear])
    np.testing.assert_allclose(hollow.get_ydata(), value[~is_clear])
    (whiskers,) = axes.collections
    np.testing.assert_allclose([s[:, 1].mean() for s in whiskers.get_segments()], value)
    labels = model["effect_label"].sel(effect_name=["trapped_vision", "compensatory_synergy", "information_cost"])
    expected = [f"{label} (bits)" for label in labels.values] + ["change of accuracy (percentage points)"]
    shown = [axes.get_ylabel().replace("-\n", "-").replace("\n", " ") for axes in figure.axes[3:15:3]]
    assert shown == expected
    shared = {axes.get_ylim() for axes in figure.axes[3:6]}
    assert len(shared) == 1
    assert shared.pop()[1] >= model["effect_upper"].sel(effect_name="trapped_vision").values[:, 1:].max() * BITS


def test_windows_are_mapped_without_metrics(model):
    figure = plot_windows(model.drop_dims("effect_name"))
    assert len(meshes(figure)) == len([axes for axes in figure.axes if axes.get_subplotspec() is not None]) == 3


def test_spectra_are_mapped_in_bits_with_gaps(model):
    model["spectrum_2"][1, 0, 3] = np.nan
    figure = plot_spectra(model)
    expected = model["spectrum_2"].values[1, 0].T * BITS
    np.testing.assert_allclose(meshes(figure)[3].filled(np.nan), expected)
    assert any("(bits)" in axes.get_ylabel() for axes in figure.axes)


def test_diagnostics_show_what_was_kept_the_largest_gap_and_failures(model):
    model["explained_variance_1"][0, 0, 2] = 0.25
    model["gap"][0, 2, 0, 3] = -1e-9
    model["status"][0, 1, 0, 2] = 2
    kept, gap, status = plot_diagnostics(model).axes[:3]
    assert line_in(kept, ATOM_STYLES["unique_1"]["color"]).get_ydata()[2] == pytest.approx(25.0)
    assert gap.get_lines()[0].get_ydata()[[2, 3]] == pytest.approx([1e-14, 1e-9])
    (crosses,) = [c for c in status.collections if type(c).__name__ == "PathCollection"]
    assert crosses.get_offsets().tolist() == [[2.0, 1.0]]
    assert kept.get_title() == "n = 1000, 31 per dimension"
    assert kept.get_ylabel().endswith("(%)")
    assert gap.get_ylabel().endswith("(nats)")


def test_verdicts_are_told_by_symbol_word_number_and_color(study):
    study["verdict"][0, :3] = list(VERDICT_STYLES)
    study["claim_value"][0, 0], study["claim_lower"][0, 0], study["claim_upper"][0, 0] = 0.8, 0.7, 0.9
    study["claim_value"][0, 1], study["claim_lower"][0, 1], study["claim_upper"][0, 1] = 0.02, -0.01, 0.03
    study["claim_value"][0, 2] = np.nan
    texts = {text.get_text(): text for text in plot_verdicts(study).texts}
    supported, refused, open_ = VERDICT_STYLES.values()
    cells = {
        "● supported\n0.80 (0.70 to 0.90)": supported,
        "✖ contradicted\n0.020 (−0.010 to 0.030)": refused,
        "◇ not testable here": open_,
    }
    assert set(cells) <= set(texts)
    assert all(texts[cell].get_color() == style["color"] for cell, style in cells.items())


def test_claims_by_measure_are_counted_and_colored(study):
    study["by_measure_holds"][0, 0], study["by_measure_value"][0, 0] = [1, 0, -1, 1, 1], [0.25, 0.125, np.nan, 0.3, 0.4]
    study["by_measure_count"][0, 0], study["by_measure_total"][0, 0] = 3, 4
    texts = [(text.get_text(), text.get_color()) for text in plot_claims_by_measure(study).axes[0].texts]
    wanted = [("● 0.25", SUPPORTED), ("✖ 0.12", CONTRADICTED), ("◇", NOT_TESTABLE)]
    assert {(text, VERDICT_STYLES[verdict]["color"]) for text, verdict in wanted} <= {*texts}
    words = [text for text, _ in texts]
    assert "3 of 4" in words
    assert [word for word in words if word in ("MMI", "BROJA")] == ["MMI", "BROJA"]
    alone = [text.get_text() for text in plot_claims_by_measure(study.isel(model=[0])).axes[0].texts]
    assert "six" in words
    assert "six" not in alone


def test_triangles_mark_shares_outside_of_chance(model):
    share = (
        100
        * model["unique_2"].isel(condition=0).sel(measure="broja", task=model["task"].values[0])
        / (model["i_12"].isel(condition=0).sel(task=model["task"].values[0]))
    )
    for name, value in (("chance_share_lower", -1.0), ("chance_share_upper", 2.0)):
        model[name][:] = value
    model["chance_share_upper"].loc[{"share": "unique_2"}] = 0.0
    panels = plot_shares(model).axes
    offsets = [c.get_offsets() for c in panels[0].collections if len(c.get_offsets())]
    (found,) = [one for one in offsets if len(one) > 1]
    np.testing.assert_allclose(np.sort(found[:, 0]), model["layer"].values[share.values > 0])
    assert not [c for c in panels[1].collections if len(c.get_offsets()) > 1]
    assert "△" in plot_shares(model).get_supxlabel()
    assert "△" not in plot_shares(model, measure="mmi").get_supxlabel()
    assert "△" not in plot_shares(model.drop_vars("chance_share_upper")).get_supxlabel()


def test_universes_show_values_with_intervals_in_the_color_of_their_verdicts(study):
    study["universe_value"][3, 1, 2] = np.nan
    study["universe_verdict"][3, 1, 2] = "not testable here"
    axes = plot_universes(study).axes[5 + 2]
    cell = study.isel(model=1, claim=2)
    for verdict, style in VERDICT_STYLES.items():
        own = cell["universe_verdict"].values == verdict
        line = line_in(axes, style["color"])
        np.testing.assert_allclose(line.get_xdata(), cell["universe_value"].values[own])
        assert line.get_ydata().tolist() == np.flatnonzero(own).tolist()
    assert [text.get_text() for text in axes.texts] == ["not testable here"]
    assert axes.get_xlabel() == "value (1)"


def test_universes_are_named_by_what_they_change(study):
    names = universe_names(study)
    assert names[:4] == ["this study", "MMI", "dims 8+8+4", "normalizing flow"]
    assert plot_universes(study).get_supxlabel() == "This study: FinalNorm, dims 12+12+8, rank copula, BROJA."


def test_associations_draw_tasks_with_both_intervals_and_print_the_rank_correlation(model):
    figure = plot_associations(model)
    axes = figure.axes[1]  # trapped vision against redundancy
    effect = model["effect"].sel(effect_name="trapped_vision", condition="image-question@all").values * BITS
    share = model["metric"].sel(metric_name="redundancy_share_last").values * 100
    for task in range(3):
        line = line_in(axes, SERIES_STYLES[task]["color"])
        assert (line.get_xdata().item(), line.get_ydata().item()) == pytest.approx((share[task], effect[task]))
    place = {"edges_name": "image-question", "window_name": "all", "effect_name": "trapped_vision"}
    found = model[["association", "association_p"]].sel(**place, property="redundancy")
    value, p_value = float(found["association"]), float(found["association_p"])
    expected = f"ρ = {value:.2f} ({value - 0.04:.2f} to {value + 0.04:.2f})\np = {p_value:.3f}"
    assert axes.get_title().split("\n", 1)[1] == expected
    assert figure.axes[0].get_ylabel().endswith("(bits)")
    assert figure.axes[-1].get_xlabel().endswith("(%)")


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda study: plot_models(study.isel(model=[0])), ["several models", "six", "plot_trajectories"]),
        (lambda study: plot_models(study, unit="bytes"), ["unit", "bytes", "nats"]),
        (lambda study: plot_fingerprints(study.drop_vars("fingerprint")), ["'fingerprint'", "pid_jax.study"]),
        (lambda study: plot_windows(study), ["one model", "six", "one_model"]),
        (lambda study: plot_windows(one_model(study, "six").isel(condition=[0])), ["knockout", "baseline", "leave"]),
        (lambda study: plot_verdicts(study.drop_dims("claim")), ["'claim'", "dimension"]),
        (lambda study: plot_universes(study.drop_dims("universe")), ["'universe_value'|'universe'"]),
        (lambda study: plot_spectra(one_model(study, "six").drop_dims("direction")), ["spectrum_1", "pid_jax.study"]),
        (lambda study: plot_diagnostics(one_model(study, "six"), measure="ccs"), ["measure", "ccs", "broja"]),
        (
            lambda study: plot_associations(one_model(study, "six").isel(condition=[0])),
            ["knockout", "baseline", "leave"],
        ),
    ],
)
def test_errors_name_what_was_wanted_and_what_came(study, call, words):
    with pytest.raises(ValueError, match=words[0]) as caught:
        call(study)
    assert all(word in str(caught.value) for word in words[1:])


STUDY_WIDE = ["verdicts", "claims-by-measure", "universes", "models", "fingerprints"]
OF_MODEL = ["trajectories", "shares", "knockout", "windows", "associations", "spectra", "measures", "gaussianizers"]


def test_figures_of_models_carry_their_names(study):
    planned = list(planned_figures(study))
    models = [f"{kind}-{name}" for kind in [*OF_MODEL, "diagnostics"] for name in ("six", "llava-1.5-7b")]
    assert sorted(planned) == sorted([*STUDY_WIDE, *models])
    assert planned[0] == "verdicts"
    assert planned[-1] == "diagnostics-llava-1.5-7b"


def test_only_figures_with_data_are_planned(study):
    alone = planted(models={"one": 5}, cuts={}, replicates=2).sel(measure=["mmi"]).isel(gaussianizer=[0])
    assert list(planned_figures(alone)) == ["trajectories", "shares", "spectra", "diagnostics"]
    study["association"][:] = np.nan
    assert not [name for name in planned_figures(study) if name.startswith("associations")]
    study["cell"][1] = "absent"
    assert not [name for name in planned_figures(study) if name.endswith("llava-1.5-7b")]


def test_names_of_files_are_plain_and_differ():
    assert file_endings(["a/b c", "a b/c", "A-b-C", "..", "ü"]) == ["a-b-c", "a-b-c-2", "A-b-C-3", "model", "model-2"]


def test_figures_read_what_the_metrics_write():
    results = add_metrics(planted(models={"six": 6, "four": 4}, cuts={"all": (0.0, 1.0)}, replicates=40))
    planned = planned_figures(results)
    assert {figure.kind for figure in planned.values()} == {*STUDY_WIDE, *OF_MODEL, "diagnostics"} - {"universes"}
    title = planned["associations-six"].build().axes[0].get_title()
    assert f"ρ = {float(results['association'].values[0, 0, 0, 0, 0]):.2f} (" in title


def test_rows_of_universes_are_as_high_as_their_names(study):
    many = xr.concat([study.isel(universe=[i % 6]) for i in range(20)], "universe", data_vars="minimal")
    names = ["a choice that has a long name"] * 20
    many = many.assign_coords(universe=range(20), universe_target=("universe", names))
    figure = plot_universes(many)
    with figure_style():
        figure.draw_without_rendering()
    boxes = [label.get_window_extent() for label in figure.axes[0].get_yticklabels()]
    assert all(below.y1 <= above.y0 + 1.0 for above, below in itertools.pairwise(boxes))


@pytest.mark.slow
def test_saved_files_are_complete_and_the_same_each_time(tmp_path):
    alone = planted(models={"one": 3}, cuts={"all": (0.0, 1.0)}, tasks=["what"], replicates=2)
    alone = alone.sel(measure=["broja"]).isel(gaussianizer=[0]).drop_vars(["spectrum_1", "spectrum_2", "gap"])
    first, second = (save_figures(alone, tmp_path / folder / "new") for folder in "ab")
    assert list(first) == ["trajectories", "shares", "knockout", "windows"]
    assert sorted(file.name for file in (tmp_path / "a/new").iterdir()) == [
        f"{name}.{suffix}" for name in sorted(first) for suffix in ("pdf", "png")
    ]
    for name, path in first.items():
        assert path.read_bytes().startswith(b"\x89PNG")
        assert path.with_suffix(".pdf").read_bytes().startswith(b"%PDF")
        for suffix in (".png", ".pdf"):
            assert path.with_suffix(suffix).read_bytes() == second[name].with_suffix(suffix).read_bytes()


MANY = {f"m{i}": 3 for i in range(MOST_MODELS + 1)}


@pytest.fixture(scope="module")
def many() -> dict[str, xr.Dataset]:
    drawn = planted(models=MANY, cuts={}, tasks=["what"], replicates=2)
    return {"final-norm": drawn, "answer-logits": drawn.assign_attrs(target="answer-logits")}


def test_figures_of_many_models_are_drawn_on_demand(many):
    every = study_figures(many)
    main = choose_figures(every, MAIN)
    assert list(main) == ["models", "answer-logits-models"]
    assert len(every) > len(MANY) * len(main)
    assert choose_figures(every, ALL) == every
    assert choose_figures(every, NONE) == {}
    some = choose_figures(every, "models, trajectories-m?")
    assert list(some) == [*(f"trajectories-{name}" for name in MANY), "models"]
    few = study_figures({name: one.isel(model=slice(MOST_MODELS)) for name, one in many.items()})
    assert choose_figures(few, MAIN) == few


@pytest.mark.parametrize("choice", ["", "no-such-*", "models,no-such"])
def test_names_that_no_figure_has(many, choice):
    with pytest.raises(ValueError, match="--figures"):
        choose_figures(study_figures(many), choice)


def test_a_figure_is_drawn_again_only_if_it_would_differ(tmp_path, many):
    figures = choose_figures(study_figures(many), "shares-m0")
    seen = []
    (path,) = save_missing(figures, tmp_path, lambda done, total: seen.append((done, total)))
    assert seen == [(0, 1), (1, 1)]
    assert save_missing(figures, tmp_path) == []
    before = path.read_bytes()
    path.with_suffix(".pdf").unlink()
    assert save_missing(figures, tmp_path) == [path]
    assert path.read_bytes() == before
    path.write_bytes(before[: len(before) // 4])
    assert save_missing(figures, tmp_path) == [path]
    many = {name: one.copy(deep=True) for name, one in many.items()}
    many["final-norm"]["unique_1"][0, 0, 0, 0, 0] += 1.0
    assert save_missing(choose_figures(study_figures(many), "shares-m0"), tmp_path) == [path]
    assert path.read_bytes() != before


def test_saving_leaves_the_old_file_when_it_fails(tmp_path, monkeypatch):
    alone = planted(models={"one": 3}, cuts={}, tasks=["what"], replicates=2)
    (tmp_path / "trajectories.pdf").write_bytes(b"old")

    def fail(figure, target, **_):
        target.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr("matplotlib.figure.Figure.savefig", fail)
    with pytest.raises(OSError, match="disk full"):
        save_figures(alone, tmp_path)
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [("trajectories.pdf", b"old")]


def test_colors_of_series_and_verdicts_are_distinct_and_no_atom_has_them():
    series = {style["color"] for style in SERIES_STYLES}
    assert len(series) == len({style["marker"] for style in SERIES_STYLES}) == len(SERIES_STYLES)
    assert not series & {style["color"] for style in ATOM_STYLES.values()}
    for key in ("color", "marker", "symbol"):
        assert len({style[key] for style in VERDICT_STYLES.values()}) == 3


def visible_texts(figure) -> list[Text]:
    """All texts that are drawn, of axes, legends and the figure itself."""
    return [
        text
        for text in figure.findobj(Text)
        if text.get_visible() and text.get_text().strip() and (text.axes is None or text.axes.get_visible())
    ]


def labels_of(figure) -> list[Text]:
    """Titles and axis labels of all panels, entries of legends, and remarks: none may lie on another."""
    own = [text for axes in figure.axes for text in (axes.title, axes.xaxis.label, axes.yaxis.label)]
    shown = {id(text) for text in visible_texts(figure)}
    entries = [text for legend in figure.legends for text in legend.get_texts()]
    return [text for text in [*own, *entries, *figure.texts] if id(text) in shown]


def assert_readable(name, figure):
    with figure_style():
        figure.draw_without_rendering()
    inside, unused = figure.bbox.padded(1.5), unused_ticks(figure)
    for text in visible_texts(figure):
        if id(text) not in unused:
            box = text.get_window_extent()
            assert inside.containsx(box.x0), (name, text.get_text())
            assert inside.containsx(box.x1), (name, text.get_text())
            assert inside.containsy(box.y0), (name, text.get_text())
            assert inside.containsy(box.y1), (name, text.get_text())
    boxes = [(text.get_text(), text.get_window_extent().padded(-1.0)) for text in labels_of(figure)]
    for (one, first), (other, second) in itertools.combinations(boxes, 2):
        assert not first.overlaps(second), (name, one, other)


def unused_ticks(figure) -> set[int]:
    """Labels of ticks beyond the limits of their axis, which are never drawn."""
    found = set()
    for axis in (axis for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)):
        low, high = sorted(axis.get_view_interval())
        for tick in [*axis.get_major_ticks(), *axis.get_minor_ticks()]:
            if not low <= tick.get_loc() <= high:
                found |= {id(tick.label1), id(tick.label2)}
    return found


LONG = {"llava-hf/llava-1.5-7b-hf": 6, "liuhaotian/llava-v1.6-vicuna-13b": 8}


def check_all(**choices):
    results = made_up(models=LONG, edges=("image-question", "question-last"), **choices)
    results["cell"][0, 1, 2] = "failed"
    for name, values in results.data_vars.items():
        if values.dims[:3] == ("model", "task", "condition") and values.dtype.kind == "f":
            results[name][0, 1, 2] = np.nan
    seen = set()
    for name, planned in planned_figures(results).items():
        if planned.kind not in seen:
            seen.add(planned.kind)
            assert_readable(name, planned.build())
    assert seen == {*STUDY_WIDE, *OF_MODEL, "diagnostics"}


@pytest.mark.slow
def test_no_text_is_cut_off_or_overlaps():
    check_all(tasks=["ChooseAttr", "CompareAttr (a rather long name)"])


@pytest.mark.slow
def test_no_text_is_cut_off_or_overlaps_in_a_large_study():
    LONG_TASKS = ["ChooseAttr", "ChooseCat", "ChooseRel", "CompareAttr (a rather long name)", "LogicalObj", "QueryAttr"]
    windows = {f"{k}-{k + 2}": (k / 32, (k + 2) / 32) for k in range(0, 30, 2)}
    check_all(tasks=LONG_TASKS, cuts={"all": (0.0, 1.0)} | windows)
