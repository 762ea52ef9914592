"""Decomposition of tables: agreement with cone programs, CPU time, large tables, and a comparison with other packages.

The cone program is that of BROJA_2PID (Makkeh, Theis & Vicente 2018), which no registry offered, written for cvxpy and
solved by ECOS, the solver of that package, and by CLARABEL. Seeds were not used while the solver was made.
"""

import warnings
from collections.abc import Callable, Sequence
from importlib.util import find_spec

import numpy as np

from benchmarks.measure import Cost, apart, cost_of, cpu_seconds
from benchmarks.record import write_results
from benchmarks.tables import Row, collect
from pid_jax import DiscreteEstimate, discrete_pid, discrete_pid_from_pairs

ACCURACY_SEED, SPEED_SEED, PEER_SEED, LARGE_SEED = 41001, 41002, 41003, 41004
RANDOM_TABLES, LARGEST = 200, (16, 16, 10)
PROBLEMS, TOLERANCE = 33, 1e-6
# Cells of each source and classes of large tables, and the share of their entries that are above 0.
LARGE = ((128, 2), (128, 16), (16, 40), (32, 40), (64, 40), (128, 40), (128, 64), (16, 100), (32, 100), (64, 100))
FILLED = 0.05
ALLOWED = 1e-8
SMALLEST_ENTRY = 1e-9
LARGE_TITLE = (
    f"Large tables, {FILLED:.0%} of the entries above 0, one to a gap of 1e-9 in a fresh process, with compilation"
)
# The tightest settings at which both solvers still end.
SOLVERS = {
    "CLARABEL": {"tol_gap_abs": 1e-12, "tol_gap_rel": 1e-12, "tol_feas": 1e-12},
    "ECOS": {"abstol": 1e-10, "reltol": 1e-10, "feastol": 1e-10},
}
GATES: dict[str, Callable[[int, int], int]] = {
    "AND": lambda a, b: a & b,
    "OR": lambda a, b: a | b,
    "XOR": lambda a, b: a ^ b,
    "COPY": lambda a, b: 2 * a + b,
    "unique": lambda a, b: a,
}


def gate(rule: Callable[[int, int], int]) -> np.ndarray:
    pmf = np.zeros((2, 2, 4))
    for a, b in np.ndindex(2, 2):
        pmf[a, b, rule(a, b)] += 1 / 4
    return pmf


def random_tables(seed: int, count: int) -> list[np.ndarray]:
    """Draw tables of 2 to 10 classes and up to 16 x 16 cells, with up to 70 % zeros."""
    rng = np.random.default_rng(seed)
    tables = []
    while len(tables) < count:
        shape = (*rng.integers(2, 17, size=2), rng.integers(2, 11))
        pmf = rng.dirichlet(np.full(np.prod(shape), rng.choice([0.1, 0.3, 1.0]))).reshape(shape)
        pmf = np.where((rng.random(shape) < rng.choice([0, 0.3, 0.7])) | (pmf < SMALLEST_ENTRY), 0, pmf)
        if pmf.sum() > 0:
            tables.append(pmf / pmf.sum())
    return tables


def sparse_table(cells: int, classes: int) -> np.ndarray:
    """Draw a table (cells, cells, classes) of which a share `FILLED` of the entries is above 0."""
    rng = np.random.default_rng(LARGE_SEED)
    pmf = rng.gamma(0.3, size=(cells, cells, classes))
    pmf = np.where((rng.random(pmf.shape) < FILLED) & (pmf >= SMALLEST_ENTRY), pmf, 0)
    return pmf / pmf.sum()


def smooth_pairs(seed: int, count: int, cells: int, classes: int) -> np.ndarray:
    """Draw tables like those of posteriors: each class has its own distribution over cells, without zeros."""
    rng = np.random.default_rng(seed)
    of_y = rng.dirichlet(np.full(classes, 3.0), size=count)
    logits = rng.normal(size=(2, count, cells, classes)) * rng.uniform(0.2, 2.5, size=(2, count, 1, 1))
    each = np.exp(logits) / np.exp(logits).sum(axis=2, keepdims=True)
    return of_y[None, :, None, :] * each


