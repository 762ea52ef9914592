"""A fitted flow: the maps of all variables in all problems, how the fit went, densities, samples, files."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from pid_jax.flow.apply import VariableFlow, invert_variables, map_variables
from pid_jax.flow.objective import log_density
from pid_jax.flow.spline import Spline
from pid_jax.flow.stage import Stage
from pid_jax.flow.weights import Architecture, init_weights
from pid_jax.runtime.arrays import side_by_side
from pid_jax.runtime.checks import check_key, check_positive_int, check_same_labels, check_samples
from pid_jax.runtime.files import write_bytes
from pid_jax.runtime.precision import single_precision
from pid_jax.settings.estimate import spec_from_dict, spec_to_dict
from pid_jax.settings.gaussianize import RealNVP, is_ranked

_SCHEMA = "pid_jax.FlowFit/4"
_READABLE = ("pid_jax.FlowFit/3", _SCHEMA)
# Fields that settings had up to FlowFit/3: how a fit went, which fitted maps do not need any more.
_EARLIER = {"hidden_layers", "sharing", "clip_norm", "keep_best", "patience", "folds", "layer_batch"}
_CURVES = ("train_curve", "validation_curve", "validation_density")
_ARRAYS = ("mean", "cov", *_CURVES, "rejected_steps")
_ROWS = ("is_held_out", "is_learned")


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class FlowFit:
    """Flows of several variables, fitted so that their latents are jointly Gaussian. Arrays have the leading axes.

    Attributes:
        flows: The map of each variable, all problems on the leading axis, or one if it is the same in all.
        leading: Leading axes (layers, tasks, ...) of the samples.
        dims: Coordinates of each variable.
        samples: Samples of each problem.
        mean: Mean of the latents of all samples (..., D).
        cov: Covariance of the latents of all samples (..., D, D), unbiased, in float64.
        train_curve: Negative log-likelihood of the training samples at every evaluation (..., evaluations), in nats a
            sample of the scaled and, with `Copula` marginals, already marginally Gaussian coordinates.
        validation_curve: The same of the held-out samples.
        validation_density: Log-densities of the held-out samples at the best evaluation (..., m), of the
            same coordinates.
        rejected_steps: Steps left out since the gradient was not finite.
        is_held_out: Which samples were held out (n,).
        is_learned: Whether the flow of each variable was learned (..., variables), or stays the identity behind the
            splines since some column is discrete.
        spec: The settings, with everything that was chosen.
    """

    flows: tuple[VariableFlow, ...]
    leading: tuple[int, ...]
    dims: tuple[int, ...]
    samples: int
    mean: np.ndarray
    cov: np.ndarray
    train_curve: np.ndarray
    validation_curve: np.ndarray
    validation_density: np.ndarray
    rejected_steps: np.ndarray
    is_held_out: np.ndarray
    is_learned: np.ndarray
    spec: RealNVP

    def transform(self, *variables: ArrayLike) -> tuple[np.ndarray, ...]:
        """Map samples to latents.

        Args:
            variables: One array (..., m, d) a variable, with the leading axes of the fit, or without any.

        Returns:
            Latents of the same shape with the leading axes of the fit, in single precision; a variable that is the same
            in all problems, and has one flow, keeps the shape it has.

        Raises:
            ValueError: If shapes do not fit.
        """
        return tuple(z for z, _ in self._forward(variables))

    def inverse(self, *latents: ArrayLike) -> tuple[np.ndarray, ...]:
        """Map latents back to samples, see `transform`."""
        found = invert_variables(self.flows, self._check(latents), self.architectures)
        return tuple(self._unstack(x) for x in found)

    def log_prob(self, *variables: ArrayLike) -> np.ndarray:
        """Compute log-densities in nats, (..., m): Gaussian latents and all Jacobians.

        Raises:
            ValueError: If shapes do not fit, or the numbers of samples differ.
        """
        found = self._forward(variables)
        if len({z.shape[-2] for z, _ in found}) > 1:
            raise ValueError("log_prob needs the same number of samples of every variable: rows are paired.")
        check_same_labels([(f"variable {place}", value) for place, value in enumerate(variables)])
        count = int(np.prod(self.leading, dtype=int))
        flat = [(z.reshape(-1, *z.shape[-2:]), log_det.reshape(-1, log_det.shape[-1])) for z, log_det in found]
        z = np.concatenate([np.broadcast_to(z, (count, *z.shape[1:])) for z, _ in flat], axis=-1)
        log_det = sum(np.broadcast_to(one, (count, one.shape[-1])) for _, one in flat)
        size = z.shape[-1]
        with single_precision():
            args = (z, log_det, self.mean.reshape(-1, size), self.cov.reshape(-1, size, size))
            density = _log_density(*(jnp.asarray(value, jnp.float32) for value in args))
            return np.asarray(density).reshape(*self.leading, -1)

    def sample(self, count: int, key: jax.Array) -> tuple[np.ndarray, ...]:
        """Draw samples of every variable, (..., count, d), from the fitted model.

        Args:
            count: Samples of each problem. Row i of all variables belongs together.
            key: A JAX random key. All problems use the same white noise.
        """
        check_positive_int("count", count)
        check_key(key)
        return self.inverse(*split_variables(draw_latents(self, count, key), self.dims))

    @property
    def architectures(self) -> tuple[Architecture, ...]:
        """Shapes of the flow of each variable."""
        return architectures_of(self.spec, self.dims)

    def save(self, path: str | Path) -> Path:
        """Write everything to one safetensors file, settings as JSON in its header, whole or not at all."""
        path = Path(path)
        arrays = {name: np.ascontiguousarray(getattr(self, name)) for name in (*_ARRAYS, *_ROWS)}
        for leaf_path, leaf in jax.tree_util.tree_flatten_with_path(self.flows)[0]:
            arrays[f"flows/{_name(leaf_path)}"] = np.ascontiguousarray(leaf)
        header = {
            "schema": _SCHEMA,
            "leading": self.leading,
            "dims": self.dims,
            "samples": self.samples,
            "spec": spec_to_dict(self.spec),
        }
        write_bytes(path, save(arrays, metadata={"pid_jax": json.dumps(header)}))
        return path

    @classmethod
    def load(cls, path: str | Path) -> "FlowFit":
        """Read what `save` wrote.

        Raises:
            ValueError: If the file is missing or holds something else.
        """
        arrays, header = _read(Path(path))
        spec, dims = _read_settings(header["spec"], path), tuple(header["dims"])
        paths, tree = jax.tree_util.tree_flatten_with_path(_template(spec, dims))
        flows = jax.tree.unflatten(tree, [arrays[f"flows/{_name(leaf_path)}"] for leaf_path, _ in paths])
        return cls(
            flows=flows,
            leading=tuple(header["leading"]),
            dims=dims,
            samples=header["samples"],
            spec=spec,
            **{name: arrays[name] for name in (*_ARRAYS, *_ROWS)},
        )

    def __repr__(self) -> str:
        """Say what was fitted and how it went."""
        problems = int(np.prod(self.leading, dtype=int))
        lines = [f"FlowFit of {problems} problem{'s' * (problems != 1)}, dims {self.dims}, n = {self.samples}"]
        best = np.nanmin(self.validation_curve, axis=-1)
        lines.append(f"  held-out negative log-likelihood {best.min():.4g} to {best.max():.4g} nats")
        lines.append(f"  rejected steps: {int(self.rejected_steps.max())} at most")
        return "\n".join(lines)

    def _forward(self, variables: Sequence[ArrayLike]) -> list[tuple[np.ndarray, np.ndarray]]:
        mapped = map_variables(self.flows, self._check(variables), self.architectures)
        return [(self._unstack(z), self._unstack(log_det)) for z, log_det in mapped]

    def _check(self, variables: Sequence[ArrayLike]) -> list[np.ndarray]:
        """Return arrays with one leading axis: all problems, or one."""
        if len(variables) != len(self.dims):
            raise ValueError(
                f"this fit has {len(self.dims)} variables, got {len(variables)} arrays: pass one for each."
            )
        arrays = []
        for place, (value, dim, flow) in enumerate(zip(variables, self.dims, self.flows, strict=True)):
            array = check_samples(f"variable {place}", value)
            if array.shape[-1] != dim or array.shape[:-2] not in ((), self.leading):
                raise ValueError(
                    f"variable {place} has shape {array.shape}, wanted {(*self.leading, 'm', dim)} or ('m', {dim}): "
                    "use the arrays that were fitted, or new samples of the same coordinates."
                )
            count = max(flow.center.shape[0], int(np.prod(array.shape[:-2], dtype=int)))
            flat = array.reshape(-1, *array.shape[-2:])
            arrays.append(np.broadcast_to(flat, (count, *flat.shape[1:])))
        return arrays

    def _unstack(self, values: np.ndarray) -> np.ndarray:
        if values.shape[0] == 1 and self.leading != (1,):
            return values[0]
        return values.reshape(*self.leading, *values.shape[1:])


def architectures_of(spec: RealNVP, dims: Sequence[int]) -> tuple[Architecture, ...]:
    """Find the shapes of each variable's flow from settings without None."""
    assert spec.couplings is not None
    assert spec.width is not None
    assert spec.activation is not None
    return tuple(Architecture(dim, spec.couplings, spec.width, spec.activation) for dim in dims)


