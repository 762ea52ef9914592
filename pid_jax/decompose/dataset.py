"""Results as labeled data sets and files: one mechanism for all, from the fields that a result declares."""

import dataclasses
import json
import math
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from itertools import count, takewhile
from operator import methodcaller
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self, Union, get_args, get_origin, get_type_hints

import jax
import numpy as np

from pid_jax.gaussian.information import Information
from pid_jax.gaussian.status import Status
from pid_jax.pid.atoms import PIDAtoms, PIDQuantities
from pid_jax.runtime.files import encode_dataset, read_dataset, write_bytes
from pid_jax.runtime.leading import AxisLabels, LeadingAxes

if TYPE_CHECKING:
    import xarray as xr

STATUS_FLAGS = {"flag_values": [int(s) for s in Status], "flag_meanings": " ".join(s.name for s in Status)}
# Trees with one array a name, all of one shape: the names become the labels of the last dimension.
_LABELED = {PIDAtoms: "atom", Information: "information", PIDQuantities: "quantity"}
_ONLY_LEADING = (...,)
_AXES = "leading_axes"


@dataclass(frozen=True, eq=False, repr=False)
class Result:
    """A result over problems, which are its leading axes: in bits, with other leading axes, as a data set and a file.

    A subclass is a frozen dataclass whose annotations say what a field is: an array or a tree of arrays, another
    result, or a setting, which JSON can hold. The subclass names what annotations do not say:

        class Found(Result, amounts=("value", "drawn"), axes={"drawn": ("draw", ...)}): ...

    `amounts` are the fields in units of information, and need a field `unit`. `axes` are the axes of an array where
    there are others than the leading ones, which are `...`. `flat` are trees whose arrays are variables of a data set
    under their own names. `version` changes with the layout of files.

    Attributes:
        leading_axes: Names and labels of the leading axes, where arrays of xarray gave them; else empty.
    """

    leading_axes: AxisLabels = field(default_factory=dict, kw_only=True)

    _amounts: ClassVar[tuple[str, ...]] = ()
    _axes: ClassVar[Mapping[str, tuple]] = {}
    _flat: ClassVar[tuple[str, ...]] = ()
    _schema: ClassVar[str] = ""

    def __init_subclass__(
        cls,
        amounts: tuple[str, ...] = (),
        axes: Mapping[str, tuple] | None = None,
        version: int = 1,
        flat: tuple[str, ...] = (),
    ) -> None:
        super().__init_subclass__()
        cls._amounts, cls._axes, cls._flat = amounts, axes or {}, flat
        cls._schema = f"pid_jax.{cls.__name__}/{version}"

    def in_bits(self) -> Self:
        """Return the same result in bits."""
        if vars(self)["unit"] == "bits":
            return self
        changed = {name: jax.tree.map(_in_bits, getattr(self, name)) for name in self._amounts}
        changed |= {name: value.in_bits() for name, value in vars(self).items() if isinstance(value, Result)}
        return dataclasses.replace(self, **changed, unit="bits")

    def reshape(self, leading: tuple[int, ...]) -> Self:
        """Return the same result with other leading axes, which have no names."""
        return self.on(LeadingAxes(shape=leading))

    def on(self, leading: LeadingAxes) -> Self:
        """Return the same result with other leading axes and their names."""
        old = len(self._leading())

        def place(value: Any, at: int) -> np.ndarray:
            return np.reshape(value, (*np.shape(value)[:at], *leading.shape, *np.shape(value)[at + old :]))

        return dataclasses.replace(
            self, **self._changed(place, methodcaller("on", leading)), leading_axes=leading.labels
        )

    def take(self, index: int) -> Self:
        """Return one entry of the first leading axis."""

        def choose(value: Any, at: int) -> np.ndarray:
            return np.take(value, index, axis=at)

        rest = dict([*self.leading_axes.items()][1:])
        return dataclasses.replace(self, **self._changed(choose, methodcaller("take", index)), leading_axes=rest)

    def without(self, status: np.ndarray) -> Self:
        """Return the same result with NaN for all numbers of problems that could not be computed.

        Args:
            status: `Status` of each problem, with the leading axes; those that are `OK` keep their numbers and status.
        """
        is_bad = np.asarray(status) != Status.OK
        if not is_bad.any():
            return self

        def drop(value: Any, at: int) -> Any:
            if not np.issubdtype(np.asarray(value).dtype, np.floating):
                return value
            trailing = np.ndim(value) - at - is_bad.ndim
            return np.where(is_bad.reshape((*is_bad.shape, *[1] * trailing)), np.nan, value)

        changed = self._changed(drop, methodcaller("without", status))
        if "status" in changed:
            own = changed["status"]
            changed["status"] = np.where(is_bad, status, own).astype(own.dtype)
        return dataclasses.replace(self, **changed)

    def _changed(self, change: Callable[..., Any], of_result: Callable[[Any], Any]) -> dict[str, Any]:
        """Change all arrays with the leading axes, given the place of these, and all results inside of this one."""
        changed = {}
        for name, value in vars(self).items():
            axes = self._axes.get(name, _ONLY_LEADING)
            if isinstance(value, Result):
                changed[name] = of_result(value)
            elif (isinstance(value, (np.ndarray, np.generic)) or dataclasses.is_dataclass(value)) and ... in axes:
                changed[name] = jax.tree.map(partial(change, at=axes.index(...)), value)
        return changed

    def to_xarray(self, axes: Sequence[str] | None = None) -> "xr.Dataset":
        """Return a labeled data set.

        Args:
            axes: Names of the leading axes; their own, or "batch_0", "batch_1", ..., if not given.

        Raises:
            ValueError: If the names do not fit.
        """
        lead = self._name_axes(axes, len(self._leading()))
        data: dict[str, Any] = {}
        coords: dict[str, Any] = {}
        attrs = self._common_attributes(lead)
        for name, kind in _kinds(type(self)).items():
            value = getattr(self, name)
            if isinstance(value, Result):
                inner = _prefixed(value.to_xarray([*lead]), f"{name}_", [*lead])
                data |= {str(n): (v.dims, v.values, v.attrs) for n, v in inner.data_vars.items()}
                coords |= {str(n): v.values for n, v in inner.coords.items() if n not in lead}
                attrs |= inner.attrs
            elif value is not None and _has_arrays(kind):
                units = {"units": vars(self)["unit"]} if name in self._amounts else {}
                own = ((leaf, array, {}) for leaf, array in vars(value).items()) if name in self._flat else None
                for leaf, array, labels in own or _leaves(name, value):
                    template = self._axes.get(leaf, _ONLY_LEADING)
                    dims = [d for axis in template for d in (lead if axis is ... else [axis])]
                    data[leaf] = ([*dims, *labels], array, STATUS_FLAGS if leaf == "status" else units)
                    coords |= labels
            elif value is not None:
                attrs[name] = _attribute(value)
        return labeled(lead, data, coords, attrs)

    @classmethod
    def from_xarray(cls, data: "xr.Dataset") -> Self:
        """Return the result that `to_xarray` made a data set of.

        Raises:
            ValueError: If it was made of something else.
        """
        cls._check_schema(data)
        values = {}
        for name, kind in _kinds(cls).items():
            if isinstance(kind, type) and issubclass(kind, Result):
                values[name] = kind.from_xarray(_without_prefix(data, f"{name}_"))
            elif name in cls._flat:
                values[name] = kind(**{f.name: data[f.name].values for f in dataclasses.fields(kind)})
            elif _has_arrays(kind):
                values[name] = _join(name, kind, data)
            else:
                values[name] = _setting(data.attrs.get(name), kind)
        return cls(**values, leading_axes=read_axes(data))

    def save(self, path: str | Path) -> Path:
        """Write the result to one netCDF file, whole or not at all; without flows, see `FlowFit.save`."""
        write_bytes(Path(path), encode_dataset(self.to_xarray()))
        return Path(path)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read what `save` wrote.

        Raises:
            ValueError: If the file is missing or holds something else.
        """
        return cls.from_xarray(read_dataset(path, cls._schema, f"{cls.__name__}.save"))

    @classmethod
    def _check_schema(cls, data: "xr.Dataset") -> None:
        found = data.attrs.get("schema", "no schema")
        if found != cls._schema:
            raise ValueError(f"data holds {found!r}, wanted {cls._schema!r}: make it with {cls.__name__}.to_xarray.")

    def _name_axes(self, axes: Sequence[str] | None, number: int) -> AxisLabels:
        """Return the leading axes under their own names or others."""
        names = lead_axes([*self.leading_axes] or None if axes is None else axes, number)
        return dict(zip(names, [*self.leading_axes.values()] or [None] * number, strict=True))

    def _common_attributes(self, lead: AxisLabels) -> dict[str, Any]:
        """Return the attributes of all data sets: which result they hold, and which axes have names of their own."""
        return {"schema": self._schema} | ({_AXES: json.dumps([*lead])} if self.leading_axes else {})

    def _leading(self) -> tuple[int, ...]:
        """Find the leading axes: those of the first array that has no others."""
        for name, value in vars(self).items():
            if name not in self._axes and (isinstance(value, (np.ndarray, np.generic)) or type(value) in _LABELED):
                return np.shape(jax.tree.leaves(value)[0])
        raise TypeError(f"{type(self).__name__} needs an array with the leading axes alone.")


def read_axes(data: "xr.Dataset") -> AxisLabels:
    """Read what a data set says of its leading axes."""
    names = json.loads(data.attrs.get(_AXES, "[]"))
    return {name: data.coords[name].to_numpy() if name in data.coords else None for name in names}


def lead_axes(axes: Sequence[str] | None, number: int) -> list[str]:
    """Check the names of leading axes, or number them."""
    if axes is None:
        return [f"batch_{i}" for i in range(number)]
    lead = [axes] if isinstance(axes, str) else list(axes)
    if len(lead) != number or len(set(lead)) < number:
        raise ValueError(f"axes needs {number} names, one for each leading axis, got {lead}.")
    return lead


def labeled(
    lead: AxisLabels, data: Mapping[str, tuple], coords: Mapping[str, Any], attrs: Mapping[str, Any]
) -> "xr.Dataset":
    """Make a data set, after checking that the names of leading axes are not those of something else."""
    import xarray as xr

    twice = {d for dims, *_ in data.values() for d in dims if list(dims).count(d) > 1}
    taken = sorted({*lead} & {*data, *coords, *twice})
    if taken:
        raise ValueError(f"axes needs names that the result itself does not use, got {taken}: rename them.")
    labels = {name: own for name, own in lead.items() if own is not None}
    return xr.Dataset(data, coords={**coords, **labels}, attrs=attrs)


def _in_bits(nats: Any) -> Any:
    bits = nats / math.log(2)
    return np.asarray(bits) if isinstance(nats, np.ndarray) else bits  # arrays without axes stay arrays


@cache
def _kinds(result: type) -> dict[str, Any]:
    """Read from annotations what each field is: an array, a tree of arrays, a result, or a type of settings."""
    hints = get_type_hints(result)
    return {f.name: _without_none(hints[f.name]) for f in dataclasses.fields(result) if f.name != _AXES}


def _without_none(hint: Any) -> Any:
    if get_origin(hint) in (Union, types.UnionType):
        (hint,) = (one for one in get_args(hint) if one is not type(None))
    return hint


def _has_arrays(kind: Any) -> bool:
    return kind is np.ndarray or dataclasses.is_dataclass(kind)


def _leaves(name: str, value: Any) -> Iterator[tuple[str, np.ndarray, dict[str, list[str]]]]:
    """Name the arrays of a tree, with the labels of the dimension that they were stacked on."""
    if type(value) in _LABELED:
        yield name, np.stack([*vars(value).values()], axis=-1), {_LABELED[type(value)]: [*vars(value)]}
    elif dataclasses.is_dataclass(value) or isinstance(value, tuple):
        parts = enumerate(value, 1) if isinstance(value, tuple) else vars(value).items()
        for part, one in parts:
            yield from _leaves(f"{name}_{part}", one)
    else:
        yield name, np.asarray(value), {}


def _join(name: str, kind: Any, data: "xr.Dataset") -> Any:
    """Undo `_leaves`; None where a data set lacks the field."""
    if kind in _LABELED:
        if name not in data:
            return None
        return kind(**{part: data[name].sel({_LABELED[kind]: part}).values for part in data[_LABELED[kind]].values})
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        hints = get_type_hints(kind)
        return kind(**{f.name: _join(f"{name}_{f.name}", hints[f.name], data) for f in dataclasses.fields(kind)})
    if get_origin(kind) is tuple:
        numbered = takewhile(lambda one: one in data, (f"{name}_{number}" for number in count(1)))
        return tuple(data[one].values for one in numbered)
    return data[name].values if name in data else None


def _attribute(value: Any) -> str | int | float:
    """Write a setting as an attribute of a file can be: in JSON where it is no single text or number."""
    is_plain = isinstance(value, (str, int, float)) and not isinstance(value, bool)
    return value if is_plain else json.dumps(value, default=methodcaller("item"))


def _setting(value: Any, kind: Any) -> Any:
    """Undo `_attribute`; what is not there was None."""
    if value is None or kind in (str, int, float):
        return value if value is None else kind(value)
    found = json.loads(value)
    return tuple(found) if isinstance(found, list) else found


def _prefixed(data: "xr.Dataset", prefix: str, lead: Sequence[str]) -> "xr.Dataset":
    """Rename all but the leading axes of a data set."""
    renamed = data.rename({name: f"{prefix}{name}" for name in {*data.dims, *data.variables} - {*lead}})
    renamed.attrs = {f"{prefix}{name}": value for name, value in data.attrs.items()}
    return renamed


def _without_prefix(data: "xr.Dataset", prefix: str) -> "xr.Dataset":
    """Undo `_prefixed`, of one part of a data set."""
    own = data[[name for name in data.data_vars if str(name).startswith(prefix)]]
    found = own.rename(
        {n: str(n).removeprefix(prefix) for n in {*own.dims, *own.variables} if str(n).startswith(prefix)}
    )
    found.attrs = {k.removeprefix(prefix): v for k, v in data.attrs.items() if k.startswith(prefix)}
    return found