def padded(tables: Sequence[np.ndarray]) -> np.ndarray:
    return np.stack([np.pad(t, [(0, most - n) for most, n in zip(LARGEST, t.shape, strict=True)]) for t in tables])


def cone_union(p_1: np.ndarray, p_2: np.ndarray, solver: str) -> float:
    """Solve the exponential-cone program of the union information; NaN where the solver gives up."""
    import cvxpy
    from scipy.sparse import csr_array

    entries = np.argwhere((p_1 > 0)[:, None, :] & (p_2 > 0)[None, :, :])
    a, b, y = entries.T
    count, classes = len(entries), p_1.shape[1]

    def sums(labels: np.ndarray, size: int) -> csr_array:
        return csr_array((np.ones(count), (labels, np.arange(count))), shape=(size, count))

    q = cvxpy.Variable(count, nonneg=True)
    of_pair = sums(a * len(p_2) + b, len(p_1) * len(p_2))
    limits = []
    for labels, p in ((a * classes + y, p_1), (b * classes + y, p_2)):
        rows = np.flatnonzero(p.ravel() > 0)
        limits.append(sums(labels, p.size)[rows] @ q == p.ravel()[rows])
    problem = cvxpy.Problem(cvxpy.Minimize(cvxpy.sum(cvxpy.rel_entr(q, of_pair.T @ (of_pair @ q)))), limits)
    of_y = p_1.sum(axis=0)
    of_y = of_y[of_y > 0]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            problem.solve(solver=solver, **SOLVERS[solver])
    except cvxpy.error.SolverError:
        return np.nan
    return float(problem.value - (of_y * np.log(of_y)).sum())


def dit_union(pmf: np.ndarray) -> float:
    """Compute the union information by dit's BROJA."""
    import dit

    events = np.argwhere(pmf > 0)
    labels = ["".join(chr(97 + i) for i in event) for event in events]
    found = dit.pid.PID_BROJA(dit.Distribution(labels, pmf[pmf > 0]))
    return sum(float(found.get_pi(node)) for node in (((0,),), ((1,),), ((0,), (1,)))) * np.log(2)


def agreement(name: str, tables: Sequence[np.ndarray], found: DiscreteEstimate) -> Row:
    """Compare the union information, from which all atoms follow, with the cone program."""
    row: dict[str, object] = {
        "tables": name,
        "number": len(tables),
        "largest gap": float(found.gap.max()),
        "not converged": int((found.status != 0).sum()),
    }
    if not find_spec("cvxpy"):
        return row
    best, middle = [], (found.lower + found.upper) / 2
    for table, ours in zip(tables, middle, strict=True):
        values: list[float] = []
        for solver in SOLVERS:  # the second one only where the first one is far off
            values.append(cone_union(table.sum(axis=1), table.sum(axis=0), solver))
            if abs(values[-1] - ours) <= ALLOWED:
                break
        best.append(min(values, key=lambda value, ours=ours: np.inf if np.isnan(value) else abs(value - ours)))
    difference = np.abs(np.array(best) - middle)
    return row | {
        "solved by cones": int(np.isfinite(difference).sum()),
        "within 1e-8 of cones": int((difference <= ALLOWED).sum()),
        "median difference": float(np.nanmedian(difference)),
        "largest difference": float(np.nanmax(difference)),
    }


def speed(classes: int, cells: int = 64) -> Row:
    pairs = smooth_pairs(SPEED_SEED, PROBLEMS, cells, classes)
    (seconds,) = cpu_seconds(lambda: discrete_pid_from_pairs(*pairs, tol=TOLERANCE), blocks=2, seconds=0)
    found = discrete_pid_from_pairs(*pairs, tol=TOLERANCE)
    return {
        "classes": classes,
        "cells": f"{cells} x {cells}",
        "tables": PROBLEMS,
        "CPU s": seconds,
        "largest gap": float(found.gap.max()),
    }


