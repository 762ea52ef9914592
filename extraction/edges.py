"""Token groups, the attention edges between them, and windows of blocks in which they are cut."""

import re
from dataclasses import dataclass

GROUPS = ("system", "image", "question", "suffix", "last")
BASELINE = "baseline"


@dataclass(frozen=True, kw_only=True)
class Knockout:
    """What is cut.

    Attributes:
        edges: (from group, to group) pairs: positions of the second can no longer attend to positions of the first.
        first: First block of the window, counted from 0.
        last: Last block, included.
        is_all: Whether the window is all blocks, which the name then says.
    """

    edges: tuple[tuple[str, str], ...]
    first: int
    last: int
    is_all: bool = False

    @property
    def name(self) -> str:
        """Short name for folders and tables, such as image-question@0-2."""
        window = "all" if self.is_all else f"{self.first}-{self.last}"
        return f"{'+'.join('-'.join(edge) for edge in self.edges)}@{window}"

    @property
    def label(self) -> str:
        """Name for figures."""
        edges = ", ".join(f"{source.capitalize()}→{target.capitalize()}" for source, target in self.edges)
        return f"{edges} cut, {'all layers' if self.is_all else f'layers {self.first}–{self.last}'}"


def parse_edges(text: str) -> tuple[tuple[str, str], ...]:
    """Read edges such as "image-question,image-last".

    Raises:
        ValueError: For unknown groups, or a group cut from itself, which would leave positions nothing to attend to.
    """
    edges = tuple(tuple(part.strip().split("-")) for part in text.split(","))
    for edge in edges:
        if len(edge) != 2 or edge[0] == edge[1] or not set(edge) <= set(GROUPS):
            raise ValueError(
                f"edges must be pairs of two different groups of {GROUPS}, such as image-question, "
                f"got {'-'.join(edge)!r}."
            )
    return edges  # type: ignore[return-value]


def parse_windows(text: str, layers: int) -> list[tuple[int, int, bool]]:
    """Read windows of blocks: "all", "0-2,5-9", or "sliding:7" for one window around every block.

    Args:
        text: The windows.
        layers: Number of decoder blocks.

    Returns:
        (first, last, is_all) for each window; first and last included.

    Raises:
        ValueError: If a window cannot be read or leaves the model.
    """
    if match := re.fullmatch(r"sliding:([1-9]\d*)", text.strip()):
        width = int(match[1])
        spans = [(max(0, at - width // 2), min(layers, at + (width + 1) // 2) - 1) for at in range(layers)]
        return [(first, last, False) for first, last in spans]
    windows = []
    for part in text.split(","):
        match = re.fullmatch(r"(\d+)(?:-(\d+))?", part.strip())
        if part.strip() == "all":
            windows.append((0, layers - 1, True))
        elif match and int(match[1]) <= int(match[2] or match[1]) < layers:
            windows.append((int(match[1]), int(match[2] or match[1]), False))
        else:
            raise ValueError(
                f"windows must be 'all', 'sliding:W' or ranges within 0-{layers - 1} such as '0-2,5', "
                f"got {part.strip()!r}."
            )
    return windows


def describe_condition(knockout: Knockout | None) -> dict[str, object]:
    """Describe the condition for the manifest: name, label, edges, first and last block of the window."""
    if knockout is None:
        return {"name": BASELINE, "label": "Baseline", "edges": [], "first": -1, "last": -1}
    return {
        "name": knockout.name,
        "label": knockout.label,
        "edges": [list(edge) for edge in knockout.edges],
        "first": knockout.first,
        "last": knockout.last,
    }
