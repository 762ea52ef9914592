"""Arrays of any library as NumPy arrays: nothing masked or missing is lost, and nothing is copied without need."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from numbers import Real
from typing import Any

import jax
import numpy as np
from jax.core import Tracer


def to_numpy(name: str, value: Any, core: str = "the core functions pid_broja or pid_mmi") -> np.ndarray:
    """Return an array-like as a NumPy array of real numbers, of its own type where NumPy has it.

    NumPy, masked and JAX arrays, frames and series of pandas and polars, arrays of xarray, tensors of PyTorch, and
    lists of numbers or of any of these. Narrow types that NumPy lacks become float32 (PyTorch) or stay as ml_dtypes
    has them (JAX).

    Args:
        name: What the argument is called.
        value: What came.
        core: The function to use under jit, vmap or grad.

    Raises:
        TypeError: For tracers, and for anything but real numbers.
        ValueError: For masked or missing values.
    """
    if type(value) is np.ndarray and value.dtype.kind in "fiub":
        return value
    converted = _convert(name, value, core)
    with _reading(name, value):
        array = np.asarray(converted)
    if array.dtype == object:
        return _from_objects(name, value, array)
    is_number = array.dtype.kind in "fiub" or (  # bfloat16 and other types that NumPy lacks have kind V
        array.dtype.kind == "V" and jax.numpy.issubdtype(array.dtype, np.number)
    )
    if not is_number:
        raise TypeError(f"{name} must hold real numbers, got {_kind(value, array)}: convert it to float first.")
    return array


def side_by_side(parts: Sequence[np.ndarray]) -> np.ndarray:
    """Join variables (problems, n, d) along their coordinates, as float64; one that is the same in all has length 1."""
    count = max(len(x) for x in parts)
    return np.concatenate([np.broadcast_to(x, (count, *x.shape[1:])) for x in parts], axis=-1, dtype=np.float64)


def row_labels(value: Any) -> Iterator[Any]:
    """Yield the labels of the rows (as pandas indexes) of frames, series and labeled arrays, also in lists of these."""
    if is_from(value, "pandas", "DataFrame", "Series"):
        yield value.index
    elif is_from(value, "xarray", "DataArray") and value.ndim:
        rows = value.dims[max(value.ndim - 2, 0)]
        if rows in value.indexes:
            yield value.indexes[rows]
    elif isinstance(value, (list, tuple)):
        for one in value:
            if isinstance(one, (list, tuple)) or getattr(one, "ndim", 0) > 1:
                yield from row_labels(one)


@contextmanager
def _reading(name: str, value: object) -> Iterator[None]:
    """Name the argument in errors of the libraries that convert it."""
    try:
        yield
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(
            f"{name} cannot be read as an array of numbers ({error}): give every row the same length, or convert "
            f"{type(value).__name__} to a NumPy array first."
        ) from error


def _convert(name: str, value: Any, core: str) -> Any:
    """Return what NumPy reads without loss."""
    if isinstance(value, Tracer):
        raise _traced(name, core)
    if isinstance(value, np.ma.MaskedArray):
        _refuse_missing(name, np.ma.getmaskarray(value), "masked values", f"fill them ({name}.filled(...))")
        return value.data
    if isinstance(value, (list, tuple)):
        return [_convert(name, one, core) for one in value] if _holds_arrays(value) else value
    if is_from(value, "pandas", "DataFrame", "Series", "Index"):
        return _from_pandas(name, value)
    if is_from(value, "polars", "DataFrame", "Series"):
        return _from_polars(name, value)
    with _reading(name, value):
        if is_from(value, "torch", "Tensor"):
            return _from_torch(value)
        if is_from(value, "xarray", "DataArray", "Variable"):
            return value.to_numpy()
        if isinstance(value, jax.Array) and not jax.numpy.issubdtype(value.dtype, jax.dtypes.prng_key):
            return jax.device_get(value)
    return value


def is_from(value: object, library: str, *classes: str) -> bool:
    """Whether an object is of a class of a library: one that was never imported has made none."""
    module = sys.modules.get(library)
    return any(isinstance(value, getattr(module, name, ())) for name in classes)


def _holds_arrays(value: list | tuple) -> bool:
    """Whether a list, or one in it, holds anything but plain numbers."""
    return any(
        _holds_arrays(one) if isinstance(one, (list, tuple)) else hasattr(one, "shape") and not np.isscalar(one)
        for one in value
    )


def _from_pandas(name: str, value: Any) -> np.ndarray:
    """Convert columns to the narrowest type that holds all of them; NaN in columns of NumPy is a number."""
    dtypes = [value.dtype] if value.ndim == 1 else list(value.dtypes)
    plain = [getattr(d, "numpy_dtype", getattr(d, "subtype", d)) for d in dtypes]
    unknown = [d for d, p in zip(dtypes, plain, strict=True) if not isinstance(p, np.dtype) or p.kind not in "fiubcO"]
    if unknown:
        raise TypeError(
            f"{name} must hold real numbers, got a column of dtype {unknown[0]}: convert or remove it first."
        )
    if any(not isinstance(d, np.dtype) for d in dtypes):
        _refuse_missing(name, np.asarray(value.isna()), "missing values (NA)", f"fill them ({name}.fillna(...))")
    with _reading(name, value):
        return value.to_numpy(dtype=np.result_type(*plain) if plain else float)


def _from_polars(name: str, value: Any) -> np.ndarray:
    is_series = len(value.shape) == 1
    missing = [one.is_null().to_numpy() for one in ([value] if is_series else value.get_columns())]
    nulls = missing[0] if is_series else np.array(missing, bool).T
    _refuse_missing(name, nulls, "null values", f"fill them ({name}.fill_null(...))")
    with _reading(name, value):
        return value.to_numpy()


def _from_torch(value: Any) -> np.ndarray:
    """Convert a tensor on any device, with or without a gradient; types that NumPy lacks become float32."""
    tensor = value.detach().to_dense().cpu().resolve_conj().resolve_neg()
    try:
        return tensor.numpy()
    except TypeError:  # bfloat16 and narrower
        return tensor.float().numpy()


def _from_objects(name: str, value: object, array: np.ndarray) -> np.ndarray:
    """Convert Python numbers; refuse everything else."""
    others = [(i, x) for i, x in np.ndenumerate(array) if not isinstance(x, (Real, Decimal, np.bool_))]
    if others:
        index, first = others[0]
        where = f" with {len(others)} other entries, the first {type(first).__name__} at index {index}"
        raise TypeError(
            f"{name} must hold real numbers, got {_kind(value, array)}{where if array.ndim else ''}: convert it to "
            "float first."
        )
    return array.astype(np.float64)


def _refuse_missing(name: str, missing: np.ndarray, what: str, remedy: str) -> None:
    if missing.any():
        first = tuple(int(i) for i in np.argwhere(missing)[0])
        raise ValueError(
            f"{name} has {int(missing.sum())} {what}, the first at index {first}: remove those samples from all "
            f"variables, or {remedy}."
        )


def _traced(name: str, core: str) -> TypeError:
    return TypeError(
        f"{name} is traced by a JAX transformation, but this function checks values and returns NumPy arrays: "
        f"call it outside jit, vmap and grad, or use {core} inside."
    )


def _kind(value: object, array: np.ndarray) -> str:
    return f"dtype {array.dtype}" if array.ndim else type(value).__name__
