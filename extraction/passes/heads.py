"""Single attention heads of decoder blocks: reading them, checking them, and naming them."""

import hashlib
import re
from collections.abc import Callable, Iterable, Sequence

Head = tuple[int, int | None]
"""Block and head, both counted from 0; None for all heads of the block."""

_EVERY = ("*", "all")
_LONGEST = 80  # characters of a list of heads in a name; longer ones are named by their number and a hash
_RANGE = r"(\d+)(?:-(\d+))?"


def parse_heads(text: str, layers: int, heads: int) -> tuple[Head, ...]:
    """Read heads such as "12.3,14.*" or "12-14.0-3", each as block.head; "*" or "all" for all heads of a block.

    Args:
        text: The heads, with commas or plus signs.
        layers: Number of decoder blocks.
        heads: Number of attention heads per block.

    Returns:
        Blocks and heads in rising order; None for all heads of a block.

    Raises:
        ValueError: If they cannot be read, or the model does not have them.
    """
    found: set[Head] = set()
    for part in re.split(r"[,+]", text):
        match = re.fullmatch(rf"{_RANGE}\.(?:(\*|all)|{_RANGE})", part.strip())
        if not match:
            raise ValueError(
                f"heads must be block.head, such as 12.3, 14.* (all heads of block 14) or 12-14.0-3, with commas, "
                f"got {text!r}."
            )
        blocks = range(int(match[1]), int(match[2] or match[1]) + 1)
        chosen = [None] if match[3] else range(int(match[4]), int(match[5] or match[4]) + 1)
        if not blocks or not chosen:
            raise ValueError(f"heads must have ranges that rise, such as 12-14.0-3, got {part.strip()!r}.")
        found |= {(block, head) for block in blocks for head in chosen}
    check_heads(found, layers, heads)
    return sort_heads(found)


def sort_heads(chosen: Iterable[Head]) -> tuple[Head, ...]:
    """Put heads in rising order, none twice, and without single heads of blocks of which all are chosen."""
    found = set(chosen)
    whole = {block for block, head in found if head is None}
    return tuple(sorted({(block, head) for block, head in found if head is None or block not in whole}, key=_order))


def check_heads(chosen: Iterable[Head], layers: int, heads: int) -> None:
    """Refuse heads that a model does not have.

    Raises:
        ValueError: If a block or a head is outside of the model.
    """
    for block, head in chosen:
        if not 0 <= block < layers or (head is not None and not 0 <= head < heads):
            raise ValueError(
                f"heads must be within blocks 0-{layers - 1} and heads 0-{heads - 1} of the model, got "
                f"{block}.{'*' if head is None else head}."
            )


def name_heads(chosen: Iterable[Head]) -> str:
    """Name heads for folders and tables, such as 12.3+14.all or 12-14.0-3; many single ones by number and a hash."""
    by_block: dict[int, list[int] | None] = {}
    for block, head in sort_heads(chosen):
        by_block[block] = None if head is None else [*(by_block.get(block) or []), head]
    texts = {
        block: [_EVERY[1]] if own is None else [_range(first, last) for first, last in _runs(own)]
        for block, own in by_block.items()
    }
    parts: list[str] = []
    for first, last in _runs(list(texts), lambda one, other: texts[one] == texts[other]):
        parts += [f"{_range(first, last)}.{heads}" for heads in texts[first]]
    name = "+".join(parts)
    if len(name) <= _LONGEST:
        return name
    count = sum(1 if own is None else len(own) for own in by_block.values())
    return f"{count}-heads-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def _order(head: Head) -> tuple[int, int]:
    return head[0], -1 if head[1] is None else head[1]


def _runs(
    numbers: Sequence[int], is_like: Callable[[int, int], bool] = lambda one, other: True
) -> list[tuple[int, int]]:
    """Join successive numbers that are alike: the first and the last of each run."""
    runs: list[tuple[int, int]] = []
    for number in numbers:
        joins = runs and runs[-1][1] == number - 1 and is_like(runs[-1][0], number)
        runs = [*runs[:-1], (runs[-1][0], number)] if joins else [*runs, (number, number)]
    return runs


def _range(first: int, last: int) -> str:
    return str(first) if first == last else f"{first}-{last}"
