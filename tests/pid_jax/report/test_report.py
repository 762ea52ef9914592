"""The page: its words follow the numbers, it escapes what it is given, and it asks nothing from the network."""

import base64
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import pid_jax.report
from pid_jax.decompose.result import ATOMS
from pid_jax.report.data import data_block
from pid_jax.report.diagnostics import diagnostics, flatten
from pid_jax.report.page import SCRIPTS, write_report
from pid_jax.report.verdicts import claims, headline
from tests.small_study import small_study
from tests.study_metrics import with_made_up_metrics


@pytest.fixture
def results() -> xr.Dataset:
    return small_study()


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


def test_measures_are_explained_and_certified_that_the_study_has(results, render):
    both, one = (render(study).text for study in (results, results.sel(measure=["mmi"])))
    for words in ("BROJA counts as unique the least", "Certificate of BROJA: what it computes"):
        assert words in both
        assert words not in one
    for page in (both, one):
        assert "MMI sets the redundant part to the smaller of I₁ and I₂. This" in page
    assert "Certificate: not available." in one


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


def test_a_page_says_what_is_missing_of_a_study_that_goes_on(render, results):
    assert "not complete" not in render(results).text
    lines = ["information about the state", "the comparison with RealNVP()"]
    text = render(results.assign_attrs(missing=json.dumps(lines))).text
    assert "not complete: information about the state; the comparison with RealNVP() are still missing" in text


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


def test_intervals_are_told_or_their_absence(render, results):
    assert "Intervals are 90 % intervals: sampling of the covariance." in render(results).text
    kept = [name for name in results.data_vars if not str(name).endswith(("_lower", "_upper"))]
    text = render(results[kept]).text
    assert "No intervals were computed: how much the values would vary with other samples is not known." in text
    assert "90 % intervals" not in text


def test_claims_are_shown_as_they_were_judged(render, results):
    study = with_made_up_metrics(results)
    study["verdict"][0] = ["supported", "contradicted"] + ["supported", "not testable here"] * 4
    study["universe_verdict"][:, 0, 0] = ["supported"] * 4 + ["contradicted"] * 2
    study["claim_value"][0, 0], study["claim_lower"][0, 0], study["claim_upper"][0, 0] = 0.5, 0.4, np.nan
    (said,) = headline(study)
    about = "small: of 10 claims examined, by information about the state"
    assert said == f"{about}, 5 are supported, 1 is contradicted by the data and 4 are not testable here."
    row = claims(study)[0]["rows"][0]
    assert (row["symbol"], row["value"], row["interval"], row["others"]) == ("✓", "0.500", "", "3 of 5")
    text = render(study).text
    assert (
        "Of 10 claims of the paper, 5 are supported, 1 is contradicted by the data and 4 are not testable here." in text
    )
    assert "✗ contradicted" in text
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
    assert "Gaussian MMI, with the rank copula" in text
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
        claim_text=("claim", [attack] * study.sizes["claim"]),
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
    with pytest.raises(ValueError, match=r"'settings'.*JSON"):
        render(results)


def test_errors_leave_the_old_page(render, results, tmp_path):
    (tmp_path / "index.html").write_text("old")
    with pytest.raises(ValueError, match="'gap'"):
        render(results.drop_vars("gap"))
    with pytest.raises(ValueError, match="dimension 'model'"):
        render(results.isel(model=0))
    assert (tmp_path / "index.html").read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["index.html"]


def test_settings_are_rows_with_dotted_names():
    nested = {"reduce": {"dims": [12, 8], "copula": True}, "steps": [{"seed": 41}], "none": None}
    rows = [("reduce.dims", "[12, 8]"), ("reduce.copula", "true"), ("steps[0].seed", "41"), ("none", "null")]
    assert list(flatten(nested)) == rows
