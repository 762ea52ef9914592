"""Whatever a condition is, what it cuts has one name and one window, in the dataset, in figures and on the page."""

import dataclasses
import json

import numpy as np
import pytest

from pid_jax.plot.associations import plot_associations
from pid_jax.plot.knockout import plot_knockout
from pid_jax.plot.quantities import edge_labels, shown_conditions
from pid_jax.plot.trajectories import plot_trajectories
from pid_jax.plot.windows import plot_windows
from pid_jax.report.data import data_block
from pid_jax.report.page import for_page
from pid_jax.study.conditions import Cut, cut_of, labels_of, tell_apart
from pid_jax.study.metrics.add import add_metrics
from pid_jax.study.model import StudyModel
from pid_jax.study.results import cut_names, load_study, one_model, save_study
from pid_jax.study.run import run_study
from tests.study_process import QUICK
from tests.study_results import planted
from tests.study_stores import CUT, EARLY, make_store

SPEC = dataclasses.replace(QUICK, replicates=50)
MASK = {"name": "patch@0-0", "label": "patch cut, layers 0–0", "edges": [], "mask": "patch", "first": 0, "last": 0}
LATER = MASK | {"name": "patch@1-1", "label": "patch cut, layers 1–1", "first": 1, "last": 1}
LIKE_EDGES = MASK | {"name": "image-question@1-1", "label": "image-question cut, layers 1–1", "mask": "image-question"}
LIKE_EDGES |= {"first": 1, "last": 1}
HEADS = EARLY | {"name": "image-question@1.3+2.all", "heads": [[1, 3], [2, "all"]], "first": 1, "last": 2}
FOREIGN = {"name": "heads off"}
UNKNOWN = {"first": -1, "last": -1}


@pytest.mark.parametrize(
    ("condition", "cut"),
    [
        ({"name": "baseline", "first": -1, "last": -1}, Cut()),
        (CUT, Cut(name="image-question", window="all", first=0, last=1)),
        (EARLY | {"name": "mine"}, Cut(name="image-question", window="0-0", first=0, last=0)),
        (
            {"name": "x", "edges": [["image", "question"], ["image", "last"]], "first": 2, "last": 4},
            Cut(name="image-question+image-last", window="2-4", first=2, last=4),
        ),
        (EARLY | {"edges": ["image-question"]}, Cut(name="image-question", window="0-0", first=0, last=0)),
        (MASK, Cut(name="patch", window="0-0", first=0, last=0)),
        (MASK | {"name": "patch@all"}, Cut(name="patch", window="all", first=0, last=0)),
        (LIKE_EDGES, Cut(name="image-question (mask)", window="1-1", first=1, last=1)),
        (MASK | {"mask": "image-last+question-last"}, Cut(name="image-last+question-last (mask)", window="0-0", first=0,
                                                          last=0)),
        (HEADS, Cut(name="image-question (heads)", window="1.3+2.all", first=1, last=2)),
        (FOREIGN, Cut(name="heads off")),
        ({}, Cut(name="unnamed")),
        (FOREIGN | {"first": 1, "last": 3}, Cut(name="heads off", window="1-3", first=1, last=3)),
        ({"name": "heads@1-3", "first": 1, "last": 3}, Cut(name="heads", window="1-3", first=1, last=3)),
        ({"name": "heads@all"}, Cut(name="heads", window="all")),
        ({"name": "heads@2"}, Cut(name="heads@2")),
        ({"name": "@all"}, Cut(name="@all")),
        ({"name": "image-question@all"}, Cut(name="image-question (edges unknown)", window="all")),
        (FOREIGN | {"edges": None, "mask": True, "first": "early", "last": 3}, Cut(name="heads off")),
        (FOREIGN | {"first": 3, "last": 1}, Cut(name="heads off")),
        (FOREIGN | {"first": 3}, Cut(name="heads off")),
    ],
)  # fmt: skip
def test_a_cut_is_named_by_its_edges_its_mask_or_its_condition(condition, cut):
    assert cut_of(condition) == cut


