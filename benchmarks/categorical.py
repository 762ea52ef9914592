"""Information about a categorical answer: errors and coverage of intervals, on systems that are known.

Seeds were not used while the method was chosen.
"""

import argparse
from collections.abc import Callable

import jax
import numpy as np

from benchmarks.categorical_systems import ATOMS, QUANTITIES, System, systems, two_bits
from benchmarks.record import write_results
from benchmarks.tables import Row, collect
from pid_jax import CategoricalPID, CategoricalSpec, compare_pid, estimate_categorical_pid

SEED = 77_000
SIZES = ((8, 1000), (16, 1000), (8, 5000), (16, 5000))
ACCURACY_SETS, NULL_SETS, COVERAGE_SETS, GROUP = 10, 50, 200, 25
DIM, SAMPLES = 16, 1000
NOISE = 0.5


def drawn(system: System, d: int, n: int, count: int, seed: list[int]) -> list[np.ndarray]:
    """Draw data sets, on the first axis of both sources and the answer."""
    sets = [system.draw(np.random.default_rng([SEED, *seed, index]), n, d) for index in range(count)]
    return [np.stack(parts) for parts in zip(*sets, strict=True)]


def stacked(found: CategoricalPID, part: str = "") -> np.ndarray:
    """Return atoms and informations (7, sets), or their standard errors or ends of intervals."""
    if part:
        return np.stack([getattr(getattr(found, part), name) for name in QUANTITIES])
    return np.stack([getattr(found.atoms if name in ATOMS else found.information, name) for name in QUANTITIES])


def accuracy(case: tuple[str, System, int, int]) -> Row:
    name, system, d, n = case
    found = estimate_categorical_pid(*drawn(system, d, n, ACCURACY_SETS, [1, d, n]), key=jax.random.key(1))
    error = stacked(found) - system.truth[:, None]
    row: dict[str, object] = {"system": name, "d": d, "n": n, "mean absolute error": np.abs(error[:4]).mean()}
    row |= {f"bias of {atom}": error[index].mean() for index, atom in enumerate(ATOMS)}
    return row | {"synergy": stacked(found)[3].mean(), "synergy in truth": system.truth[3]}


def nothing(classes: int) -> Row:
    def draw(rng: np.random.Generator, n: int, d: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return rng.normal(size=(n, d)), rng.normal(size=(n, d)), rng.integers(0, classes, size=n)

    sets = drawn(System(draw, np.zeros(7)), DIM, SAMPLES, NULL_SETS, [2, classes])
    found = stacked(estimate_categorical_pid(*sets, key=jax.random.key(2)))
    row: dict[str, object] = {"classes": classes, "data sets": NULL_SETS}
    row |= {f"mean of {name}": found[index].mean() for index, name in enumerate(QUANTITIES)}
    return row | {"largest mean absolute atom": np.abs(found[:4]).mean(axis=1).max()}


def coverage(case: tuple[str, System]) -> Row:
    name, system = case
    lower, upper, estimate = [], [], []
    for group in range(COVERAGE_SETS // GROUP):
        sets = drawn(system, 8, SAMPLES, GROUP, [3, group])
        found = estimate_categorical_pid(*sets, key=jax.random.fold_in(jax.random.key(3), group))
        lower.append(stacked(found, "lower"))
        upper.append(stacked(found, "upper"))
        estimate.append(stacked(found))
    ends = [np.concatenate(part, axis=1) for part in (lower, upper)]
    is_held = (ends[0] <= system.truth[:, None]) & (system.truth[:, None] <= ends[1])
    row: dict[str, object] = {"system": name, "data sets": COVERAGE_SETS}
    row |= {quantity: is_held[index].mean() for index, quantity in enumerate(QUANTITIES)}
    return row | {"mean width": (ends[1] - ends[0])[:4].mean()}


def paired(case: tuple[str, Callable[[], System], float]) -> Row:
    """Compare two conditions of the same samples: both with new noise, or with more of it in source_1."""
    name, make, extra = case
    system = make()
    p_values, is_held = [], []
    after_truth = system.truth if not extra else _two_bits_with(extra).truth
    before_truth = system.truth if not extra else _two_bits_with(0).truth
    change = after_truth - before_truth
    for group in range(COVERAGE_SETS // GROUP):
        first, second, answer = drawn(system, 8, SAMPLES, GROUP, [4, group])
        rng = np.random.default_rng([SEED, 5, group])
        conditions = []
        for more in (0.0, extra):
            noisy = [x + NOISE * rng.normal(size=x.shape) for x in (first, second)]
            noisy[0] = noisy[0] + more * rng.normal(size=first.shape)
            conditions.append((*noisy, answer))
        found = compare_pid(*conditions, spec=CategoricalSpec(), key=jax.random.key(group))
        ends = [np.stack([getattr(getattr(found, end), q) for q in QUANTITIES]) for end in ("lower", "upper")]
        is_held.append((ends[0] <= change[:, None]) & (change[:, None] <= ends[1]))
        p_values.append(np.stack([getattr(found.p_value, q) for q in QUANTITIES]))
    held, p = (np.concatenate(part, axis=1) for part in (is_held, p_values))
    row: dict[str, object] = {"system": name, "data sets": COVERAGE_SETS}
    row |= {f"{quantity} held": held[index].mean() for index, quantity in enumerate(QUANTITIES)}
    return row | {f"{quantity} p ≤ .05": (p[index] <= 0.05).mean() for index, quantity in enumerate(QUANTITIES)}


def _two_bits_with(extra: float) -> System:
    sigma_1, sigma_2 = np.sqrt(1 + NOISE**2 + extra**2), np.sqrt(1 + NOISE**2)
    return two_bits(1.2 / sigma_1, 0.8 / sigma_2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=("accuracy", "nothing", "coverage", "paired"), help="one table")
    only = parser.parse_args().only
    known = systems()
    cases = [(name, system, d, n) for name, system in known.items() for d, n in SIZES]
    covered = [(name, system) for name, system in known.items() if name != "XOR of signs"]
    pairs = [
        ("two bits, no change", lambda: known["two bits"], 0.0),
        ("degraded channels, no change", lambda: known["degraded channels"], 0.0),
        ("two bits, more noise in source_1", lambda: known["two bits"], 1.0),
    ]
    tables: dict[str, tuple[str, Callable[[], list[Row]]]] = {
        "accuracy": (f"Errors in nats, {ACCURACY_SETS} data sets each", lambda: collect(accuracy, cases)),
        "nothing": (f"Nothing to learn, d = {DIM}, n = {SAMPLES}", lambda: collect(nothing, (2, 10))),
        "coverage": (f"Coverage of 95 % intervals, d = 8, n = {SAMPLES}", lambda: collect(coverage, covered)),
        "paired": (f"Two conditions of the same samples, d = 8, n = {SAMPLES}", lambda: collect(paired, pairs)),
    }
    if only:
        tables[only][1]()  # which prints its rows
        return
    write_results(
        "categorical",
        "Information about a categorical answer",
        "`estimate_categorical_pid` and `compare_pid` with default settings. Truth is exact or by quadrature.",
        {title: measure() for title, measure in tables.values()},
    )


if __name__ == "__main__":
    main()