def large_costs(cells: int, classes: int) -> dict[str, float]:
    """Solve one large table and return its gap, status and costs."""
    pmf = sparse_table(cells, classes)
    with Cost() as cost:
        found = discrete_pid(pmf)
    return {"status": int(found.status), "gap": float(found.gap), "CPU s": cost.cpu, "peak MB": cost.peak}


def large(size: tuple[int, int]) -> Row:
    cells, classes = size
    return {"classes": classes, "cells": f"{cells} x {cells}", **apart(large_costs, cells, classes)}


def against_peers(size: tuple[int, int]) -> Row:
    """CPU seconds of a table of one size: our mean over a batch, theirs over two tables."""
    classes, cells = size
    rng = np.random.default_rng(PEER_SEED)
    pmf = rng.dirichlet(np.full(cells * cells * classes, 0.3), size=PROBLEMS).reshape(-1, cells, cells, classes)
    pmf = np.where(pmf < SMALLEST_ENTRY, 0, pmf)
    pmf /= pmf.sum(axis=(1, 2, 3), keepdims=True)
    (seconds,) = cpu_seconds(lambda: discrete_pid(pmf), blocks=3, seconds=0)
    row: dict[str, object] = {"classes": classes, "cells": f"{cells} x {cells}", "pid_jax ms": 1e3 * seconds / PROBLEMS}
    union = discrete_pid(pmf[:2]).lower
    peers: dict[str, Callable[[np.ndarray], float]] = {}
    if find_spec("cvxpy"):
        peers |= {name: lambda p, name=name: cone_union(p.sum(axis=1), p.sum(axis=0), name) for name in SOLVERS}
    if find_spec("dit") and cells * cells * classes <= 200:
        peers["dit"] = dit_union
    for name, union_of in peers.items():
        values: list[float] = []
        cost = cost_of(lambda union_of=union_of, values=values: values.extend(union_of(p) for p in pmf[:2]))
        row |= {f"{name} ms": 1e3 * cost.cpu / 2, f"{name} / pid_jax": cost.cpu / 2 / (seconds / PROBLEMS)}
        row[f"{name} off by"] = float(np.abs(np.array(values) - union).max())
    return row


def main() -> None:
    gates = [gate(rule) for rule in GATES.values()]
    gates.append(np.eye(2)[:, :, None] * np.eye(2)[:, None, :] / 2)
    drawn = random_tables(ACCURACY_SEED, RANDOM_TABLES)
    cases = {"AND, OR, XOR, COPY, unique, redundant": gates, "random, with zeros": drawn}
    write_results(
        "discrete",
        "Decomposition of tables",
        "BROJA of a class and two discrete sources. Differences and gaps are of the union information, in nats, from "
        "which all atoms follow; where CLARABEL differs by more than 1e-8, ECOS has a try, and the closer one counts. "
        "CPU time of all threads, after compilation; times of cvxpy include its set-up, and the "
        "first one of CLARABEL its import. Ratios above 1: pid_jax is faster. Peaks are of resident memory, above that "
        "of the process before the call.",
        {
            f"CPU time, {PROBLEMS} tables to a gap of {TOLERANCE:g} nats": collect(speed, (2, 11)),
            "Other packages, one table to a gap of 1e-9": collect(
                against_peers, ((2, 4), (2, 8), (2, 16), (2, 32), (6, 16), (10, 16))
            ),
            LARGE_TITLE: collect(large, LARGE),
            "Agreement with cone programs": collect(
                lambda name: agreement(name, cases[name], discrete_pid(padded(cases[name]))), cases
            ),
        },
        *(name for name in ("cvxpy", "clarabel", "ecos", "dit") if find_spec(name)),
    )


if __name__ == "__main__":
    main()