def test_cuts_are_those_of_the_extraction():
    edges = pytest.importorskip("extraction.passes.edges")
    knockout = edges.Knockout(mask=lambda groups: None, title="patch", first=0, last=0)
    assert cut_of(edges.describe_condition(knockout)) == cut_of(MASK)
    heads = edges.Knockout(edges=(("image", "question"),), heads=((2, None), (1, 3)))
    assert cut_of(edges.describe_condition(heads)) == cut_of(HEADS)
    assert cut_of(edges.describe_condition(None)) == Cut()


def test_names_and_windows_together_are_unique():
    one, two = cut_of(EARLY), cut_of(EARLY | {"first": 1, "last": 1})
    other = cut_of(FOREIGN)
    assert tell_apart({"baseline": [Cut()], "a": [one], "b": [two], "c": [one], "d": [other]}) == {
        "baseline": ("", ""),
        "a": ("image-question", "0-0"),
        "b": ("image-question", "1-1"),
        "c": ("image-question (c)", "0-0"),
        "d": ("heads off", ""),
    }
    assert tell_apart({"a": [one, two, one]}) == {"a": ("image-question", "0-0 or 1-1")}
    labels = labels_of([CUT, {"name": "x", "label": "Cut"}, FOREIGN, FOREIGN | {"label": None, "name": "y"}])
    assert labels == ["Cut", "Cut (x)", "heads off", "y"]


@pytest.fixture(scope="module")
def estimates(tmp_path_factory):
    """A study of a baseline and five conditions, without metrics."""
    folder = tmp_path_factory.mktemp("stores")
    conditions = ({"name": "baseline"}, EARLY, MASK, LATER, LIKE_EDGES, FOREIGN)
    stores = [make_store(folder / str(i), condition, seed=i) for i, condition in enumerate(conditions)]
    return run_study([StudyModel(name="m", baseline=stores[0], knockouts=tuple(stores[1:]))], spec=SPEC)


@pytest.fixture(scope="module")
def many(estimates, tmp_path_factory):
    """The same with metrics, as it is read from its file."""
    return load_study(save_study(add_metrics(estimates), tmp_path_factory.mktemp("study") / "results.nc"))


NAMES = ["", "image-question", "patch", "patch", "image-question (mask)", "heads off"]
WINDOWS = ["", "0-0", "0-0", "1-1", "1-1", ""]


@pytest.mark.slow
def test_every_condition_has_a_name_and_a_window_in_the_dataset(many):
    assert many["edges"].values.tolist() == NAMES
    assert many["window"].values.tolist() == WINDOWS
    assert many["cut_first"].values.tolist() == [[-1, 0, 0, 1, 1, -1]]
    assert many["cut_last"].values.tolist() == [[-1, 0, 0, 1, 1, -1]]
    assert many["edges_name"].values.tolist() == ["image-question", "patch", "image-question (mask)", "heads off"]
    assert many["window_name"].values.tolist() == ["0-0", "1-1", ""]


@pytest.mark.slow
def test_effects_at_the_end_need_no_window(many):
    known = np.isfinite(many["effect"].sel(model="m", task="a"))
    names = ["accuracy_change", "trapped_vision_final"]
    assert known.sel(condition=["image-question@0-0", "patch@0-0"]).all()
    assert sorted(known["effect_name"].values[known.sel(condition="heads off").values]) == names
    change = many["difference"].sel(model="m", task="a", quantity="unique_1", condition="heads off")[-1]
    effect = many["effect"].sel(model="m", task="a", condition="heads off", effect_name="trapped_vision_final")
    assert float(effect) == pytest.approx(float(change), abs=1e-9)


@pytest.mark.slow
def test_a_mask_named_like_edges_is_not_what_the_claim_is_about(many, estimates):
    reason = many["reason"].sel(claim="trapped_vision_ordered").item()
    assert "An ordering needs" in reason  # of the edges there is a knockout
    alone = add_metrics(estimates.isel(condition=[0, 4]))
    assert "no knockout of image-question" in alone["reason"].sel(claim="trapped_vision_ordered").item()


