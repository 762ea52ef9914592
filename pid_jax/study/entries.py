"""Kinds of entries of a study file: each is checked, and refused by a message that names it."""

from collections.abc import Callable, Mapping
from typing import Any


def take_known(
    content: Mapping[str, Any], known: Mapping[str, Callable[[str, Any], Any]], where: str
) -> dict[str, Any]:
    """Check every entry of a table, and refuse those that are not known."""
    unknown = [name for name in content if name not in known]
    if unknown:
        raise ValueError(f"{where} has no entry {unknown[0]!r}; there are {', '.join(known)}.")
    return {name: known[name](name, value) for name, value in content.items()}


def take_text(name: str, value: Any) -> str:
    """Take a text that is not empty."""
    if not isinstance(value, str) or not value:
        raise ValueError(f"{name} needs a text, got {value!r}.")
    return value


def take_texts(name: str, value: Any) -> tuple[str, ...]:
    """Take a list of texts."""
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise ValueError(f'{name} needs a list of texts such as ["a", "b"], got {value!r}.')
    return tuple(value)


def take_whole(name: str, value: Any) -> int:
    """Take a whole number."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError(f"{name} needs a whole number, got {value!r}.")
    return value


def take_truth(name: str, value: Any) -> bool:
    """Take true or false."""
    if not isinstance(value, bool):
        raise ValueError(f"{name} needs true or false, got {value!r}.")
    return value


def take_number(name: str, value: Any) -> float:
    """Take a number."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise ValueError(f"{name} needs a number, got {value!r}.")
    return float(value)


def take_dims(name: str, value: Any) -> tuple[int, ...]:
    """Take the dims of source_1, source_2 and target."""
    if not isinstance(value, list) or len(value) != 3 or not all(type(one) is int and one > 0 for one in value):
        raise ValueError(f"{name} needs three whole numbers above 0 such as [12, 12, 8], got {value!r}.")
    return tuple(value)


def take_several_dims(name: str, value: Any) -> tuple[tuple[int, ...], ...]:
    """Take a list of such dims."""
    if not isinstance(value, list):
        raise ValueError(f"{name} needs a list such as [[8, 8, 4]], got {value!r}.")
    return tuple(take_dims(f"{name}[{i}]", one) for i, one in enumerate(value))


def take_names(name: str, value: Any) -> dict[str, str]:
    """Take a table of texts."""
    if not isinstance(value, dict) or not all(isinstance(one, str) for one in value.values()):
        raise ValueError(f'{name} needs a table of texts such as {{predicted = "output"}}, got {value!r}.')
    return value


def take_masks(name: str, value: Any) -> dict[str, str | int]:
    """Take a table of names or files of masks, or positions of tokens."""
    if not isinstance(value, dict) or not all(type(one) in (str, int) for one in value.values()):
        raise ValueError(f'{name} needs a table such as {{image = "masks/image.npy", last = -1}}, got {value!r}.')
    return value


def one_of(known: Mapping[str, Any], is_value: bool, *more: str) -> Callable[[str, Any], Any]:
    """Take one name, or what it stands for."""

    def take(name: str, value: Any) -> Any:
        if value not in (*known, *more):
            raise ValueError(f"{name} needs one of {[*known, *more]}, got {value!r}.")
        return known[value] if is_value else value

    return take


def some_of(known: Mapping[str, Any], is_value: bool) -> Callable[[str, Any], tuple]:
    """Take a list of names, or what they stand for."""
    one = one_of(known, is_value)
    return lambda name, value: tuple(one(f"{name}[{i}]", text) for i, text in enumerate(take_texts(name, value)))
