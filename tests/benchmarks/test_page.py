"""The benchmark page is what the results in benchmarks/results say."""

import dataclasses
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from benchmarks.page import IMAGES, PAGE, make_page
from benchmarks.peers import peers_of
from benchmarks.plots import PLOTS, digest
from benchmarks.record import Measured, read_results


@pytest.fixture(scope="module")
def results() -> dict[str, Measured]:
    return read_results()


def test_page_is_made_from_the_results(results):
    assert PAGE.read_text() == make_page(results), "run python -m benchmarks.page"


@pytest.mark.parametrize("name", PLOTS)
def test_plots_are_made_from_the_results(results, name):
    assert digest(results) in (IMAGES / f"{name}.svg").read_text(), "run python -m benchmarks.page"


def test_every_file_of_results_has_its_command_and_date(results):
    text = PAGE.read_text()
    for found in results.values():
        row = next(line for line in text.splitlines() if f"results/{found.name}.md" in line)
        assert f"`{found.command}`" in row
        assert found.record["date"] in row


def test_new_results_get_a_row(results):
    more = dataclasses.replace(
        results["power"], name="more", record=results["power"].record | {"command": "python -m benchmarks.power"}
    )
    assert "| [more](../benchmarks/results/more.md) |" in make_page(results | {"more": more})


def test_ratios_beside_peers_are_those_of_the_results(results):
    found = {peer.label: peer.times for peer in peers_of(results)}
    flows = {row["library"]: row["CPU seconds"] for row in results["flow_speed"].table("99 flows")}
    assert found["99 flows of 33 layers, against zuko"] == pytest.approx(flows["pid_jax"] / flows["zuko"])
    (row,) = (r for r in results["gaussian"].table("BROJA") if (r["d"], r["problems"]) == (16, 33))
    assert found["BROJA of 33 problems, d = 16, against SciPy loop, one BLAS thread"] == row["ratio to that"]


def test_other_results_make_another_digest(results):
    row = results["scaling"].table("Layers")[0]
    tables = {"Layers": [{**row, "CPU ms": row["CPU ms"] + 1}]}
    changed = dataclasses.replace(results["scaling"], record={"tables": tables})
    assert digest(results) != digest(results | {"scaling": changed})


@pytest.mark.parametrize("name", PLOTS)
def test_plots_draw_every_number(results, name):
    figure = PLOTS[name](results)
    drawn = sum(np.size(line.get_xdata()) for axes in figure.axes for line in axes.lines)
    assert drawn >= {"peers": len(peers_of(results)), "scaling": 40, "accuracy": 36}[name]


@pytest.mark.parametrize("name", PLOTS)
def test_plots_are_valid_and_load_nothing(name):
    root = ET.parse(IMAGES / f"{name}.svg").getroot()
    links = [value for element in root.iter() for key, value in element.attrib.items() if key.endswith("href")]
    assert all(link.startswith(("#", "data:")) for link in links)
