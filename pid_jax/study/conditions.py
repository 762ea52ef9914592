"""What a condition cuts, and in which blocks: one name for tables, figures and choices."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pid_jax.store.manifest import BASELINE, GROUPS

WHOLE_WINDOW = "all"
# What the knockouts of the claims cut.
CLAIMED_EDGES = "image-question"


@dataclass(frozen=True, kw_only=True)
class Cut:
    """What a condition cuts, and where.

    Attributes:
        name: What is cut: its edges, such as "image-question+image-last"; the title of its mask; or what the condition
            is called, where it says neither. Of single heads it ends in " (heads)". Empty for the baseline.
        window: The blocks, "all" or such as "0-2", or heads such as "12.3+14.all"; empty for the baseline, and where
            the condition does not say.
        first: First block cut, -1 for the baseline and where the condition does not say.
        last: Last block, included; -1 likewise.
        control_of: Name of the condition that it is a random control of; empty if it is none.
    """

    name: str = ""
    window: str = ""
    first: int = -1
    last: int = -1
    control_of: str = ""


def name_of(condition: Mapping[str, Any]) -> str:
    """Name a condition, as a manifest describes it: "unnamed" if it does not."""
    return str(condition.get("name", "unnamed"))


def cut_of(condition: Mapping[str, Any]) -> Cut:
    """Find what a condition cuts.

    Args:
        condition: The entry of a manifest, of this package or of others: `name` and, all optional, `edges` (pairs of
            groups), `mask` (its title), `heads` (pairs of block and head), `first` and `last` (blocks, both included),
            and `control` with the name of the condition it is a control of, under `of`.
    """
    name = name_of(condition)
    if name == BASELINE:
        return Cut()
    first, last = _ends(condition.get("first"), condition.get("last"))
    stem, _, tail = name.rpartition("@")
    window = tail if stem and tail == WHOLE_WINDOW else f"{first}-{last}" if first >= 0 else ""
    of_heads = ""
    if condition.get("heads"):
        window, of_heads = (tail if stem else window), " (heads)"
    if edges := _joined(condition.get("edges")):
        return Cut(name=f"{edges}{of_heads}", window=window, first=first, last=last)
    mask = condition.get("mask")
    own = mask if isinstance(mask, str) and mask else stem if stem and tail == window else name
    if _reads_as_edges(own):
        own = f"{own} ({'mask' if mask else 'edges unknown'})"
    control = condition.get("control")
    of = str(control.get("of", "")) if isinstance(control, Mapping) else ""
    return Cut(name=f"{own}{of_heads}", window=window, first=first, last=last, control_of=of)


def tell_apart(cuts: Mapping[str, Sequence[Cut]]) -> dict[str, tuple[str, str]]:
    """Return the name and the window of every condition; no two conditions have both in common.

    Models that mean different things by one condition have all of them named. A condition that cuts what another one
    cuts, in the same window, has the name of the condition added.

    Args:
        cuts: By the name of the condition, what it is in each model that has it.
    """
    found: dict[str, tuple[str, str]] = {}
    for condition, own in cuts.items():
        name, window = (" or ".join(dict.fromkeys(getattr(cut, part) for cut in own)) for part in ("name", "window"))
        is_double = bool(name) and (name, window) in found.values()
        found[condition] = (f"{name} ({condition})" if is_double else name, window)
    return found


def labels_of(conditions: Sequence[Mapping[str, Any]]) -> list[str]:
    """Read the labels of conditions, or their names where they have none; none of them twice."""
    labels: list[str] = []
    for condition in conditions:
        label = str(condition.get("label") or name_of(condition))
        labels.append(f"{label} ({name_of(condition)})" if label in labels else label)
    return labels


def _ends(first: Any, last: Any) -> tuple[int, int]:
    """Return both ends of a window, or -1 and -1 if they are none."""
    is_known = all(isinstance(end, int) and not isinstance(end, bool) for end in (first, last)) and 0 <= first <= last
    return (first, last) if is_known else (-1, -1)


def _joined(edges: Any) -> str:
    """Join edges to a name, also those that are written as texts; empty if there are none."""
    if isinstance(edges, str):
        return edges
    if not isinstance(edges, Sequence):
        return ""
    return "+".join(edge if isinstance(edge, str) else "-".join(map(str, edge)) for edge in edges)


def _reads_as_edges(name: str) -> bool:
    pairs = [part.split("-") for part in name.split("+")]
    return all(len(pair) == 2 and set(pair) <= set(GROUPS) for pair in pairs)
