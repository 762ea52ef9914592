"""Lines that results of inference show."""

import numpy as np

from pid_jax.gaussian.status import Status


def range_of(values: np.ndarray, form: str = ".4f") -> str:
    """Return the range of what is known among some numbers, in a format; NaN if nothing is."""
    known = values[~np.isnan(values)]
    ends = (known.min(), known.max()) if known.size else (np.nan, np.nan)
    return f"{ends[0]:{form}}" if values.size == 1 else f"{ends[0]:{form}} to {ends[1]:{form}}"


def smallest_of(values: np.ndarray) -> str:
    """Return the smallest known number as text; NaN if there is none."""
    known = values[~np.isnan(values)]
    return f"{known.min():.4f}" if known.size else "NaN"


def describe_status(status: np.ndarray, width: int) -> list[str]:
    """Return a line with the statuses other than `OK` and how many problems have each, or no line.

    Args:
        status: `Status` of each problem.
        width: Width of the heading.
    """
    bad = {Status(code).name: int((status == code).sum()) for code in np.unique(status) if code}
    return [f"  {'status:':<{width}}{bad}"] if bad else []
