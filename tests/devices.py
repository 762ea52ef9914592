"""What is computed on several devices, in a process of its own; see test_layout.py."""

import sys
from unittest import mock

import jax
import numpy as np
from jax.sharding import Mesh

from pid_jax import (
    PCA,
    Basic,
    CategoricalSpec,
    Copula,
    LinearClassifier,
    NoCorrection,
    NoGaussianization,
    Pairs,
    PIDEstimate,
    PIDSpec,
    Randomized,
    RealNVP,
    bootstrap_pid,
    estimate_categorical_pid,
    estimate_pid,
    fit_flow,
    gaussian_pid,
    use_devices,
)
from pid_jax.flow import loops as fit_loops

PROBLEMS, SAMPLES, DIM = 5, 600, 2
FLOW = RealNVP(couplings=2, width=8, epochs=2)


def draw() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    target = rng.normal(size=(PROBLEMS, SAMPLES, DIM))
    return [target + rng.normal(size=target.shape), target[..., :1] + rng.normal(size=target.shape), target]


def covariances() -> np.ndarray:
    joined = np.concatenate(draw(), axis=-1)
    cov = np.stack([np.cov(x, rowvar=False) for x in joined])
    cov[2, :, 0] = cov[2, 0, :] = 0  # one that is singular
    return cov


def exact(mesh: Mesh | None = None) -> dict[str, np.ndarray]:
    """Decompose covariances: all, one, and in parts."""
    cov, dims = covariances(), (DIM, DIM, DIM)
    with use_devices(mesh):
        found = {"gaussian": stacked(gaussian_pid(cov, dims)), "one": stacked(gaussian_pid(cov[0], dims))}
    with use_devices(mesh, budget_gb=1e-7):
        return found | {"parts": stacked(gaussian_pid(cov, dims))}


def sampled(mesh: Mesh | None = None) -> dict[str, np.ndarray]:
    """Estimate from samples, with every stage that runs on devices."""
    with use_devices(mesh):
        return _sampled()


def _sampled() -> dict[str, np.ndarray]:
    data, linear = draw(), PIDSpec(gaussianize=NoGaussianization())
    options = {"key": jax.random.key(0)}
    draws = {"spec": linear, "resamples": 200, "interval": Basic(), **options}
    estimate = estimate_pid(*data, spec=PIDSpec(gaussianize=Copula()), **options)
    wide = [np.concatenate([x, np.random.default_rng(1).normal(size=(*x.shape[:2], 520))], axis=-1) for x in data]
    randomized = PIDSpec(PCA(dim=2, solver=Randomized()), NoGaussianization(), bias_correction=NoCorrection())
    answer = (data[2][..., 0] > 0).astype(int)
    classified = CategoricalSpec(classifier=LinearClassifier(), cells=12, perturbations=1, folds=3)
    return {
        "answer": stacked(estimate_categorical_pid(*data[:2], answer, spec=classified, **options)),
        "corrected": np.stack(jax.tree.leaves((estimate.atoms, estimate.lower, estimate.upper))),
        "parametric": np.stack(jax.tree.leaves(bootstrap_pid(*data, **draws).replicates)),
        "rows": np.stack(jax.tree.leaves(bootstrap_pid(*data, kind=Pairs(), **draws).replicates)),
        "randomized": stacked(estimate_pid(*wide, spec=randomized, **options)),
    }


def fitted(mesh: Mesh | None = None) -> np.ndarray:
    """Fit flows; covariances of the latents."""
    with use_devices(mesh):
        return fit_flow(*draw(), spec=FLOW, key=jax.random.key(0)).cov


def stacked(estimate: PIDEstimate) -> np.ndarray:
    return np.stack(jax.tree.leaves(estimate.atoms))


def quick(devices: np.ndarray) -> dict[str, np.ndarray]:
    """Covariances on all devices, one of which is left over."""
    return {f"all/{name}": value for name, value in exact().items()}


def thorough(devices: np.ndarray) -> dict[str, np.ndarray]:
    """Other sets of devices, all stages behind samples, and flows on CPUs and as on accelerators."""
    last = Mesh(devices[3:], ("layers",))
    meshes = {"two": Mesh(devices[1:3], ("layers",)), "square": Mesh(devices.reshape(2, 2), ("tasks", "layers"))}
    found = {f"{kind}/{name}": x for kind, mesh in (meshes | {"last": last}).items() for name, x in exact(mesh).items()}
    found |= {f"all/{name}": value for name, value in (sampled() | {"flow": fitted()}).items()}
    with mock.patch.object(fit_loops, "is_on_cpu", return_value=False):
        return found | {"all/mapped": fitted(), "last/mapped": fitted(last)}


def main(name: str, file: str) -> None:
    devices = np.array(jax.devices())
    assert len(devices) == 4
    np.savez(file, **{"quick": quick, "thorough": thorough}[name](devices))


if __name__ == "__main__":
    main(*sys.argv[1:])
