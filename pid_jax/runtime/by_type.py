"""The choice of a computation by the type of a setting, which ends in an error where there is none."""

from collections.abc import Mapping
from typing import TypeVar

Case = TypeVar("Case")


def by_type(name: str, value: object, cases: Mapping[type, Case]) -> Case:
    """Return the case that belongs to the type of a setting.

    Args:
        name: Name of the setting, for the error.
        value: The setting.
        cases: What to return, by type.

    Raises:
        TypeError: If no case fits: a new setting needs a case wherever settings of its kind differ.

    Example:
        >>> from pid_jax.runtime.by_type import by_type
        >>> by_type("covariance", 1.5, {int: "whole", float: "real"})
        'real'
    """
    for kind, case in cases.items():
        if isinstance(value, kind):
            return case
    wanted = " or ".join(f"{kind.__name__}()" for kind in cases)
    raise TypeError(f"{name} needs {wanted} here, got {value!r}, for which this computation is not defined.")
