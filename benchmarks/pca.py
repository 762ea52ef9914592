"""Principal components of many layers, against scikit-learn's randomized PCA in a loop; PCA against CCA.

Times are CPU seconds of all threads, after compilation; layers are drawn one at a time, and every way takes its turn on
each of them.
"""

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy.linalg
from sklearn import decomposition
from threadpoolctl import threadpool_limits

from benchmarks import reduction
from benchmarks.measure import PAUSE, Cost, apart, cost_of
from benchmarks.record import write_results
from benchmarks.tables import Row, collect
from pid_jax import PCA
from pid_jax.reduce.pca import project
from pid_jax.reduce.solve import fit_reduction
from pid_jax.runtime.precision import double_precision
from pid_jax.runtime.threads import one_blas_thread

LAYERS, SAMPLES, FEATURES, DIM = 33, 5000, 4096, 16
# The exact components of one layer take half a minute: they are computed for every eighth.
EXACT_EVERY = 8
SPECTRA: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "i^-1": lambda i: 1 / i,
    "i^-1.5": lambda i: i**-1.5,
    "i^-0.5": lambda i: i**-0.5,
    "16 equal, then 0.8 (i / 16)^-0.25": lambda i: np.where(i <= DIM, 1, 0.8 * (i / DIM) ** -0.25),
    "1e4 first, then i^-1": lambda i: np.where(i == 1, 1e4, 1 / i),
}


def draw_layer(index: int, spectrum: str) -> np.ndarray:
    """Draw Gaussian float32 samples of a population spectrum, with a mean, whose axes are mixed over all features."""
    rng = np.random.default_rng(index)
    sizes = np.sqrt(SPECTRA[spectrum](np.arange(1.0, FEATURES + 1)))
    block = round(FEATURES**0.5)
    turn = np.linalg.qr(rng.standard_normal((block, block)))[0].astype(np.float32)
    samples = rng.standard_normal((SAMPLES, FEATURES), dtype=np.float32) * sizes.astype(np.float32)
    for _ in range(2):  # a turn within blocks, twice, with a transposition in between
        samples = (samples.reshape(-1, block, block).transpose(0, 2, 1) @ turn).reshape(SAMPLES, FEATURES)
    return samples + rng.standard_normal(FEATURES, dtype=np.float32)


@partial(jax.jit, static_argnames="spec")
def _reduce(samples: jax.Array, key: jax.Array, *, spec: PCA) -> Any:
    basis = fit_reduction(samples, DIM, spec, key)
    return basis, project(samples, basis)


def ours(samples: np.ndarray) -> tuple[np.ndarray, float]:
    """Fit and project, as `run_study` does; return the axes and the bound."""
    with double_precision(), one_blas_thread(DIM):
        basis, reduced = jax.tree.map(np.asarray, _reduce(jnp.asarray(samples), jax.random.key(0), spec=PCA(dim=DIM)))
    assert reduced.scores.shape == (SAMPLES, DIM)
    return basis.axes, float(basis.angle)


def theirs(
    samples: np.ndarray, threads: int | None = None, iterated_power: int | str = "auto"
) -> tuple[np.ndarray, float]:
    """scikit-learn: fit and project."""
    model = decomposition.PCA(n_components=DIM, svd_solver="randomized", iterated_power=iterated_power, random_state=0)
    with threadpool_limits(limits=threads, user_api="blas"):
        model.fit_transform(samples)
    return model.components_.T, float("nan")


WAYS: dict[str, Callable[[np.ndarray], tuple[np.ndarray, float]]] = {
    "pid_jax": ours,
    "scikit-learn": theirs,
    "scikit-learn, 1 BLAS thread": partial(theirs, threads=1),
    "scikit-learn, 1 BLAS thread, 16 iterations": partial(theirs, threads=1, iterated_power=16),
}


def exact_axes(samples: np.ndarray) -> tuple[np.ndarray, float]:
    """Leading eigenvectors of the covariance in float64 by LAPACK, and the relative gap after the last."""
    wide = samples.astype(np.float64)
    wide -= wide.mean(axis=0)
    last = FEATURES - 1
    variances, axes = scipy.linalg.eigh(wide.T @ wide, subset_by_index=(last - DIM, last), overwrite_a=True)
    return axes[:, 1:], float(1 - variances[0] / variances[1])


def angle(axes: np.ndarray, exact: np.ndarray) -> float:
    axes = np.linalg.qr(axes.astype(np.float64))[0]
    return float(np.arcsin(min(1.0, np.linalg.norm(axes - exact @ (exact.T @ axes), 2))))


def measure(layer: np.ndarray) -> dict[str, tuple[float, np.ndarray, float]]:
    """CPU seconds, axes and bound of every way on one layer."""
    found = {}
    for name, way in WAYS.items():
        time.sleep(PAUSE)
        with Cost() as cost:
            axes, bound = way(layer)
        found[name] = cost.cpu, axes, bound
    return found


def many_layers(spectrum: str = "i^-1") -> list[Row]:
    """Measure all layers of one spectrum, one after the other."""
    measure(draw_layer(0, spectrum))  # compile
    seconds, angles = dict.fromkeys(WAYS, 0.0), {name: [] for name in WAYS}
    bounds = []
    for index in range(LAYERS):
        layer = draw_layer(index, spectrum)
        found = measure(layer)
        exact = exact_axes(layer)[0] if index % EXACT_EVERY == 0 else None
        bounds.append(found["pid_jax"][2])
        for name, (cpu, axes, _) in found.items():
            seconds[name] += cpu
            if exact is not None:
                angles[name].append(angle(axes, exact))
    return [
        {
            "way": name,
            "CPU s": seconds[name],
            "pid_jax / this": seconds["pid_jax"] / seconds[name],
            f"largest angle to exact (every {EXACT_EVERY}th layer)": max(angles[name]),
            "largest bound (all layers)": max(bounds) if name == "pid_jax" else "none",
            "peak memory MB": apart(peak_memory, name, spectrum),
        }
        for name in WAYS
    ]


def one_spectrum(spectrum: str) -> Row:
    layer = draw_layer(0, spectrum)
    exact, gap = exact_axes(layer)
    found = measure(layer)
    row: dict[str, Any] = {"variances": spectrum, "gap 16 to 17": gap, "bound": found["pid_jax"][2]}
    for name in ("pid_jax", "scikit-learn"):
        row |= {f"{name} angle": angle(found[name][1], exact), f"{name} CPU s": found[name][0]}
    return row


def peak_memory(way: str, spectrum: str) -> float:
    """Return the most memory above what this process held when a layer was drawn, in MB; the first compiles."""
    layers = (draw_layer(index, spectrum) for index in range(4))
    return max([cost_of(partial(WAYS[way], layer)).peak for layer in layers][1:])


def main() -> None:
    title = f"{LAYERS} layers of {FEATURES} features, n = {SAMPLES}, to {DIM} dims; fit and projection"
    tables = {
        title: many_layers(),
        "One layer, by its population spectrum": collect(one_spectrum, SPECTRA),
        "PCA and CCA with the target, by features; errors in nats": reduction.table(),
    }
    write_results("pca", "Reduction", "CPU time of all threads, after compilation. Angles in radians.", tables)


if __name__ == "__main__":
    main()
