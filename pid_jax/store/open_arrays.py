"""From arrays of other tools, by name, to states by role and layer."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pid_jax.store.arrays import ArrayActivations, Part
from pid_jax.store.formats.array import FormatError, LazyArray
from pid_jax.store.formats.listing import list_arrays
from pid_jax.store.layout import UNNAMED, ArrayLayout, Slot, condition_of, default_axes, place_arrays
from pid_jax.store.manifest import BASELINE, NORM, Manifest, tensor_name
from pid_jax.store.masks import Mask, read_masks
from pid_jax.store.sample_table import ALIASES, complete_columns, name_columns, read_table
from pid_jax.store.shard import StoreError

_ALIASES = {alias for aliases in ALIASES.values() for alias in aliases}


def open_arrays(
    source: Any, table: Any = None, layout: ArrayLayout | None = None, condition: str | None = None
) -> ArrayActivations:
    """Open arrays of other tools as states.

    Args:
        source: See `list_arrays`.
        table: What is known of the samples, one row each: a file, a mapping or a data frame, see `read_table`. Rows are
            in the order of the arrays, unless the source has ids of its own or one array a sample. Without a table,
            columns are those of the source.
        layout: How to read the arrays; the default finds out.
        condition: Which condition to open, where the layout names conditions; "baseline" if not given.

    Raises:
        StoreError: If names, shapes, types or counts do not fit, or files are damaged.
        TypeError: If source or table is of another kind.
    """
    layout = ArrayLayout() if layout is None else layout
    try:
        arrays = list_arrays(source)
        known = {} if table is None else name_columns(read_table(table), layout.columns)
    except FormatError as error:
        raise StoreError(str(error)) from error
    where = str(source) if isinstance(source, str | Path) else f"{type(source).__name__} in memory"
    return _Opening(where, arrays, known, layout).open(condition)


def list_conditions(source: Any, layout: ArrayLayout) -> list[str]:
    """List the conditions of a source: the baseline alone where the layout names none."""
    try:
        slots = place_arrays(list_arrays(source), layout.pattern)
    except FormatError as error:
        raise StoreError(str(error)) from error
    return list(dict.fromkeys(slot.condition or BASELINE for slot in slots.values()))


class _Opening:
    """The steps from arrays by name to states by role and layer."""

    def __init__(
        self, where: str, arrays: Mapping[str, LazyArray], known: Mapping[str, np.ndarray], layout: ArrayLayout
    ) -> None:
        self.where, self.arrays, self.layout = where, arrays, layout
        beside = {name: array for name, array in arrays.items() if _is_column(name, array, layout)}
        self.own_columns, self.known = beside, known
        self.names_of_masks = {one for one in layout.masks.values() if isinstance(one, str)}

    def open(self, condition: str | None) -> ArrayActivations:
        """Open the states of one condition."""
        slots = self._slots(condition)
        columns = self._columns(slots)
        ids = tuple(columns["id"].tolist())
        masks = read_masks(self.layout.masks, self.arrays, ids, self.where)
        parts = self._parts(slots, ids, masks)
        settings = {"data": {"reader": "arrays"}, "layout": {"pattern": self.layout.pattern, "axes": self.layout.axes}}
        manifest = Manifest(
            ids=ids, shard_size=len(ids), tensors=tuple(parts), condition=condition_of(condition), settings=settings
        )
        return ArrayActivations(self.where, manifest, columns, parts)

    def _slots(self, condition: str | None) -> dict[str, Slot]:
        left = [name for name in self.arrays if name not in self.own_columns and not self._is_mask(name)]
        slots = place_arrays(left, self.layout.pattern)
        if self.layout.pattern is None:  # a pattern leaves out what is no state
            slots = {name: slot for name, slot in slots.items() if self.arrays[name].is_numeric}
        there = list(dict.fromkeys(slot.condition for slot in slots.values() if slot.condition is not None))
        wanted = condition or (BASELINE if there else None)
        if there and wanted not in there:
            raise StoreError(f"condition must be one of {there}, got {wanted!r}: the layout names these.")
        if not there and condition not in (None, BASELINE):
            raise StoreError(f"condition {condition!r} was asked for, and the layout has no {{condition}}.")
        found = {name: slot for name, slot in slots.items() if not there or slot.condition == wanted}
        for name in found:
            self._check_numbers(self.arrays[name])
        if not found:
            raise StoreError(f"{self.where} holds no array of states, only {[*self.arrays][:5]}: check the layout.")
        return found

    def _is_mask(self, name: str) -> bool:
        return name in self.names_of_masks or any(
            "{sample}" in mask and place_matches(mask, name) for mask in self.names_of_masks
        )

    def _check_numbers(self, array: LazyArray) -> None:
        if array.problem:
            raise StoreError(f"{array.where} {array.problem}.")
        if not array.is_numeric:
            raise StoreError(f"{array.where} has values of type {array.dtype}, wanted real numbers: convert them.")
        if 0 in array.shape or not array.shape:
            raise StoreError(f"{array.where} has shape {array.shape}, wanted one row a sample and at least one number.")

    def _columns(self, slots: Mapping[str, Slot]) -> dict[str, np.ndarray]:
        """Find what is known of the samples, in the order of the arrays."""
        beside = {name.rsplit("/", 1)[-1]: array.read() for name, array in self.own_columns.items()}
        own = name_columns(beside, {} if self.known else self.layout.columns)
        samples = list(dict.fromkeys(slot.sample for slot in slots.values() if slot.sample is not None))
        if self.known:
            columns = dict(self.known)
            if "id" in own and "id" in columns and not samples:
                columns = _reorder(columns, own["id"], self.where)
            return complete_columns(columns, len(next(iter(columns.values()))))
        if samples:
            own = {"id": np.array(samples, dtype=np.str_)}
        count = len(samples) or self._count(slots)
        if wrong := {name: len(values) for name, values in own.items() if len(values) != count}:
            raise StoreError(f"{self.where} has columns of {wrong} values, and states of {count} samples.")
        return complete_columns(own, count)

    def _count(self, slots: Mapping[str, Slot]) -> int:
        name, slot = next(iter(slots.items()))
        array = self.arrays[name]
        return array.shape[self._axes(array, slot, None).index("sample")]

    def _axes(self, array: LazyArray, slot: Slot, samples: int | None) -> tuple[str, ...]:
        axes = self.layout.axis_names
        if axes is None:
            return default_axes(array.shape, slot, samples, bool(self.layout.masks), array.where)
        if len(axes) != len(array.shape):
            raise StoreError(f"{array.where} has shape {array.shape}, and axes names {len(axes)} axes: {axes}.")
        for one, is_named in (("sample", slot.sample is not None), ("layer", slot.layer is not None)):
            if is_named and one in axes:
                raise StoreError(f"{one} is in the layout and in axes {axes}: leave one of them out.")
        if "sample" not in axes and slot.sample is None:
            raise StoreError(f"axes {axes} has no sample, and the layout has no {{sample}}: name it in one of them.")
        if ("token" in axes) != bool(self.layout.masks):
            raise StoreError(f"axes {axes} and masks {[*self.layout.masks]} do not fit: a token axis needs masks.")
        return axes

    def _parts(self, slots: Mapping[str, Slot], ids: Sequence[str], masks: Mapping[str, Mask]) -> dict[str, Part]:
        groups: dict[tuple[str | None, int | str | None], dict[str | None, LazyArray]] = {}
        for name, slot in slots.items():
            group = groups.setdefault((slot.role, slot.layer), {})
            if slot.sample in group:
                raise StoreError(
                    f"{self.arrays[name].where} and {group[slot.sample].where} are both role {slot.role!r}, layer "
                    f"{slot.layer!r}: give a layout that tells them apart."
                )
            group[slot.sample] = self.arrays[name]
        if masks and len({role for role, _ in groups}) > 1:
            some = sorted({str(role) for role, _ in groups})
            raise StoreError(f"masks name the roles, and the arrays have several, {some[:4]}: name one in the layout.")
        parts: dict[str, Part] = {}
        for (role, layer), group in groups.items():
            for own, part in self._parts_of(layer, group, ids, masks):
                for name, mask in (masks or {role or UNNAMED: None}).items():
                    parts[tensor_name(name, own)] = Part(
                        arrays=part.arrays, axes=part.axes, layer=part.layer, mask=mask
                    )
        self._check_widths(parts)
        return dict(sorted(parts.items()))

    def _parts_of(
        self,
        layer: int | str | None,
        group: Mapping[str | None, LazyArray],
        ids: Sequence[str],
        masks: Mapping[str, Mask],
    ) -> list[tuple[int | str, Part]]:
        """Make the parts of one role: one a layer."""
        is_by_sample = None not in group
        if is_by_sample:
            missing, more = [i for i in ids if i not in group], [i for i in group if i not in set(ids)]
            if missing or more:
                raise StoreError(
                    f"{self.where} has states of {len(group)} samples at layer {layer!r}, and the table {len(ids)}: "
                    f"{len(missing)} have no states, such as {missing[:3]}, and {len(more)} no row, such as {more[:3]}."
                )
        arrays = tuple(group[i] for i in ids) if is_by_sample else tuple(group.values())
        slot = Slot(layer=layer, sample="" if is_by_sample else None)
        axes = self._axes(arrays[0], slot, len(ids))
        for array in arrays:
            self._check_shape(array, arrays[0], axes, ids, masks)
        if "layer" not in axes:
            return [(0 if layer is None else layer, Part(arrays=arrays, axes=axes))]
        count = arrays[0].shape[axes.index("layer")]
        return [(own, Part(arrays=arrays, axes=axes, layer=own)) for own in range(count)]

    def _check_shape(
        self, array: LazyArray, first: LazyArray, axes: Sequence[str], ids: Sequence[str], masks: Mapping[str, Mask]
    ) -> None:
        own = dict(zip(axes, array.shape, strict=False))
        other = dict(zip(axes, first.shape, strict=False))
        fixed = {name: size for name, size in own.items() if name in ("layer", "feature")}
        if len(array.shape) != len(axes) or any(other[name] != size for name, size in fixed.items()):
            raise StoreError(f"{array.where} has shape {array.shape}, and {first.where} {first.shape}: wanted alike.")
        if "sample" in own and own["sample"] != len(ids):
            raise StoreError(
                f"{array.where} has {own['sample']} samples (shape {array.shape}), and the table or the other arrays "
                f"{len(ids)}: give states and rows of the same samples, or axes."
            )
        for mask in masks.values():
            mask.check(array.where, own.get("token"), is_by_sample="sample" not in own)

    def _check_widths(self, parts: Mapping[str, Part]) -> None:
        """Refuse layers of a role that have several widths."""
        widths: dict[str, tuple[int, str]] = {}
        for name, part in parts.items():
            layer, role = name.split("/", 1)
            width = part.arrays[0].shape[part.axes.index("feature")] if "feature" in part.axes else 1
            first, where = widths.setdefault(role if layer != NORM else name, (width, part.arrays[0].where))
            if width != first:
                raise StoreError(
                    f"{part.arrays[0].where} has {width} values a state, {where} has {first}: layers of one role need "
                    "one width."
                )


def place_matches(pattern: str, name: str) -> bool:
    """Return whether a name fits a pattern."""
    try:
        return bool(place_arrays([name], pattern))
    except StoreError:
        return False


def _is_column(name: str, array: LazyArray, layout: ArrayLayout) -> bool:
    """Return whether an array says something about samples: texts, or one value each under a name for that."""
    last = name.rsplit("/", 1)[-1]
    is_named = last.lower() in _ALIASES or last in layout.columns.values()
    return len(array.shape) == 1 and (array.is_text or is_named) and not array.problem


def _reorder(columns: Mapping[str, np.ndarray], ids: np.ndarray, where: str) -> dict[str, np.ndarray]:
    """Bring the rows of a table into the order of the ids that the source has."""
    at = {one: row for row, one in enumerate(columns["id"].tolist())}
    missing = [one for one in ids.tolist() if one not in at]
    if missing:
        raise StoreError(f"{where} has {len(missing)} samples without a row in the table, such as {missing[:3]}.")
    rows = [at[one] for one in ids.tolist()]
    return {name: values[rows] for name, values in columns.items()}
