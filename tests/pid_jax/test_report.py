"""The page: its words follow the numbers, it escapes what it is given, and it asks nothing from the network."""

import base64
import csv
import io
import itertools
import json
import math
import re
from html.parser import HTMLParser

import numpy as np
import pytest
import xarray as xr

from pid_jax.report.page import _spans, write_report

ATOMS = ("redundancy", "unique_1", "unique_2", "synergy")
BITS = 1.0 / math.log(2.0)
VISION = {
    "baseline": [5.2, 0.85, 0.3, 0.01, 0.0],
    "all": [4.8, 5.1, 4.9, 4.9, 5.0],
    "early": [4.9, 5.2, 1.1, 0.17, 0.0],
}
LANGUAGE, REDUNDANCY, SYNERGY = [1.0, 1.3, 2.1, 2.8, 3.0], [0.2, 4.9, 5.2, 5.5, 5.7], [0.6, 0.5, 0.5, 0.7, 0.65]
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


CELL = ("task", "condition", "measure", "layer")
NATS = {"units": "nats"}
ATTRIBUTES = {
    "source_1_label": "vision",
    "source_2_label": "language",
    "target_label": "final state",
    "model": "small LLaVA",
    "dataset": "easy-vqa",
    "settings": json.dumps({"reduce": {"dims": [12, 8], "copula": True}, "steps": [{"seed": 41}], "none": None}),
    "versions": json.dumps({"jax": "0.9.2"}),
}


def information() -> dict[str, tuple]:
    values = {atom: np.empty((2, 3, 2, 5)) for atom in ATOMS}
    for task, (condition, vision) in itertools.product(range(2), enumerate(VISION.values())):
        broja = np.array([REDUNDANCY, vision, LANGUAGE, SYNERGY]) / (1.0 + task)
        for place, shift in enumerate((0.0, np.minimum(broja[1], broja[2]))):
            for atom, row, sign in zip(ATOMS, broja, (1.0, -1.0, -1.0, 1.0), strict=True):
                values[atom][task, condition, place] = (row + sign * shift) / BITS
    redundancy, unique_1, unique_2, synergy = (values[atom][:, :, 0] for atom in ATOMS)
    sums = {"i_1": redundancy + unique_1, "i_2": redundancy + unique_2}
    sums["i_12"] = sums["i_1"] + unique_2 + synergy
    return {name: (CELL, array, NATS) for name, array in values.items()} | {
        name: (("task", "condition", "layer"), array, NATS) for name, array in sums.items()
    }


@pytest.fixture
def results() -> xr.Dataset:
    gap = np.full((2, 3, 2, 5), np.nan)
    gap[:, :, 0] = -3.2e-14
    explained = (("task", "condition", "layer"), np.full((2, 3, 5), 0.9))
    flags = {"flag_values": [0, 1], "flag_meanings": "ok singular_target"}
    return xr.Dataset(
        {
            **information(),
            **{f"explained_variance_{name}": explained for name in ("1", "2", "target")},
            "status": (CELL, np.zeros(gap.shape, dtype=int), flags),
            "gap": (CELL, gap, NATS),
            "accuracy": (("task", "condition"), [[0.986, 0.986, 0.984], [0.991, 0.842, 0.93]]),
            "n_samples": ("task", [1000, 973]),
            "answer_entropy": ("task", [1.6 / BITS, 1.0 / BITS], NATS),
            "majority_rate": ("task", [0.22, 0.51]),
        },
        coords={
            "task": ["what", "yes-no"],
            "condition": ["baseline", "image-question@all", "image-question@0-2"],
            "measure": ["broja", "mmi"],
            "layer": [0, 2, 4, 6, 8],
            "condition_label": ("condition", ["Baseline", "Cut everywhere", "Cut early"]),
            "cut_first": ("condition", [-1, 0, 0]),
            "cut_last": ("condition", [-1, 7, 2]),
        },
        attrs=ATTRIBUTES,
    )


class Page(HTMLParser):
    """Every element and the text without markup."""

    def __init__(self, source: str):
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.pieces: list[str] = []
        self.feed(source)
        self.text = re.sub(r"\s+", " ", " ".join(self.pieces)).replace(" .", ".").replace(" ,", ",")

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.pieces.append(data)


@pytest.fixture
def render(tmp_path):
    image = tmp_path / "trajectories.png"
    image.write_bytes(PNG)

    def write(results, figures=None):
        figures = {"trajectories": image} if figures is None else figures
        return Page(write_report(results, figures, tmp_path / "page.html").read_text(encoding="utf-8"))

    return write


def set_vision(results, condition, bits):
    results["unique_1"][0, condition, 0] = np.array(bits) / BITS


def test_page_holds_numbers_settings_and_versions(render, results):
    text = render(results).text
    for piece in (
        "5.200",
        "0.850",
        "973",
        "22.0 %",
        "84.2 %",
        "3.2e-14 nats",
        "small LLaVA",
        "easy-vqa",
        "final state",
    ):
        assert piece in text, piece
    for row in ("reduce.dims [12, 8]", "reduce.copula true", "steps[0].seed 41", "none null", "jax 0.9.2"):
        assert row in text, row


