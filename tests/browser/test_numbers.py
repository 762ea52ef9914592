"""Numbers that the page shows are those of the dataset: each is computed again here, in another way."""

import math
import re

import numpy as np
import pytest

from tests.browser.browsers import draw_all, open_page

pytestmark = pytest.mark.slow

BITS = 1 / math.log(2)
BASELINE = {"condition": "baseline", "measure": "broja"}


@pytest.fixture(scope="module")
def page(browser, full):
    with open_page(browser, full) as opened:
        draw_all(opened)
        yield opened


def numbers(text: str) -> list[float]:
    """Read numbers with true minus signs; hyphens stand between words."""
    return [float(found.replace("−", "-")) for found in re.findall(r"(?<![\w.-])−?\d+(?:\.\d+)?", text)]


def traces(page, chart: str) -> list[dict]:
    """Lines, bars and heat maps of a chart; bands have no name."""
    return page.evaluate(
        """id => document.querySelector(`#chart-${id} .plot`).data.map((one) => ({
        name: one.name, customdata: one.customdata, panel: one.yaxis ?? 'y', x: one.x && [...one.x],
        y: one.y && [...one.y], z: one.z && one.z.map((row) => [...row]) }))""",
        chart,
    )


def named(page, chart: str, name: str, panel: str = "y") -> dict:
    return next(one for one in traces(page, chart) if one["name"] == name and one["panel"] == panel)


def row(page, table: str, *words: str) -> list[str]:
    """Cells of the first row of a table that holds some words."""
    rows = page.locator(f"{table} tbody tr").evaluate_all("all => all.map(r => [...r.cells].map(c => c.textContent))")
    return next(cells for cells in rows if all(any(word in cell for cell in cells) for word in words))


@pytest.mark.parametrize("model", ["eight", "six"])
@pytest.mark.parametrize("task", ["ChooseAttr", "LogicalObj"])
def test_summary(page, results, model, task):
    cell = results.sel(BASELINE | {"model": model, "task": task})
    last = cell.sel(layer=int(cell.last_layer))
    own = page.locator(".glance").nth(["eight", "six"].index(model)).locator("tr", has_text=task).inner_text()
    first = [cell[f"unique_1{end}"].sel(layer=0).item() * BITS for end in ("", "_lower", "_upper")]
    ends = [last[f"unique_1{end}"].item() * BITS for end in ("", "_lower", "_upper")]
    shares = [100 * (last[a] / last["i_12"]).item() for a in ("redundancy", "unique_1", "unique_2", "synergy")]
    shown = numbers(own.replace(task, ""))
    assert shown[:6] == pytest.approx([*first, *ends], abs=0.0051)
    assert shown[6:10] == pytest.approx(shares, abs=0.51)
    assert shown[10] == pytest.approx(100 * cell["accuracy"].item(), abs=0.051)


def test_sentences(page, results):
    atoms = results.sel(BASELINE | {"model": "six"})
    first = atoms["unique_1"].sel(layer=0) * BITS
    text = page.locator("#summary li", has_text="bits at the first layer").last.inner_text()
    assert f"{first.max().item():.2f} bits" in text
    assert f"{first.min().item():.2f} to {first.max().item():.2f} bits at the first layer" in text
    for task in results.task.values:
        own = atoms["unique_1"].sel(task=task).values[:7]
        fallen = next(layer for layer in range(7) if (own[layer:] < own[0] / 10).all())
        assert f"{task} (from layer {fallen} of 6)" in text


def test_verdicts(page, results):
    for place, claim in enumerate(results.claim.values):
        for own, model in enumerate(results.model.values):
            cell = results.sel(model=model, claim=claim)
            cells = page.locator("#claims tbody").nth(place).locator("tr").nth(1 + own).locator("td").all_inner_texts()
            wanted = [cell[f"claim_{end}"].item() for end in ("value", "lower", "upper")]
            assert numbers(cells[2]) == pytest.approx(wanted, abs=0.00051)
            assert cell["verdict"].item() in cells[1]
            assert numbers(cells[4])[0] == (cell["universe_verdict"].values[1:] == cell["verdict"].item()).sum()
            assert numbers(cells[5]) == [cell["by_measure_count"].item(), cell["by_measure_total"].item()]


def test_trajectories(page, results):
    cell = results.sel(model="eight", task="ChooseAttr", measure="broja")
    for name, condition in (("Baseline", "baseline"), ("Image-Question cut, 0-2", "image-question@0-2")):
        for panel, atom in (("y", "unique_1"), ("y2", "unique_2"), ("y3", "redundancy"), ("y4", "synergy")):
            shown = named(page, "trajectories", name, panel)["y"]
            assert shown == pytest.approx((cell[atom].sel(condition=condition) * BITS).values, abs=1e-5)


def test_shares(page, results):
    cell = results.sel(BASELINE | {"model": "eight", "task": "LogicalObj"})
    shown = named(page, "shares", "Redundant", "y3")["y"]
    assert shown == pytest.approx((100 * cell["redundancy"] / cell["i_12"]).values, rel=1e-4)


