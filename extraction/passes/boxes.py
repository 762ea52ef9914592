"""Image tokens inside of boxes, for masks that cut single objects."""

import math
from collections.abc import Sequence
from typing import Any

import torch

from extraction.errors import shown
from extraction.passes.spans import TokenGroups

Box = Sequence[float]
"""Left, top, right and bottom edge, as parts of the width and the height of what the model sees."""


def image_boxes(groups: TokenGroups, boxes: Sequence[Sequence[Box] | Box]) -> torch.Tensor:
    """Mark the image tokens whose patch overlaps a box.

    It takes one square grid of image tokens in the order of rows, as of LLaVA-1.5. Boxes are parts of the square that
    the model sees: where a processor crops or pads an image, convert them.

    Args:
        groups: The token groups of a batch, as a mask of `Knockout` is given.
        boxes: For each row a box (left, top, right, bottom) within 0 to 1, a list of boxes, or an empty list for none.

    Returns:
        Booleans (batch, positions).

    Raises:
        ValueError: If there is not one entry per row, a box is none, or the image tokens of a row are no square grid.
    """
    if len(boxes) != len(groups.codes):
        raise ValueError(f"boxes must have an entry for each of {len(groups.codes)} rows, got {len(boxes)}.")
    marked = torch.zeros_like(groups.is_token)
    image = groups.mask("image")
    for row, own in enumerate(boxes):
        name = shown(groups.samples[row].id) if groups.samples else f"row {row}"
        places = image[row].nonzero()[:, 0]
        side = math.isqrt(len(places))
        if side * side != len(places) or int(places[-1] - places[0]) != len(places) - 1:
            raise ValueError(
                f"boxes need image tokens in one square grid, got {len(places)} tokens in {name}: mark the tokens of "
                "this model in a mask of your own."
            )
        for box in _as_boxes(own, name):
            marked[row, places] |= _in_grid(box, side).to(marked.device)
    return marked


def _as_boxes(own: Any, name: str) -> list[tuple[float, float, float, float]]:
    """Return one box or several as a list."""
    found = [own] if len(own) and not isinstance(own[0], Sequence) and not hasattr(own[0], "__len__") else list(own)
    for box in found:
        is_box = len(box) == 4 and 0 <= box[0] < box[2] <= 1 and 0 <= box[1] < box[3] <= 1
        if not is_box:
            raise ValueError(
                f"boxes must be (left, top, right, bottom) within 0 to 1 with left < right and top < bottom, got "
                f"{tuple(box)!r} for {name}: divide pixels by the size of the image."
            )
    return [tuple(float(edge) for edge in box) for box in found]  # type: ignore[misc]


def _in_grid(box: tuple[float, float, float, float], side: int) -> torch.Tensor:
    """Mark the patches of a square grid that overlap a box, by rows: (side * side,)."""
    low, high = torch.arange(side) / side, (torch.arange(side) + 1) / side
    columns = (low < box[2]) & (high > box[0])
    rows = (low < box[3]) & (high > box[1])
    return (rows[:, None] & columns[None, :]).flatten()