def test_nothing_is_loaded_from_elsewhere(render, results):
    elements = render(results).elements
    for tag, attributes in elements:
        assert tag not in {"script", "iframe", "object", "embed", "base", "form"}
        assert not {"srcset", "action", "poster", "background"} & set(attributes)
        for name in ("src", "href"):
            target = attributes.get(name)
            assert target is None or target.startswith(("data:", "#")) or (tag == "a" and name == "href"), (tag, target)
    (policy,) = [a["content"] for t, a in elements if a.get("http-equiv") == "Content-Security-Policy"]
    assert policy.startswith("default-src 'none'")


def test_figures_are_embedded_numbered_and_described(render, results):
    page = render(results)
    (image,) = [attributes for tag, attributes in page.elements if tag == "img"]
    assert base64.b64decode(image["src"].removeprefix("data:image/png;base64,")) == PNG
    assert image["alt"].startswith("Figure 1. The four atoms")
    assert "Figure 1." in page.text


def test_csv_holds_every_cell_in_nats(render, results):
    (link,) = [a["href"] for _, a in render(results).elements if "download" in a]
    rows = list(csv.DictReader(io.StringIO(base64.b64decode(link.partition("base64,")[2]).decode())))
    assert len(rows) == 2 * 3 * 2 * 5
    row = next(r for r in rows if (r["task"], r["condition"], r["layer"]) == ("yes-no", "image-question@all", "8"))
    assert float(row["unique_1_nats"]) == pytest.approx(2.5 / BITS)
    assert float(row["accuracy"]) == 0.842


@pytest.mark.parametrize(
    ("bits", "sentence"),
    [
        (VISION["baseline"], "5.20 bits at layer 0, 0.00 bits at layer 8. From layer 4 on it stays below a tenth"),
        ([5.2, 0.1, 3.0, 3.0, 3.0], "It falls below a tenth of its first value at layer 2, but does not stay there"),
        ([5.2, 5.2, 5.2, 5.2, 5.2], "It does not fall below a tenth"),
        ([0.02, 0.0, 0.0, 0.0, 0.0], "too little at the start to speak of a decay"),
        ([5.2, 5.0, np.nan, 5.0, 5.0], "Some layers could not be estimated"),
        ([5.2, 5.0, 4.0, 5.0, np.nan], "nothing is said about a decay"),
    ],
)
def test_decay_is_worded_as_the_baseline_goes(render, results, bits, sentence):
    set_vision(results, 0, bits)
    assert sentence in render(results).text.partition("Task “yes-no”")[0]


@pytest.mark.parametrize(
    ("bits", "sentence"),
    [
        (VISION["all"], "at the last layer 5.00 bits are unique to vision, against 0.00 bits in the baseline."),
        (VISION["all"], "It is trapped"),
        (VISION["early"], "at layer 2, where the surplus is largest, 5.20 bits are unique to vision, against 0.85"),
        (VISION["early"], "trapped only for a while"),
        ([2.0, 0.85, 0.3, 0.01, 0.0], "less than without the cut, so nothing is trapped there"),
        ([5.2, 0.86, 0.35, 0.02, 0.0], "little change. At layer 4, where the two differ most, 0.35 bits"),
        ([5.2, 5.0, 5.0, 5.0, np.nan], "no estimate at the last layer"),
    ],
)
def test_effect_of_a_cut_is_worded_as_the_numbers_go(render, results, bits, sentence):
    set_vision(results, 1, bits)
    of_cut = render(results).text.partition("Cut everywhere:")[2].partition("Cut early:")[0]
    assert sentence.lower() in of_cut.lower()
    assert ("trapped" in of_cut.replace("nothing is trapped", "")) == (bits in (VISION["all"], VISION["early"]))


def test_a_surplus_over_a_baseline_that_lost_nothing_is_not_called_trapped(render, results):
    set_vision(results, 0, [3.0] * 5)
    set_vision(results, 1, [3.0, 3.5, 4.0, 4.5, 5.0])
    of_cut = render(results).text.partition("Cut everywhere:")[2].partition("Cut early:")[0]
    assert "an increase rather than trapping" in of_cut
    assert "trapped" not in of_cut


@pytest.mark.parametrize(
    ("accuracy", "sentence"),
    [
        (0.986, "Accuracy stays at 98.6 %."),
        (0.980, "Accuracy goes from 98.6 % to 98.0 %, a change within two standard errors."),
        (0.8, "Accuracy falls from 98.6 % to 80.0 %."),
        (0.2, "no better than always giving the most frequent answer (22.0 %)"),
        (0.999, "Accuracy rises from 98.6 % to 99.9 %."),
        (np.nan, "Accuracy is not available."),
    ],
)
def test_accuracy_is_worded_as_the_numbers_go(render, results, accuracy, sentence):
    results["accuracy"][0, 1] = accuracy
    assert sentence in render(results).text.partition("Cut early:")[0]


def test_shares_at_the_last_layer_are_told(render, results):
    assert "of 9.35 bits in all, 61 % can be had from either source" in render(results).text
    results["i_12"][0, 0, -1] = 0.0
    assert "the division of the total is not available" in render(results).text


