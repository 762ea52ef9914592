"""Variables with the ends of their intervals beside them."""

from collections.abc import Sequence
from typing import Any

import numpy as np

ENDS = ("", "_lower", "_upper")


def with_ends(name: str, dims: Sequence[str], values: np.ndarray, units: str = "") -> dict[str, Any]:
    """Make the variables NAME, NAME_lower and NAME_upper.

    Args:
        name: NAME.
        dims: Dimensions of each.
        values: Value and ends (3, ...).
        units: Unit of all, if they have the same.
    """
    attributes = {"units": units} if units else {}
    return {f"{name}{end}": (tuple(dims), one, attributes) for end, one in zip(ENDS, values, strict=True)}
