"""The sentences of the page follow the numbers, and numbers are written for readers."""

import numpy as np
import pytest
import xarray as xr

from pid_jax.decompose.result import ATOMS
from pid_jax.plot.quantities import default_measure
from pid_jax.report.findings import judge
from pid_jax.report.formats import counted, interval, joined, number, percent, value_range, with_unit
from pid_jax.report.summary import accuracy_sentence, summarize
from tests.small_study import BITS, VISION, set_vision, small_study


@pytest.fixture
def results() -> xr.Dataset:
    return small_study()


def sentence(study: xr.Dataset, start: str) -> str:
    said = dict(summarize(study)[0].sentences)
    return next(text for title, text in said.items() if title.startswith(start)).replace("\u00a0", " ")


@pytest.mark.parametrize(
    ("bits", "text"),
    [
        (VISION["baseline"], "falls below a tenth of its first value and stays there in what (from layer 2 of 4)"),
        ([5.2, 0.2, 3.0, 2.0, 2.0], "does not stay there in what (layer 1)"),
        ([5.2, 5.0, 4.0, 3.0, 2.0], "does not fall below a tenth of its first value in what"),
        ([0.09, 0.05, 0.0, 0.0, 0.0], "too little at the first layer to speak of a decay in what"),
        ([5.2, 2.0, np.nan, 2.0, 2.0], "whether it falls for good is not known, in what"),
        ([np.nan, 2.0, 1.0, 0.5, 0.0], "nothing is said about a decay"),
    ],
)
def test_decay_is_worded_as_the_baseline_goes(results, bits, text):
    set_vision(results, 0, bits)
    assert text in sentence(results, "Only vision")


def test_amounts_come_with_their_intervals(results):
    text = sentence(results, "Only vision")
    assert "In what, where it is largest, 5.20 bits (5.17 to 5.23) are unique to vision at the first layer" in text
    assert "Over the 2 tasks: 2.60 to 5.20 bits at the first layer, 0.00 bits at the last" in text


@pytest.mark.parametrize(
    ("after", "verdict", "layer"),
    [
        (VISION["all"], "kept", 4),
        (VISION["early"], "released", 1),
        ([2.0, 0.85, 0.3, 0.01, 0.0], "lowered", 0),
        ([5.2, 0.85, 0.3, 0.01, -2.0], "lowered", 4),
        ([5.2, 0.86, 0.35, 0.02, 0.0], "little", 2),
        ([5.2, 5.0, 5.0, 5.0, np.nan], "unknown", 4),
    ],
)
def test_cuts_are_judged_by_the_numbers(after, verdict, layer):
    assert judge(np.array(VISION["baseline"]), np.array(after), 0.5) == (verdict, layer)


def test_a_surplus_over_a_baseline_that_lost_nothing_is_not_called_trapped(results):
    set_vision(results, 0, [3.0] * 5)
    set_vision(results, 1, [3.0, 3.5, 4.0, 4.5, 5.0])
    set_vision(results, 2, [3.0] * 5)
    text = sentence(results, "Cutting")
    assert "2 raise it at the last layer" in text
    assert "2 change little" in text
    assert "which is no trapping" in text
    assert "trapped" not in text


def test_cuts_are_counted_and_the_largest_is_named(results):
    text = sentence(results, "Cutting")
    assert text.startswith("Of 4 cuts (2 conditions, 2 tasks), 2 leave noticeably more unique to vision")
    assert "2 leave more unique to vision at some layer, but no longer at the last one" in text
    assert "with “Image-Question cut, all” in what, 5.00 bits are unique to vision at layer 4, against 0.00" in text
    assert "The intervals of the two do not overlap" in text
    results["unique_1_lower"] -= 9.0
    assert "overlap, or one is missing: the difference may be due to chance" in sentence(results, "Cutting")


@pytest.mark.parametrize(
    ("accuracy", "text"),
    [
        (0.986, "falls by more than two standard errors with 0 of 1 cut and rises so with 0."),
        (0.980, "falls by more than two standard errors with 0 of 1 cut"),
        (0.8, "The largest fall is from 98.6 % to 80.0 %, with “cut” in what."),
        (0.2, "from 98.6 % to 20.0 %, with “cut” in what, no better than always giving the most frequent answer."),
        (0.999, "with 0 of 1 cut and rises so with 1."),
        (np.nan, "It is not available."),
    ],
)
def test_accuracy_is_worded_as_the_numbers_go(results, accuracy, text):
    results = results.isel(task=[0], condition=[0, 1]).assign_coords(condition_label=("condition", ["Baseline", "cut"]))
    results["accuracy"][0, 0] = [0.986, accuracy]
    cuts = summarize(results)[0].tasks[0]["cuts"]
    assert text in accuracy_sentence(cuts).replace("\u00a0", " ")


def test_shares_at_the_last_layer_are_told(results):
    end = {"model": 0, "condition": 0, "layer": -1}
    for atom, bits in zip(ATOMS, (5.7, 0.0, 3.0, 0.65), strict=True):
        results[atom][end | {"measure": 0}] = bits / BITS
    results["i_12"][end] = 9.35 / BITS
    text = sentence(results, "At the last layer")
    assert text.startswith(
        "Of 9.35 bits in all, 61 % can be had from either source (redundant), 0 % only from vision, 32 %"
    )
    assert "estimation error" not in text
    results["unique_1"][end | {"measure": 0}] = -0.2
    assert "A share below zero is estimation error" in sentence(results, "At the last layer")
    results["i_12"][end] = 0.0
    assert "The division of the total is not available" in sentence(results, "At the last layer")


@pytest.mark.parametrize(
    ("found", "text"),
    [
        (number(-0.001), "0.00"),
        (number(-1.5, 1), "−1.5"),
        (number(np.nan), "–"),
        (percent(0.986), "98.6\u00a0%"),
        (with_unit(1 / BITS, "nats"), "1.00 bits"),
        (with_unit(3.0, "layer"), "3"),
        (with_unit(0.5, "1"), "0.500"),
        (interval(0.1 / BITS, 0.2 / BITS, "nats"), "0.10 to 0.20"),
        (interval(np.nan, 1.0, "1"), ""),
        (value_range([0.1, 0.3, np.nan]), "0.10 to 0.30"),
        (value_range([0.1, 0.1001]), "0.10"),
        (joined(["a", "b", "c"]), "a, b and c"),
        (counted(1, "cut"), "1 cut"),
        (counted(2, "cut"), "2 cuts"),
    ],
)
def test_numbers_are_written_for_readers(found, text):
    assert found == text


def test_the_measure_of_the_summary_is_the_one_that_metrics_are_about(results):
    assert default_measure(results) == "broja"
    swapped = results.isel(measure=[1, 0])
    assert default_measure(swapped) == "mmi"
    assert sentence(swapped, "Only vision") == sentence(results.sel(measure=["mmi"]), "Only vision")
