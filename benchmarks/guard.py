"""Have kernels become slower? Their CPU time, as a ratio to a plain reference of the same run, beside stored ratios.

`python -m benchmarks.guard` (or `make guard`) compares with benchmarks/results/guard.json and exits with code 1 if a
ratio is more than TOLERANCE times the stored one; `--write` stores what it measures. About three minutes; not a part of
`make test`. A kernel that seems slower is measured again before it counts: what a busy machine makes slow is seldom so
twice.
"""

import sys
from collections.abc import Mapping, Sequence

import numpy as np

from benchmarks.kernels import KERNELS, REFERENCES
from benchmarks.measure import cpu_turns
from benchmarks.record import read_results, write_results
from benchmarks.tables import Row, collect

# Two runs on two cores with a load of 7 differed by at most a third (reading; all that computes, by a fifth).
TOLERANCE = 1.5
TURNS, SECONDS = 7, 0.1
TABLE = "Ratios"


def find_slower(
    measured: Mapping[str, float], stored: Mapping[str, float], tolerance: float = TOLERANCE
) -> dict[str, float]:
    """Return the kernels whose ratio is more than `tolerance` times the stored one, and how many times.

    Args:
        measured: Ratio of each kernel to its reference.
        stored: The same, from before.
        tolerance: What counts as noise.

    Raises:
        ValueError: If the kernels are not the same; then the stored ratios have to be written anew.
    """
    if set(measured) != set(stored):
        differing = sorted(set(measured) ^ set(stored))
        raise ValueError(
            f"measured and stored ratios need the same kernels, got others for {differing}: run "
            "python -m benchmarks.guard --write and commit benchmarks/results/guard.json."
        )
    times = {name: ratio / stored[name] for name, ratio in measured.items()}
    # Written this way a ratio that is not a number counts as slower.
    return {name: one for name, one in times.items() if not one <= tolerance}


def measure(names: Sequence[str]) -> dict[str, Row]:
    """Measure kernels beside their references, in turns of their own; rows by name."""

    def one(name: str) -> Row:
        kernel = KERNELS[name]
        turns = cpu_turns(kernel.make(), REFERENCES[kernel.reference](), blocks=TURNS, seconds=SECONDS)
        own, other = np.min(turns, axis=0)
        row = {"kernel": name, "CPU ms": 1e3 * own, "reference": kernel.reference}
        return row | {"reference CPU ms": 1e3 * other, "ratio": own / other}

    return dict(zip(names, collect(one, names), strict=True))


def ratios(rows: Mapping[str, Row]) -> dict[str, float]:
    return {name: row["ratio"] for name, row in rows.items()}


def compare(stored: Mapping[str, float]) -> dict[str, float]:
    """Measure all kernels, those that seem slower twice, and return those that are; print a table."""
    rows = measure(list(KERNELS))
    suspects = find_slower(ratios(rows), stored)
    again = measure(list(suspects))
    for name, row in again.items():
        rows[name] = min(rows[name], row, key=lambda one: one["ratio"])
    slower = find_slower(ratios(rows), stored)
    print(f"\n{'kernel':42} {'stored':>9} {'now':>9} {'times':>6}")
    for name, now in ratios(rows).items():
        verdict = f"slower by more than {TOLERANCE}" if name in slower else ""
        print(f"{name:42} {stored[name]:9.3g} {now:9.3g} {now / stored[name]:6.2f}  {verdict}")
    return slower


def main() -> int:
    if "--write" in sys.argv[1:]:
        text = (
            f"CPU seconds of all threads per call, the best of {TURNS} turns that kernel and reference take; ratios "
            f"of these. `python -m benchmarks.guard` fails if one is more than {TOLERANCE} times as large."
        )
        write_results("guard", "Regression guard", text, {TABLE: list(measure(list(KERNELS)).values())})
        return 0
    stored = read_results()["guard"].table(TABLE)
    return 1 if compare({row["kernel"]: row["ratio"] for row in stored}) else 0


if __name__ == "__main__":
    sys.exit(main())
