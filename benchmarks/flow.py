"""Atoms behind flows, against truth: warped Gaussians whose atoms are known, with raw and copula beside.

Run `make bench`. Prints a table and writes it to benchmarks/results/flow.json and flow.md as it goes. Seeds from 100 on
were not used while settings were chosen.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from benchmarks.gaussian import markdown
from benchmarks.timing import circumstances
from pid_jax import Auto, Copula, NoGaussianization, NoReduction, PIDSpec, RealNVP, estimate_pid, gaussian_pid
from pid_jax.result import ATOMS
from pid_jax.testing.warps import WARPS, warped_gaussian

RESULTS = Path(__file__).parent / "results"
PACKAGES = ("pid_jax", "jax", "flax", "optax", "distrax", "numpy")
SEEDS = range(100, 105)
WAYS = {"raw": NoGaussianization(), "copula": Copula(), "flow": RealNVP(), "auto": Auto()}


def atoms_of(estimate: Any) -> np.ndarray:
    return np.stack([getattr(estimate.atoms, name) for name in ATOMS], axis=-1)


def single(warp: str, dim: int, samples: int, ways: Sequence[str], **settings: Any) -> dict[str, Any]:
    """One warp, one problem a seed, all seeds together."""
    drawn = [warped_gaussian(warp, dim, samples, seed, **settings) for seed in SEEDS]
    variables = [np.stack([x.source_1[0] for x in drawn]), np.stack([x.source_2[0] for x in drawn])]
    variables.append(np.stack([x.target for x in drawn]))
    truth = atoms_of(gaussian_pid(np.stack([x.cov[0] for x in drawn]), (dim, dim, dim)))
    latents = np.split(np.stack([x.latents[0] for x in drawn]), 3, axis=-1)
    found = {"floor": estimate(latents, "raw")} | {way: estimate(variables, way) for way in ways}
    return {"warp": warp, "d": dim, "n": samples, **settings, "mean atom": truth.mean()} | {
        name: float(np.abs(atoms - truth).mean()) for name, atoms in found.items()
    }


def estimate(variables: Sequence[np.ndarray], way: str) -> np.ndarray:
    spec = PIDSpec(NoReduction(), WAYS[way])
    return atoms_of(estimate_pid(*variables, spec=spec, key=jax.random.key(0)))


def mixing(dim: int, samples: int, strength: float, has_elementwise: bool) -> list[dict[str, Any]]:
    rows = []
    for warp in WARPS:
        rows.append(
            single(warp, dim, samples, ("raw", "copula", "flow"), strength=strength, has_elementwise=has_elementwise)
        )
        print(rows[-1], flush=True)
    mean = {name: float(np.mean([row[name] for row in rows])) for name in rows[0] if isinstance(rows[0][name], float)}
    return [*rows, {**rows[0], **mean, "warp": "mean"}]


TABLES = {
    "d = 4, n = 5000, strong": lambda: mixing(4, 5000, 1.0, False),
    "d = 4, n = 5000": lambda: mixing(4, 5000, 0.5, True),
    "d = 16, n = 5000": lambda: mixing(16, 5000, 0.5, True),
    "d = 8, n = 1000": lambda: mixing(8, 1000, 0.5, True),
    "d = 16, n = 1000": lambda: mixing(16, 1000, 0.5, True),
}


def main(names: Sequence[str]) -> None:
    file = RESULTS / "flow.json"
    done = json.loads(file.read_text())["tables"] if file.exists() else {}
    for name in names or TABLES:
        done[name] = TABLES[name]()
        conditions = circumstances(*PACKAGES)
        file.write_text(json.dumps({"tables": done, **conditions}, indent=1) + "\n")
        head = f"{conditions['date']}, {conditions['processor']}, {conditions['cores']} cores."
        page = f"# Atoms behind flows\n\nMean absolute error of the four BROJA atoms in nats, five seeds. {head}\n\n"
        page += "\n".join(markdown(title, rows) for title, rows in done.items())
        (RESULTS / "flow.md").write_text(page)
    print((RESULTS / "flow.md").read_text())


if __name__ == "__main__":
    main(sys.argv[1:])
