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


@pytest.mark.parametrize("page", [*sorted((ROOT / "docs").rglob("*.md")), ROOT / "README.md"], ids=lambda p: p.name)
def test_links_lead_somewhere(page):
    links = re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text())
    assert all((page.parent / link).exists() for link in links), links
