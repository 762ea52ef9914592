"""The page: its words follow the numbers, it escapes what it is given, and it asks nothing from the network."""

import base64
import json
import math
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import pid_jax.report
from pid_jax.plot.quantities import default_measure
from pid_jax.report.data import data_block
from pid_jax.report.diagnostics import diagnostics, flatten
from pid_jax.report.findings import judge
from pid_jax.report.formats import counted, interval, joined, number, percent, spans, value_range, with_unit
from pid_jax.report.page import SCRIPTS, write_report
from pid_jax.report.summary import accuracy_sentence, summarize
from pid_jax.report.verdicts import claims, headline
from pid_jax.result import ATOMS
from tests.study_metrics import with_made_up_metrics
from tests.study_results import planted

BITS = 1.0 / math.log(2.0)
VISION = {
    "baseline": [5.2, 0.85, 0.3, 0.01, 0.0],
    "all": [4.8, 5.1, 4.9, 4.9, 5.0],
    "early": [4.9, 5.2, 1.1, 0.17, 0.0],
}
CUTS = {"all": (0.0, 1.0), "early": (0.0, 0.3)}


@pytest.fixture
def results() -> xr.Dataset:
    """One model with five layers, two tasks and two cuts."""
    study = planted({"small": 4}, ("what", "yes-no"), cuts=CUTS, replicates=2)
    for condition, vision in enumerate(VISION.values()):
        set_vision(study, condition, vision)
    return study


def set_vision(study: xr.Dataset, condition: int, bits: list[float]) -> None:
    for task in range(2):
        row = np.array(bits) / BITS / (1 + task)
        for end, shift in (("", 0.0), ("_lower", -0.02), ("_upper", 0.02)):
            study[f"unique_1{end}"][0, task, condition, 0] = row + shift


class Page(HTMLParser):
    """Every element, the scripts, and the text without markup."""

    def __init__(self, source: str):
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.pieces: list[str] = []
        self.scripts: dict[str, str] = {}
        self.inside = ""
        self.feed(source)
        self.text = re.sub(r"\s+", " ", " ".join(self.pieces)).replace(" .", ".").replace(" ,", ",")

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self.inside = (dict(attrs).get("id") or "code") if tag == "script" else tag if tag == "style" else self.inside

    def handle_endtag(self, tag):
        if tag in ("script", "style"):
            self.inside = ""

    def handle_data(self, data):
        if not self.inside:
            self.pieces.append(data)
        elif self.inside != "style":
            self.scripts[self.inside] = self.scripts.get(self.inside, "") + data


@pytest.fixture
def render(tmp_path):
    def make(study: xr.Dataset) -> Page:
        return Page(write_report(study, tmp_path / "index.html").read_text())

    return make


def sentence(study: xr.Dataset, start: str) -> str:
    said = dict(summarize(study)[0].sentences)
    return next(text for title, text in said.items() if title.startswith(start)).replace("\u00a0", " ")


def test_page_stands_alone(render, results):
    page = render(with_made_up_metrics(results))
    for tag, attributes in page.elements:
        assert "src" not in attributes
        if tag != "a":
            assert not (attributes.get("href") or "").startswith(("http", "//"))
    (policy,) = [a["content"] for _, a in page.elements if a.get("http-equiv") == "Content-Security-Policy"]
    assert policy.startswith("default-src 'none'")
    assert not re.search(r"connect-src|https?:", policy)
    targets = {a["href"][1:] for tag, a in page.elements if tag == "a" and a["href"].startswith("#")}
    assert targets <= {a.get("id") for _, a in page.elements}


def test_the_same_study_gives_the_same_bytes(results, tmp_path):
    study = with_made_up_metrics(results)
    pages = [write_report(study.copy(deep=True), tmp_path / f"{i}.html").read_bytes() for i in range(2)]
    assert pages[0] == pages[1]


def test_every_script_is_in_the_page():
    files = {file.stem for file in (Path(pid_jax.report.__file__).parent / "js").glob("*.js")}
    assert files == set(SCRIPTS)
    assert len(SCRIPTS) == len(files)


def test_data_block_holds_every_number(results):
    study = with_made_up_metrics(results)
    block = json.loads(data_block(study))
    names = {str(n) for n, v in study.variables.items() if "replicate" not in v.dims and n not in study.dims}
    assert set(block["variables"]) == names - {"findings"}
    for name in set(block["variables"]):
        values, held = study[name], block["variables"][name]
        assert held["dims"] == list(values.dims)
        if "floats" in held:
            found = np.frombuffer(base64.b64decode(held["floats"]), "<f4")
            np.testing.assert_array_equal(found, values.values.astype(np.float32).ravel())
        else:
            places = np.frombuffer(base64.b64decode(held["places"]), "<u4")
            assert [held["words"][p] for p in places] == values.values.astype(str).ravel().tolist()


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


def test_intervals_are_told_or_their_absence(render, results):
    assert "Intervals are 90 % intervals: sampling of the covariance." in render(results).text
    kept = [name for name in results.data_vars if not str(name).endswith(("_lower", "_upper"))]
    text = render(results[kept]).text
    assert "No intervals were computed: how much the values would vary with other samples is not known." in text
    assert "90 % intervals" not in text


