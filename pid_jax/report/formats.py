"""Numbers as a reader sees them: a fixed count of decimals, a true minus sign, a dash where there is none."""

import re
from collections.abc import Iterable, Sequence

import numpy as np

from pid_jax.plot.quantities import PER_NAT

MISSING = "–"
# Marks of what holds, what does not, and what nobody knows.
HOLDS, FAILS, OPEN = "✓", "✗", "○"


def number(value: float, digits: int = 2) -> str:
    """Write a number."""
    value = float(value)
    if not np.isfinite(value):
        return MISSING
    rounded = round(value, digits) + 0.0  # turns −0.0 into 0.0
    return f"{rounded:.{digits}f}".replace("-", "−")


def bits(nats: float, digits: int = 2) -> str:
    """Write information given in nats in bits, without the unit."""
    return number(float(nats) * PER_NAT["bits"], digits)


def percent(fraction: float, digits: int = 1) -> str:
    """Write a fraction in percent; a dash alone where there is none."""
    text = number(100.0 * float(fraction), digits)
    return text if text == MISSING else f"{text}\u00a0%"


def with_unit(value: float, unit: str) -> str:
    """Write a number in the unit of its variable: nats become bits, a pure number stays alone."""
    if unit == "nats":
        return f"{bits(value)} bits"
    if unit == "layer":
        return number(value, 1).removesuffix(".0")
    return number(value, 3) + ("" if unit in ("", "1") else f" {unit}")


def interval(lower: float, upper: float, unit: str) -> str:
    """Write both ends of an interval, or nothing where there is none."""
    if not (np.isfinite(lower) and np.isfinite(upper)):
        return ""
    return f"{with_unit(lower, unit).removesuffix(' bits')} to {with_unit(upper, unit).removesuffix(' bits')}"


def value_range(values: Iterable[float], digits: int = 2) -> str:
    """Write the least and the largest of some numbers: "0.10 to 0.30", or one number if they read alike."""
    known = [float(v) for v in values if np.isfinite(v)]
    if not known:
        return MISSING
    low, high = number(min(known), digits), number(max(known), digits)
    return low if low == high else f"{low} to {high}"


def joined(words: Sequence[str]) -> str:
    """Write a list as a sentence does: "a, b and c"."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}" if words else "none"


def counted(count: int, noun: str) -> str:
    """Write a count with its noun: "1 cut", "2 cuts"."""
    return f"{count} {noun}" + ("" if count == 1 else "s")


def typeset(text: str) -> str:
    """Write minus signs and I_12 of a sentence as the rest of the page does."""
    return re.sub(r"(?<![\w.)])-(?=\d)", "−", text).replace("I_12", "I₁₂")