_log_density = jax.jit(jax.vmap(log_density))


def _template(spec: RealNVP, dims: tuple[int, ...]) -> tuple[VariableFlow, ...]:
    """Make the tree of the flows, with anything as leaves."""
    shapes = [
        jax.eval_shape(partial(init_weights, architecture=architecture), jax.random.key(0))
        for architecture in architectures_of(spec, dims)
    ]
    zero: Any = 0
    splines = Spline(knot=zero, score=zero, slope=zero)
    stage = Stage(matrix=zero, splines=splines, is_used=zero, is_unmixing=zero)
    stages = (stage,) * (max(1, spec.unmixings) if is_ranked(spec.marginals) else 0)
    return tuple(VariableFlow(center=zero, scale=zero, stages=stages, weights=weights) for weights in shapes)


def _name(path: Any) -> str:
    return jax.tree_util.keystr(path, simple=True, separator="/")


def _read(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    try:
        with safe_open(path, framework="numpy") as file:
            header = json.loads((file.metadata() or {}).get("pid_jax", "{}"))
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  not a dict
    except FileNotFoundError:
        raise ValueError(f"{path} does not exist: make it with FlowFit.save.") from None
    except SafetensorError as error:
        raise ValueError(f"{path} cannot be read ({error}): make it anew with FlowFit.save.") from error
    if header.get("schema") not in _READABLE:
        raise ValueError(f"{path} holds {header.get('schema', 'no schema')!r}, wanted {_SCHEMA!r}.")
    return arrays, header


def _read_settings(described: dict[str, Any], path: str | Path) -> RealNVP:
    layers = described.get("hidden_layers", 1)
    if layers != 1:
        raise ValueError(
            f"{path} holds flows whose conditioners have {layers} hidden layers, and those of this version have one: "
            "read it with the version that wrote it, or fit again."
        )
    return spec_from_dict({name: value for name, value in described.items() if name not in _EARLIER})


def latents_of(fit: FlowFit, *variables: ArrayLike) -> np.ndarray:
    """Map samples to latents of all variables side by side, (..., m, D), in float64."""
    joined = side_by_side([z.reshape(-1, *z.shape[-2:]) for z in fit.transform(*variables)])
    return joined.reshape(*fit.leading, *joined.shape[1:])


def draw_latents(fit: FlowFit, count: int, key: jax.Array) -> np.ndarray:
    """Draw latents of all variables side by side, (..., count, D), all problems from the same white noise."""
    with single_precision():
        noise = np.asarray(jax.random.normal(key, (count, sum(fit.dims)), jnp.float32), np.float64)
    return fit.mean[..., None, :] + noise @ np.swapaxes(np.linalg.cholesky(fit.cov), -1, -2)


def split_variables(latents: np.ndarray, dims: Sequence[int]) -> list[np.ndarray]:
    """Undo what puts variables side by side."""
    return np.split(latents, np.cumsum(dims)[:-1], axis=-1)


def covariance_of(latents: np.ndarray) -> np.ndarray:
    """Compute the unbiased covariances (..., D, D) of latents (..., n, D), one problem at a time to save memory."""
    *leading, count, size = latents.shape
    flat = latents.reshape(-1, count, size)
    return np.stack([np.cov(x, rowvar=False) for x in flat]).reshape(*leading, size, size)