def test_claims_are_shown_as_they_were_judged(render, results):
    study = with_made_up_metrics(results)
    study["verdict"][0] = ["supported", "supported", "not supported", "not testable here", "supported"]
    study["universe_verdict"][:, 0, 0] = ["supported"] * 4 + ["not supported"] * 2
    study["claim_value"][0, 0], study["claim_lower"][0, 0], study["claim_upper"][0, 0] = 0.5, 0.4, np.nan
    (said,) = headline(study)
    assert said == "small: of 5 claims examined, 3 are supported, 1 is not supported and 1 is not testable here."
    row = claims(study)[0]["rows"][0]
    assert (row["symbol"], row["value"], row["interval"], row["others"]) == ("✓", "0.500", "", "3 of 5")
    text = render(study).text
    assert said in text
    assert "✗ not supported" in text
    assert "Under 5 other choices" in text


def test_failures_stand_first_with_their_reasons(render, results):
    study = results.copy(deep=True)
    study["cell"][0, 1, 2], study["problem"][0, 1, 2] = "failed", "the states were lost"
    study["cell"][0, 1, 1], study["problem"][0, 1, 1] = "absent", "no such store"
    for atom in ATOMS:
        study[atom][0, 1, 1:] = np.nan
    study["status"][0, 1, 1:] = -1
    study["status"][0, 0, 1, 0, 3] = 3
    study.attrs["problems"] = json.dumps(["extra/: damaged"])
    found = diagnostics(study)
    assert found["cells"] == [["small", "yes-no", "Image-Question cut, early", "the states were lost"]]
    assert found["failures"] == [["small", "what", "Image-Question cut, all", "broja", "3", "INFINITE_INFORMATION"]]
    assert found["estimate_count"] == 40
    text = render(study).text
    for piece in (
        "Left out: extra/: damaged",
        "Not estimated: small, yes-no, Image-Question cut, early: the states were lost",
        "small, yes-no, Image-Question cut, all: no such store",
        "1 combination of model, task and condition could not be estimated",
        "3 warnings",
        "Of 3 cuts (2 conditions, 2 tasks), 1 leaves noticeably more",
        "1 lacks an estimate at the last layer",
    ):
        assert piece in text, piece
    assert "nan" not in re.sub(r"[A-Za-z]nan|nan[a-z]", "", text)


def test_a_model_without_estimates_is_said_so(render, results):
    results["cell"][:] = "failed"
    assert "No task of this model has a baseline that was estimated" in render(results).text


def test_findings_are_said_once_with_their_places(results):
    results["findings"][0, 0, 0] = json.dumps(["a sentence", "rare."])
    found = dict(diagnostics(results)["findings"])
    assert {key: len(places) for key, places in found.items()} == {"a sentence": 6, "rare": 1}
    assert found["rare"] == ["small, what, Baseline"]


def test_only_the_baseline_and_one_measure(render, results):
    text = render(results.isel(condition=[0]).sel(measure=["mmi"])).text
    assert "Values are MMI estimates" in text
    assert "None was studied, so nothing is said about what would happen without" in text
    assert "This study holds one model" in text


def test_hostile_labels_are_text(render, results):
    attack = "</script><script>alert('x')</script>\"><img src=http://evil.example/a.png>\u2028"
    study = with_made_up_metrics(results)
    kinds = [tag for tag, _ in render(study).elements]
    study.attrs |= dict.fromkeys(("source_1_label", "target_label", "dataset", "interval_kind"), attack)
    study.attrs |= {"settings": json.dumps({attack: attack}), "problems": json.dumps([attack])}
    study["reason"][:] = attack
    study["findings"][0, 0, 0] = json.dumps([attack])
    study = study.assign_coords(
        model=[attack],
        task=[attack, "b"],
        condition_label=("condition", [attack] * 3),
        claim_text=("claim", [attack] * 5),
    )
    page = render(study)
    assert [tag for tag, _ in page.elements].count("script") == kinds.count("script") == 3
    assert "img" not in {tag for tag, _ in page.elements}
    assert " ".join(attack.split()) in page.text
    block = json.loads(page.scripts["data"])
    assert block["dims"]["model"] == [attack]
    assert "</" not in page.scripts["data"]


@pytest.mark.parametrize("text", ["[1]", "not json"])
def test_settings_must_be_a_json_object(render, results, text):
    results.attrs["settings"] = text
    with pytest.raises(ValueError, match="'settings' must be a JSON object"):
        render(results)


def test_errors_leave_the_old_page(render, results, tmp_path):
    (tmp_path / "index.html").write_text("old")
    with pytest.raises(ValueError, match="must hold the variable 'gap'"):
        render(results.drop_vars("gap"))
    with pytest.raises(ValueError, match="dimension 'model'"):
        render(results.isel(model=0))
    assert (tmp_path / "index.html").read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["index.html"]


def test_settings_are_rows_with_dotted_names():
    nested = {"reduce": {"dims": [12, 8], "copula": True}, "steps": [{"seed": 41}], "none": None}
    rows = [("reduce.dims", "[12, 8]"), ("reduce.copula", "true"), ("steps[0].seed", "41"), ("none", "null")]
    assert list(flatten(nested)) == rows


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
        (spans([0, 1, 2, 5]), "0–2, 5"),
        (spans([]), "none"),
        (joined(["a", "b", "c"]), "a, b and c"),
        (counted(1, "cut"), "1 cut"),
        (counted(2, "cut"), "2 cuts"),
    ],
)
def test_numbers_are_written_for_readers(found, text):
    assert found == text


def test_the_measure_of_the_summary_is_the_default(results):
    assert default_measure(results) == "broja"
    swapped = results.isel(measure=[1, 0])
    assert sentence(swapped, "Only vision") == sentence(results, "Only vision")