def test_intervals_are_told_or_their_absence(render, results):
    assert "No intervals were computed" in render(results).text
    for atom in ATOMS:
        results[f"{atom}_lower"], results[f"{atom}_upper"] = results[atom] - 0.1, results[atom] + 0.1
    results.attrs |= {"interval_level": 0.9, "interval_kind": "parametric bootstrap"}
    text = render(results).text
    assert "No intervals" not in text
    assert "Intervals: 90 %, parametric bootstrap." in text
    assert "Bands: 90 % intervals, parametric bootstrap." in text
    assert "The 90 % intervals of the two values do not overlap." in text
    assert "overlap, or one is missing" not in text
    results["unique_1_lower"] -= 9.0
    assert "overlap, or one is missing: the difference may be due to chance" in render(results).text


def test_tests_are_told_layer_by_layer(render, results):
    assert "step-down" not in render(results).text
    dims = ("task", "condition", "quantity", "layer")
    values = np.zeros((2, 3, 2, 5))
    values[0, 1, 0] = [0.0, 1.0, 2.0, 0.5, 0.0]
    p_value = np.where(values > 0, 0.01, 0.8)
    results = results.assign(
        difference=(dims, values / BITS, NATS),
        difference_lower=(dims, (values - 0.25) / BITS, NATS),
        difference_upper=(dims, (values + 0.25) / BITS, NATS),
        difference_family_wise=(dims, p_value),
        added_family_wise=(
            ("task", "condition", "source", "layer"),
            np.where(np.arange(5) < 3, 0.02, 0.2) + np.zeros((2, 3, 2, 1)),
        ),
    ).assign_coords(quantity=["unique_1", "i_12"], source=["source_1", "source_2"])
    results.attrs |= {"tested_by": "Copula", "tested_level": "0.95", "tested_measure": "broja"}
    page = render(results)
    (uri,) = [attributes["href"] for tag, attributes in page.elements if attributes.get("download") == "pid_tests.csv"]
    rows = list(csv.DictReader(io.StringIO(base64.b64decode(uri.split(",")[1]).decode())))
    assert len(rows) == 2 * 3 * 2 * 5
    assert max(float(row["difference_nats"]) for row in rows) == pytest.approx(2.0 / BITS)
    text = page.text
    assert "Behind the rank copula" in text
    assert "Unique: vision 2.00 (1.75 to 2.25) 4 2, 4, 6" in text
    assert "I₁₂ 0.00 (−0.25 to 0.25) 0 none" in text
    assert "Baseline 0, 2, 4 0, 2, 4" in text


@pytest.mark.parametrize(("numbers", "text"), [([0, 1, 2, 5], "0–2, 5"), ([], "none"), ([3], "3")])
def test_layers_are_written_as_spans(numbers, text):
    assert _spans(numbers) == text


def test_failures_are_listed_with_their_meaning(render, results):
    assert "Estimates that failed: 0 of 60" in render(results).text
    for atom in ATOMS:
        results[atom][1, 2, 0, 3] = np.nan
    results["status"][1, 2, 0, 3] = 1
    text = render(results).text
    assert "Estimates that failed: 1 of 60" in text
    assert re.search(r"yes-no\s+image-question@0-2\s+broja\s+6\s+singular_target", text)
    assert "nan" not in text.lower()


def test_only_the_baseline_and_one_measure(render, results):
    text = render(results.isel(condition=[0]).sel(measure=["mmi"]), figures={}).text
    for piece in ("No cut of attention was studied", "The values below are MMI estimates", "No figures were made"):
        assert piece in text
    assert "not compared here" in text
    assert "trapped" not in text


def test_hostile_labels_are_text(render, results):
    attack = "<script>alert('x')</script>\"><img src=http://evil.example/a.png>"
    results.attrs |= dict.fromkeys(("source_1_label", "target_label", "model", "dataset"), attack)
    results.attrs["settings"] = json.dumps({attack: attack})
    results = results.assign_coords(task=[attack, "b"], condition_label=("condition", [attack, attack, attack]))
    page = render(results)
    assert not [tag for tag, _ in page.elements if tag == "script"]
    assert len([tag for tag, _ in page.elements if tag == "img"]) == 1
    assert attack in page.text


@pytest.mark.parametrize("text", ["[1]", "not json"])
def test_settings_must_be_a_json_object(render, results, text):
    results.attrs["settings"] = text
    with pytest.raises(ValueError, match="'settings' must be a JSON object"):
        render(results)


def test_errors_leave_the_old_page(render, results, tmp_path):
    (tmp_path / "page.html").write_text("old")
    with pytest.raises(ValueError, match="explained_variance_target"):
        render(results.drop_vars("explained_variance_target"))
    with pytest.raises(ValueError, match="figures must be"):
        render(results, {"notes": tmp_path / "notes.txt"})
    assert (tmp_path / "page.html").read_text() == "old"
    assert {file.name for file in tmp_path.iterdir()} == {"page.html", "trajectories.png"}
