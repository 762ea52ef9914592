"""Which arrays of other tools are the states of which role, layer, sample and condition, and what their axes mean."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pid_jax.store.manifest import BASELINE, NORM
from pid_jax.store.shard import StoreError

FIELDS = ("role", "layer", "sample", "condition")
"""What a pattern can name."""
AXES = ("layer", "sample", "token", "feature")
"""What an axis of an array can be."""
# The role of states whose names tell none.
UNNAMED = "state"
_NORMS = ("norm", "final_norm", "ln_final", "final_layernorm")
_LAYER = rf"\d+|{'|'.join(_NORMS)}"
_WORD = r"(?:hidden_states?|layers?|blocks?|hidden|resid|h|l)"
_GUESSES = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"(?:^|(?<=[/._-])){_WORD}[/._-]?(?P<layer>\d+)(?=$|[/._-])",  # layer_12, blocks.12, layers/12
        rf"(?:^|(?<=[/._-]))(?P<layer>{_LAYER})(?=$|[/._-])",  # image/12, image_12, norm/last
    )
)
_ENDINGS = re.compile(r"\.(?:npy|npz|pt|pth|safetensors|h5|hdf5|nc|zarr|parquet|pq|arrow|feather|ipc)(?=/|$)")


@dataclass(frozen=True, kw_only=True)
class ArrayLayout:
    """How to read arrays of other tools as states.

    Attributes:
        pattern: Names of the arrays, with {role}, {layer}, {sample} and {condition} where these stand, such as
            "{role}/layer_{layer}"; endings of files may be given or left out. A layer is a whole number, or "norm" for
            the final norm's output. None takes the layer from the first whole number after a word such as "layer", or
            else between separators, and the role from the rest.
        axes: What the axes of every array are, some of "layer", "sample", "token" and "feature" with blanks, such as
            "layer sample feature". None takes what the number of axes and of samples leaves open.
        masks: Where arrays have one state a token: by role, which tokens are averaged. A mask is an array (samples,
            tokens) of truth values, the position of one token (-1 is the last), an array of such positions (samples,),
            or the name of an array of the source or path of a file with either. They then name the roles.
        columns: Names of columns of the table, by what they are here: {"predicted": "model_output"}.
    """

    pattern: str | None = None
    axes: str | None = None
    masks: Mapping[str, Any] = field(default_factory=dict)
    columns: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.axes is not None:
            names = self.axes.split()
            if not set(names) <= set(AXES) or len(set(names)) < len(names) or not names:
                raise ValueError(f"axes must be some of {', '.join(AXES)} with blanks, each once, got {self.axes!r}.")
        if self.pattern is not None:
            compile_pattern(self.pattern)

    @property
    def axis_names(self) -> tuple[str, ...] | None:
        """The names of the axes, if they are given."""
        return None if self.axes is None else tuple(self.axes.split())


@dataclass(frozen=True, kw_only=True)
class Slot:
    """What the name of an array says.

    Attributes:
        role: Its role, or None.
        layer: Its layer, or None.
        sample: The id of its only sample, or None.
        condition: Its condition, or None.
    """

    role: str | None = None
    layer: int | str | None = None
    sample: str | None = None
    condition: str | None = None


def compile_pattern(pattern: str) -> re.Pattern[str]:
    """Make a regular expression of a pattern of names.

    Raises:
        ValueError: If it has an unknown field, one field twice, or none.
    """
    parts = re.split(r"\{(\w*)\}", _ENDINGS.sub("", pattern).strip("/"))
    texts, names = parts[::2], parts[1::2]
    wrong = sorted(set(names) - set(FIELDS))
    if wrong or len(set(names)) < len(names) or any("{" in text or "}" in text for text in texts):
        raise ValueError(f"layout must have each of {{{'}, {'.join(FIELDS)}}} once at most, got {pattern!r}.")
    kinds = {"layer": _LAYER, "role": "[^/]+?", "sample": "[^/]+?", "condition": "[^/]+?"}
    whole = re.escape(texts[0])
    for name, text in zip(names, texts[1:], strict=True):
        whole += f"(?P<{name}>{kinds[name]}){re.escape(text)}"
    return re.compile(whole)


def place_arrays(names: Iterable[str], pattern: str | None) -> dict[str, Slot]:
    """Find what the names of arrays say.

    Args:
        names: Names without endings of files.
        pattern: See `ArrayLayout`.

    Returns:
        By name, for the names that fit the pattern; for all names where there is no pattern.

    Raises:
        StoreError: If no name fits, with some of the names.
    """
    names = list(names)
    if pattern is None:
        return _without_common({name: _guess(name) for name in names})
    compiled = compile_pattern(pattern)
    found = {name: match.groupdict() for name in names if (match := compiled.fullmatch(name))}
    if not found:
        raise StoreError(
            f"layout {pattern!r} fits none of the {len(names)} arrays, such as {names[:3]}: write these names with "
            "{role} and {layer} in the right places."
        )
    return {name: Slot(**{**own, "layer": _as_layer(own.get("layer"))}) for name, own in found.items()}


def default_axes(
    shape: tuple[int, ...], slot: Slot, samples: int | None, has_tokens: bool, where: str
) -> tuple[str, ...]:
    """Find what the axes of an array are, if its number of axes, or of samples, leaves one answer.

    Args:
        shape: Its shape.
        slot: What its name says.
        samples: Number of samples, if it is known.
        has_tokens: Whether there are masks.
        where: The array, for messages.

    Raises:
        StoreError: If there is none, or more than one.
    """
    rest = (*(("token",) if has_tokens else ()), "feature")
    given = () if slot.sample is not None else ("sample",)
    count = len(shape)
    if count == len(given) + len(rest):
        return (*given, *rest)
    if count == len(given) + len(rest) + 1 and slot.layer is None:
        if not given or samples is None or shape[1] == samples != shape[0]:
            return ("layer", *given, *rest)
        if shape[0] == samples != shape[1]:
            return (*given, "layer", *rest)
    elif count == len(given) and not has_tokens:
        return given
    raise StoreError(
        f"{where} has shape {shape}, and its axes are not clear: give axes, such as 'layer sample feature', and masks "
        "where there is one state a token."
    )


def _guess(name: str) -> Slot:
    for guess in _GUESSES:
        found = list(guess.finditer(name))
        if found:
            match = found[-1]
            role = f"{name[: match.start()]}/{name[match.end() :]}"
            return Slot(role=_clean(role), layer=_as_layer(match["layer"]))
    return Slot(role=_clean(name))


def _without_common(slots: Mapping[str, Slot]) -> dict[str, Slot]:
    """Leave out the parts that the roles begin with and that are the same in all of them, such as a folder."""
    roles = {slot.role: (slot.role or "").split("/") for slot in slots.values()}
    shared = 0
    while len(roles) > 1 and len({tuple(parts[: shared + 1]) for parts in roles.values()}) == 1:
        shared += 1
    return {name: replace(slot, role="/".join(roles[slot.role][shared:])) for name, slot in slots.items()}


def _clean(name: str) -> str:
    """Return what is left of a name as a role."""
    return re.sub(r"[/._-]*/[/._-]*", "/", f"/{name}/").strip("/._-") or UNNAMED


def _as_layer(text: str | None) -> int | str | None:
    if text is None:
        return None
    return NORM if text.lower() in _NORMS else int(text)


def condition_of(name: str | None) -> dict[str, Any]:
    """Return the condition of a manifest."""
    return {"name": BASELINE if name is None else name}
