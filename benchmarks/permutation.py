"""P-values of permutation tests where the null holds: are they uniform, and how often is any of 33 layers rejected?"""

from collections.abc import Callable

import jax
import numpy as np
from scipy.stats import kstest

from benchmarks.problems import stacked
from benchmarks.record import write_results
from benchmarks.tables import Row, collect
from pid_jax import ConditionalIndependence, Independence, NoGaussianization, NoReduction, PIDSpec, permutation_test
from pid_jax.settings.inference import Null

DATA_SETS, LAYERS, RESAMPLES, LEVEL = 2000, 33, 199, 0.05
SPEC = PIDSpec(NoReduction(), NoGaussianization())
# What is zero under the null; all are under independence.
TESTED = {
    Independence(): ("redundancy", "unique_1", "unique_2", "synergy", "i_12"),
    ConditionalIndependence(1): ("unique_1", "synergy", "i_12"),
}
Draw = Callable[[np.random.Generator, int], tuple[np.ndarray, np.ndarray, np.ndarray]]


def drift(rng: np.random.Generator, n: int) -> np.ndarray:
    """Make layers (33, n, 3) of states that change a little from one to the next."""
    layers = [rng.standard_normal((n, 3))]
    for _ in range(LAYERS - 1):
        layers.append(0.9 * layers[-1] + np.sqrt(1 - 0.9**2) * rng.standard_normal((n, 3)))
    return np.stack(layers)


def normal_rows(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw sources that drift and depend on each other, and a target that knows nothing of them."""
    source_1 = drift(rng, n)
    return source_1, 0.6 * source_1 + drift(rng, n), rng.standard_normal((n, 3))


def heavy_rows(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw the same with cubed coordinates."""
    source_1, source_2, target = normal_rows(rng, n)
    return source_1**3, source_2**3, target**3


def one_source_rows(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw a target that reads source_2, and a source_1 that knows of it by source_2 alone and is as near to it."""
    source_2 = rng.standard_normal((n, 3))
    target = source_2 * [1.0, 0.7, 0.0] + rng.standard_normal((n, 3))
    return 0.8 * source_2 + 0.6 * drift(rng, n), source_2, target


CASES: dict[str, tuple[Null, int, Draw]] = {
    "independence, normal, n = 200": (Independence(), 200, normal_rows),
    "independence, cubed normal, n = 200": (Independence(), 200, heavy_rows),
    "conditional independence, n = 200": (ConditionalIndependence(1), 200, one_source_rows),
    "conditional independence, n = 40": (ConditionalIndependence(1), 40, one_source_rows),
}


def measure(name: str) -> list[Row]:
    """Test data sets; look at the p-values of the middle layer, and at the smallest adjusted one of all layers."""
    null, samples, make = CASES[name]
    rng = np.random.default_rng([31, list(CASES).index(name)])
    one_layer, smallest = [], []
    for data_set in range(DATA_SETS):
        key = jax.random.key(data_set)
        found = permutation_test(*make(rng, samples), spec=SPEC, key=key, resamples=RESAMPLES, null=null)
        one_layer.append(stacked(found.p_value, TESTED[null])[LAYERS // 2])
        smallest.append(stacked(found.family_wise, TESTED[null]).min(axis=0))
    return [
        {
            "null and rows": name,
            "quantity": quantity,
            "p ≤ .05, one layer": np.mean(p_value <= LEVEL),
            "KS p of uniformity": kstest(_between(p_value, rng), "uniform").pvalue,
            "any of 33 layers, family-wise": np.mean(family <= LEVEL),
        }
        for quantity, p_value, family in zip(TESTED[null], np.transpose(one_layer), np.transpose(smallest), strict=True)
    ]


def _between(p_value: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Spread p-values, which are multiples of 1 / (resamples + 1), evenly over the steps between them."""
    return p_value - rng.uniform(size=len(p_value)) / (RESAMPLES + 1)


def main() -> None:
    write_results(
        "permutation",
        "Permutation tests under the null",
        f"{DATA_SETS} data sets a case, {LAYERS} layers that drift, 3 + 3 + 3 dims, {RESAMPLES} permutations. Standard "
        f"error of a share near .05: {np.sqrt(LEVEL * (1 - LEVEL) / DATA_SETS):.4f}.",
        {"Null holds": collect(measure, CASES)},
    )


if __name__ == "__main__":
    main()