def plain(text):
    return " ".join(text.replace("-\n", "-").split())


def texts(axes):
    return [label.get_text() for label in axes.get_yticklabels()]


@pytest.mark.slow
def test_maps_have_a_row_and_legends_an_entry_for_every_condition(many):
    figure = plot_windows(one_model(many, "m"))
    rows = [figure.axes[2 * i] for i in range(4)]  # two tasks
    assert [plain(axes.get_ylabel()) for axes in rows] == [
        f"{name} in blocks" for name in ("image-question", "patch", "image-question (mask)", "heads off")
    ]
    assert [texts(axes) for axes in rows] == [["0-0"], ["0-0", "1-1"], ["1-1"], ["unknown"]]
    # Outlines of the blocks cut whose outputs the stores have: the embeddings and block 0.
    assert [len(axes.patches) for axes in rows] == [1, 1, 0, 0]
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == list(dict.fromkeys(NAMES[1:]))
    ticks = [label.get_text() for label in figure.axes[8 + 2 * 3].get_xticklabels()]
    assert ticks == ["0-0", "1-1", "unknown"]


@pytest.mark.slow
def test_columns_are_the_widest_cuts_of_every_name(many):
    model = one_model(many, "m")
    assert shown_conditions(model) == [0, 1, 2, 4]
    titles = [plain(axes.get_title()).split(" accuracy")[0] for axes in plot_trajectories(model).axes[:4]]
    assert titles == ["baseline", "Early cut", "patch cut, layers 0–0", "image-question cut, layers 1–1"]
    few = model.isel(condition=[0, 3, 5])
    assert shown_conditions(few) == [0, 1, 2]
    titles = [plain(axes.get_title()).split(" accuracy")[0] for axes in plot_knockout(few).axes[:2]]
    assert titles == ["patch cut, layers 1–1", "heads off"]


@pytest.mark.slow
def test_the_page_knows_every_condition(many):
    page = for_page(many)
    assert page["condition"].values.tolist() == [
        *("baseline", "image-question@0-0", "patch@0-0", "patch@1-1", "image-question@1-1", "heads off"),
    ]
    block = json.loads(data_block(page))
    labels = {name: name for name in dict.fromkeys(NAMES[1:])}
    assert block["labels"]["edges"] == labels
    assert block["labels"]["window_name"] == {"": "unknown"}
    assert set(block["variables"]["edges"]["words"]) == {"", *labels}
    assert block["labels"]["condition"]["heads off"] == "heads off"


@pytest.mark.slow
@pytest.mark.parametrize(("place", "name", "window"), [(2, "patch", "0-0"), (5, "heads off", "unknown")])
def test_one_condition_without_edges_is_drawn(estimates, place, name, window):
    model = one_model(add_metrics(estimates.isel(condition=[0, place])), "m")
    assert edge_labels(model) == {name: name}
    figure = plot_windows(model)
    assert plain(figure.axes[0].get_ylabel()) == f"{name} in blocks"
    assert texts(figure.axes[0]) == [window]
    assert not figure.legends


def test_results_that_do_not_say_what_was_cut_are_drawn_by_names_of_conditions():
    """As earlier versions wrote them."""
    study = add_metrics(planted({"one": 4}, cuts={"all": (0.0, 1.0), "0-1": (0.0, 0.3)}, replicates=50))
    old = study.assign_coords(edges=("condition", ["", "", "image-question"]), window=("condition", ["", "", "0-1"]))
    assert cut_names(old) == ["", "image-question@all", "image-question"]
    model = one_model(old, "one")
    rows = [plain(axes.get_ylabel()) for axes in plot_windows(model).axes[:6:3]]  # three tasks
    assert rows == ["image-question@all in blocks", "image-question in blocks"]
    assert "ρ not available" in plot_associations(model).axes[0].get_title()
    assert for_page(old)["edges"].values.tolist() == ["", "image-question", "image-question@all"]
    assert cut_names(study.drop_vars("edges")) == ["", *study["condition"].values[1:]]