def test_ranges_of_chance(page, results):
    cell = results.sel(model="six", task="ChooseCat", share="redundancy")
    low, high = (100 * cell[f"chance_share_{end}"].values for end in ("lower", "upper"))
    own = traces(page, "fingerprints")[0]
    assert own["name"] == "Redundant"
    place = list(np.ndindex(2, results.sizes["task"])).index((1, list(results.task.values).index("ChooseCat")))
    text = own["customdata"][place].partition("random systems: ")[2]
    assert numbers(text) == pytest.approx([low[6], high[6]], abs=0.051)  # at the last layer
    eight = results.sel(model="eight", task="LogicalObj", share="redundancy")
    text = named(page, "shares", "Redundant", "y3")["customdata"][2].partition("random systems: ")[2]
    wanted = [100 * eight[f"chance_share_{end}"].values[2] for end in ("lower", "upper")]
    assert numbers(text) == pytest.approx(wanted, abs=0.051)


def test_models(page, results):
    cell = results.sel(BASELINE | {"model": "six", "task": "ChooseAttr"}).isel(layer=slice(0, 7))
    shown = named(page, "models", "six")
    assert shown["y"][:7] == pytest.approx((cell["unique_1"] * BITS).values, abs=1e-5)
    assert shown["x"][:7] == pytest.approx(np.arange(7) / 6)


def test_matrices_and_bars(page, results):
    z = traces(page, "tasks")[0]["z"]
    wanted = results["task_correlation"].sel(model="eight", atom="all").values
    assert np.allclose(z, wanted, rtol=1e-6)
    assert np.allclose(traces(page, "distances")[0]["z"], results["fingerprint_distance"].values, rtol=1e-6)
    bars = named(page, "fingerprints", "Synergistic")["x"]
    wanted = 100 * results["fingerprint"].sel(point="last", share="synergy").values.ravel()
    assert bars == pytest.approx(wanted, rel=1e-5)


def test_knockouts(page, results):
    z = traces(page, "windows")[0]["z"]
    cell = (
        results["difference"].sel(model="eight", task="ChooseAttr", quantity="unique_1").isel(condition=slice(1, None))
    )
    assert np.allclose(z, cell.transpose("condition", "layer").values * BITS, atol=1e-5)
    dots = traces(page, "windows")[1]
    significant = results["difference_family_wise"].sel(model="eight", task="ChooseAttr", quantity="unique_1") <= 0.05
    assert len(dots["x"]) == int(significant.sum())
    effect = results["effect"].sel(model="eight", task="ChooseCat", effect_name="trapped_vision").values[1:] * BITS
    assert named(page, "effects", "ChooseCat")["x"] == pytest.approx(effect, rel=1e-5)
    own = results["association"].sel(model="eight", effect_name="trapped_vision", property="redundancy")
    assert named(page, "associations", "redundancy")["x"] == pytest.approx(own.values.ravel(), rel=1e-5)


def test_universes_and_spectra(page, results):
    wanted = results["universe_value"].sel(model="six", claim="vision_early").values
    assert named(page, "universes", "six")["x"] == pytest.approx(wanted, rel=1e-5)
    cell = results["spectrum_1"].sel(model="eight", task="ChooseAttr", condition="baseline")
    assert np.allclose(traces(page, "spectra")[0]["z"], cell.transpose("direction", "layer").values * BITS, atol=1e-5)


def test_tables(page, results):
    cells = row(page, "#table-metrics", results["metric_label"].sel(metric_name="decay").item())
    for place, task in enumerate(results.task.values):
        cell = results.sel(model="eight", task=task, metric_name="decay")
        wanted = [cell[f"metric{end}"].item() for end in ("", "_lower", "_upper")]
        assert numbers(cells[1 + place]) == pytest.approx(wanted, abs=0.00051)
    cells = row(page, "#table-model-correlation", "eight and six", "ChooseCat")
    order = ["all", "redundancy", "unique_1", "unique_2", "synergy"]
    own = results["model_correlation"].sel(model="eight", model_2="six", task="ChooseCat", atom=order).values
    assert [numbers(cell)[0] for cell in cells[2:]] == pytest.approx(own.tolist(), abs=0.00051)
    difference = results["difference"].sel(
        model="eight", task="ChooseAttr", quantity="unique_1", condition="image-question@all"
    )
    most = abs(difference).argmax("layer").item()
    cells = row(page, "#table-changed", "cut, all")
    assert numbers(cells[1])[0] == pytest.approx(difference.values[most] * BITS, abs=0.00051)
    assert int(cells[2]) == most
    assert numbers(" ".join(row(page, "#tasks .samples", "six", "LogicalObj")[2:])) == [1000, 1, 51]
    shown = page.locator("#tasks .accuracy").nth(1).locator("tbody tr").all_inner_texts()
    labels, accuracies = results["condition_label"].values, results["accuracy"].sel(model="six").values.T
    for text, label, accuracy in zip(shown, labels, accuracies, strict=True):
        assert text.startswith(label)
        assert numbers(text.removeprefix(label)) == pytest.approx(100 * accuracy, abs=0.051)


def test_explorer(page, results):
    rows = page.locator("#table-explorer tbody tr").evaluate_all(
        "all => all.map(r => [...r.cells].map(c => c.textContent))"
    )
    for model, task, condition, measure, layer, *values in rows:
        cell = results.sel(model=model, task=task, condition=condition, measure=measure, layer=int(layer))
        wanted = [cell[f"unique_1{end}"].item() for end in ("", "_lower", "_upper")]
        assert [numbers(value)[0] for value in values] == pytest.approx(wanted, rel=1e-5, abs=1e-6)
    assert len(rows) == 25
