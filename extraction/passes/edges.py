"""Token groups, the attention edges between them, and windows of blocks in which they are cut."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from extraction.passes.heads import Head, name_heads, sort_heads
from pid_jax.store.manifest import BASELINE, GROUPS

Edge = tuple[str, str]


@dataclass(frozen=True, kw_only=True)
class Knockout:
    """What is cut.

    Attributes:
        first: First block of the window, counted from 0. With `heads` it is that of the first one.
        last: Last block, included. With `heads` it is that of the last one.
        edges: (from group, to group) pairs: positions of the second can no longer attend to positions of the first.
            "last" may be cut from itself, as it can still attend to all positions before it.
        is_all: Whether the window is all blocks, which the name then says.
        mask: Instead of edges, a function that takes the `TokenGroups` of a batch and returns the (query, key) pairs to
            cut, booleans (batch, queries, keys). `groups.mask("image")` marks the positions of a group, and
            `groups.samples` has the `Sample` of every row, so that what is cut may differ between samples.
        title: What the mask cuts, in a word; for names of folders, tables and figures.
        heads: Heads in which edges are cut, as (block, head) from 0, (block, None) for all heads of a block; all heads
            of all blocks of the window if there are none. Other heads and blocks are left alone.
    """

    first: int = -1
    last: int = -1
    edges: tuple[Edge, ...] = ()
    is_all: bool = False
    mask: Callable[[Any], Any] | None = None
    title: str = ""
    heads: tuple[Head, ...] = ()

    def __post_init__(self) -> None:
        check_edges(self.edges)
        if self.heads:
            self._take_heads()
        if (self.mask is None) != bool(self.edges) or (self.mask is None) == bool(self.title):
            raise ValueError("A knockout needs either edges, or a mask and its title.")
        if not re.fullmatch(r"[\w.+-]*", self.title):
            raise ValueError(f"title names a folder: letters, digits and . _ + - only, got {self.title!r}.")
        if not 0 <= self.first <= self.last:
            raise ValueError(f"window must be 0 <= first <= last, got first={self.first}, last={self.last}.")

    def _take_heads(self) -> None:
        """Check the heads, and set the window to their blocks."""
        for one in self.heads:
            is_pair = isinstance(one, tuple) and len(one) == 2
            if not is_pair or not _is_count(one[0]) or not (one[1] is None or _is_count(one[1])):
                raise ValueError(
                    "heads must be pairs of block and head from 0, such as (12, 3), or (14, None) for all heads of a "
                    f"block, got {one!r}."
                )
        blocks = [block for block, _ in self.heads]
        window = min(blocks), max(blocks)
        if self.is_all or (self.first, self.last) not in ((-1, -1), window):
            raise ValueError(
                f"window is set by heads, blocks {window[0]} to {window[1]}: leave out first, last and is_all, got "
                f"first={self.first}, last={self.last}, is_all={self.is_all}."
            )
        object.__setattr__(self, "heads", sort_heads(self.heads))
        object.__setattr__(self, "first", window[0])
        object.__setattr__(self, "last", window[1])

    @property
    def blocks(self) -> tuple[int, ...]:
        """Blocks in which something is cut, in rising order."""
        if self.heads:
            return tuple(sorted({block for block, _ in self.heads}))
        return tuple(range(self.first, self.last + 1))

    @property
    def what(self) -> str:
        """Name of what is cut: the title of the mask, or the edges."""
        return self.title or "+".join("-".join(edge) for edge in self.edges)

    @property
    def window(self) -> str:
        """Name of where it is cut: "all", blocks such as 0-2, or heads such as 12.3+14.all."""
        if self.heads:
            return name_heads(self.heads)
        return "all" if self.is_all else f"{self.first}-{self.last}"

    @property
    def name(self) -> str:
        """Short name for folders and tables, such as image-question@0-2 or image-question@12.3."""
        return f"{self.what}@{self.window}"

    @property
    def label(self) -> str:
        """Name for figures."""
        edges = ", ".join(f"{source.capitalize()}→{target.capitalize()}" for source, target in self.edges)
        window = "all layers" if self.is_all else f"layers {self.first}–{self.last}"
        if self.heads:
            window = f"heads {self.window}"
        return f"{self.title or edges} cut, {window}"

    @property
    def origin(self) -> dict[str, Any]:
        """What the manifest keeps of how it was made, besides what is cut: nothing."""
        return {}

    @property
    def touches_prefix(self) -> bool:
        """Whether it may change states up to the last image token; assumed of every mask."""
        return self.mask is not None or any(target in ("system", "image") for _, target in self.edges)

    def enter(self, hidden: Any, groups: Any) -> Any:
        """Return the states that enter the first block, (batch, positions, width): unchanged."""
        return hidden

    def positions(self, groups: Any, positions: Any) -> Any:
        """Return the positions of the tokens of a batch of `TokenGroups` under it: unchanged."""
        return positions

    def visible(self, groups: Any) -> Any:
        """Mark what generated tokens may read, (batch, positions): the whole prompt."""
        return groups.is_token


def parse_edges(text: str) -> tuple[tuple[str, str], ...]:
    """Read edges such as "image-question,image-last".

    Raises:
        ValueError: For unknown groups, or a group cut from itself, which would leave positions nothing to attend to.
    """
    edges = tuple(tuple(part.strip().split("-")) for part in text.split(","))
    check_edges(edges)  # type: ignore[arg-type]
    return edges  # type: ignore[return-value]


def check_edges(edges: tuple[Edge, ...]) -> None:
    """Refuse what is no pair of two different groups, as a group cut from itself could have nothing to attend to.

    The last position cut from itself still attends to those before it.
    """
    for edge in edges:
        if edge == ("last", "last"):
            continue
        if len(edge) != 2 or edge[0] == edge[1] or not set(edge) <= set(GROUPS):
            raise ValueError(
                f"edges must be pairs of two different groups of {GROUPS}, such as image-question, or last-last, "
                f"got {'-'.join(edge)!r}."
            )


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def parse_windows(text: str, layers: int) -> list[tuple[int, int, bool]]:
    """Read windows of blocks with commas: "all", "0-2,5-9", or "sliding:7" for one window around every block.

    Args:
        text: The windows.
        layers: Number of decoder blocks.

    Returns:
        (first, last, is_all) for each window, none twice; first and last included.

    Raises:
        ValueError: If a window cannot be read or leaves the model.
    """
    windows = [window for part in text.split(",") for window in _parse_window(part.strip(), layers)]
    return list(dict.fromkeys(windows))


def _parse_window(text: str, layers: int) -> list[tuple[int, int, bool]]:
    if text == "all":
        return [(0, layers - 1, True)]
    if match := re.fullmatch(r"sliding:([1-9]\d*)", text):
        width = int(match[1])
        spans = [(max(0, at - width // 2), min(layers, at + (width + 1) // 2) - 1) for at in range(layers)]
        return [(first, last, False) for first, last in spans]
    match = re.fullmatch(r"(\d+)(?:-(\d+))?", text)
    if match and int(match[1]) <= int(match[2] or match[1]) < layers:
        return [(int(match[1]), int(match[2] or match[1]), False)]
    raise ValueError(
        f"windows must be 'all', 'sliding:W' or ranges within 0-{layers - 1} such as '0-2,5', got {text!r}."
    )


def describe_condition(knockout: Knockout | None) -> dict[str, object]:
    """Describe the condition for the manifest: name, label, edges, heads, first and last block of the window."""
    if knockout is None:
        return {"name": BASELINE, "label": "Baseline", "edges": [], "first": -1, "last": -1}
    return {
        "name": knockout.name,
        "label": knockout.label,
        "edges": [list(edge) for edge in knockout.edges],
        **({"mask": knockout.title} if knockout.mask else {}),
        **(
            {"heads": [[block, "all" if head is None else head] for block, head in knockout.heads]}
            if knockout.heads
            else {}
        ),
        "first": knockout.first,
        "last": knockout.last,
        **knockout.origin,
    }
