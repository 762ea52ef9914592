"""The reference problems of tests/data/vectors, and what the library makes of them."""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from pid_jax.decompose.result import PIDEstimate
from pid_jax.pid.broja import BROJA
from pid_jax.pid.measure import Redundancy
from pid_jax.pid.mmi import MMI
from pid_jax.testing.problems import Problem
from tests.shapes import LARGE, decompose

FOLDER = Path(__file__).parent / "data" / "vectors"


@dataclass(frozen=True, kw_only=True)
class ReferenceCase:
    """One problem with its expected values and both decompositions."""

    problem: Problem
    expected: dict[str, Any]
    tolerance: float
    broja: PIDEstimate
    mmi: PIDEstimate


@cache
def load_items() -> dict[str, dict[str, Any]]:
    """Read the description of every problem, by name."""
    content = json.loads((FOLDER / "vectors_public.json").read_text(encoding="utf-8"))
    return {item["name"]: item for item in content["items"]}


def load_problems() -> dict[str, Problem]:
    """Read the covariances, by name."""
    with np.load(FOLDER / "vectors_public.npz") as arrays:
        return {name: Problem(arrays[item["npz_key"]], tuple(item["dims"])) for name, item in load_items().items()}


def solve_all() -> dict[str, ReferenceCase]:
    """Solve all problems at one shape; those of full rank keep it."""
    problems = load_problems()
    broja, mmi = _solve(problems, BROJA()), _solve(problems, MMI())
    return {
        name: ReferenceCase(
            problem=problems[name],
            expected=item["expected"],
            tolerance=item["suggested_atol"],
            broja=broja[name],
            mmi=mmi[name],
        )
        for name, item in load_items().items()
    }


def _solve(problems: dict[str, Problem], redundancy: Redundancy) -> dict[str, PIDEstimate]:
    solved = decompose(list(problems.values()), redundancy, LARGE, variance=1.0)
    return dict(zip(problems, solved, strict=True))
