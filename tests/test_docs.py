"""The Python example of README runs as it stands, and links lead somewhere."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
EXAMPLE = re.compile(r"```python\n(.*?)```", re.DOTALL)


def test_readme_example_runs(capsys):
    (example,) = EXAMPLE.findall((ROOT / "README.md").read_text())
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
    assert names["needed"].samples.unique_1 == pytest.approx(3505, rel=0.02)


@pytest.mark.parametrize("page", [*sorted((ROOT / "docs").rglob("*.md")), ROOT / "README.md"], ids=lambda p: p.name)
def test_links_lead_somewhere(page):
    links = re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text())
    assert all((page.parent / link).exists() for link in links), links
