"""Examples of the guides run as they stand, links lead somewhere, and nothing is left out."""

import re
from fnmatch import fnmatch
from pathlib import Path

import pytest

import extraction
import pid_jax

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
GENERATED = ("_build", "auto_gallery", "results")  # by the build of the site
PAGES = [path for path in sorted(DOCS.rglob("*.md")) if path.relative_to(DOCS).parts[0] not in GENERATED]
GALLERY = sorted((DOCS / "gallery").glob("plot_*.py"))
EXAMPLE = re.compile(r"```python\n(.*?)```", re.DOTALL)
TOCTREE = re.compile(r"```\{toctree\}\n(.*?)```", re.DOTALL)
TITLED = re.compile(r".* <(.*)>")
AUTOMATIC = re.compile(r"^\.\. auto\w+:: ([\w.]+)$", re.MULTILINE)
SOURCE = re.compile(r"Source: (.*?)(?:\n\s*\n|\"\"\")", re.DOTALL)
# The last name in front of a year: "Ledoit & Wolf (2004)", "A. B. Barrett (2015)", "Butakov et al. (2024)".
CITED = re.compile(r"\b([A-Z][\w'-]+)(?: et al\.)? \(?(\d{4})\b")


def test_readme_example_runs(capsys):
    examples = EXAMPLE.findall((ROOT / "README.md").read_text())
    assert len(examples) == 2
    for example in examples:
        assert len(example.strip().splitlines()) <= 10
        exec(compile(example, "README.md", "exec"), {})
        assert "in bits" in capsys.readouterr().out


@pytest.mark.slow
def test_examples_of_the_guide_run(capsys):
    """They build on each other."""
    examples = EXAMPLE.findall((ROOT / "docs" / "gaussian.md").read_text())
    assert len(examples) >= 6
    exec(compile("\n".join(examples), "gaussian.md", "exec"), {"__name__": "guide"})
    assert "in bits" in capsys.readouterr().out


@pytest.mark.slow
def test_examples_on_certainty_run():
    """They build on each other."""
    examples = EXAMPLE.findall((ROOT / "docs" / "certainty.md").read_text())
    assert len(examples) >= 6
    names: dict = {"__name__": "certainty"}
    exec(compile("\n".join(examples), "certainty.md", "exec"), names)
    assert names["anything"].p_value.i_12 == names["adds"].p_value.i_12 == pytest.approx(1 / 1001)
    assert names["change"].p_value.unique_2 < 1e-10
    # The median width of 40 simulated data sets has a standard error of about 2.5 %, and n goes with its square.
    assert names["needed"].samples.unique_1 == pytest.approx(3505, rel=0.1)


@pytest.mark.slow
def test_numbers_of_samples_are_those_of_the_example(capsys):
    """The first rows of the table are what the example beneath it prints, but for the scatter of its simulations."""
    text = (DOCS / "choosing.md").read_text()
    (example,) = EXAMPLE.findall(text)
    exec(compile(example.replace("(2, 4, 8, 16, 32)", "(2, 4)"), "choosing.md", "exec"), {})
    printed = [int(number) for number in re.findall(r"^  \w+ +(\d+)$", capsys.readouterr().out, re.MULTILINE)]
    rows = [re.findall(r"\d+", row) for row in re.findall(r"^\| (?:2|4) \|.*$", text, re.MULTILINE)]
    assert printed == pytest.approx([int(number) for row in rows for number in row[1:]], rel=0.1)


@pytest.mark.parametrize("page", [*PAGES, ROOT / "README.md"], ids=lambda p: p.name)
def test_links_lead_somewhere(page):
    links = re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text())
    missing = [link for link in links if not (page.parent / link).exists()]
    generated = {DOCS / folder for folder in GENERATED}
    copies = [link for link in links if generated & set((page.parent / link).resolve().parents)]
    assert not missing, missing
    assert not copies, f"{copies} exist only where the site was built"


def test_every_page_is_in_a_table_of_contents():
    found = {DOCS / "index.md"}
    for page in PAGES:
        for tree in TOCTREE.findall(page.read_text()):
            lines = [line.strip() for line in tree.splitlines() if line.strip() and not line.startswith(":")]
            for entry in [TITLED.sub(r"\1", line) for line in lines]:
                place = (page.parent / entry).relative_to(DOCS).as_posix()
                matching = [one for one in PAGES if fnmatch(one.relative_to(DOCS).with_suffix("").as_posix(), place)]
                assert matching or place.startswith(GENERATED), f"{page.name} lists {entry}, which is not there"
                found |= set(matching)
    assert set(PAGES) == found


def test_every_public_name_is_in_the_reference_once():
    text = "\n".join(path.read_text() for path in sorted((DOCS / "api").glob("*.md")))
    entries = AUTOMATIC.findall(text)
    assert len(entries) == len(set(entries))
    public = {f"pid_jax.{name}" for name in pid_jax.__all__} | {f"extraction.{name}" for name in extraction.__all__}
    assert public <= set(entries), public - set(entries)


@pytest.mark.parametrize("page", GALLERY, ids=lambda p: p.name)
def test_page_of_the_tutorial_has_a_title_and_a_figure(page):
    _, title, line, blank, *_ = page.read_text().splitlines()
    assert set(line) == {"="}
    assert len(line) == len(title)
    assert not blank
    assert "plt.show()" in page.read_text()


def test_whatever_docstrings_cite_is_among_the_references():
    listed = (DOCS / "references.md").read_text().replace("\n  ", " ")
    entries = [line for line in listed.splitlines() if line.startswith("- ")]
    missing = []
    for path in sorted([*(ROOT / "pid_jax").rglob("*.py"), *(ROOT / "extraction").rglob("*.py")]):
        for source in SOURCE.findall(path.read_text()):
            for name, year in CITED.findall(" ".join(source.split())):
                if not any(name in entry and f"({year})" in entry for entry in entries):
                    missing.append(f"{path.name}: {name} ({year})")
    assert not missing
