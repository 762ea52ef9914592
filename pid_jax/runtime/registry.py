"""Registries: dicts of records by name, to which code outside of the package may add."""

from typing import Any


def add_record(records: dict[str, Any], record: Any, kind: type, registry: str) -> None:
    """Add a record; `del` removes it.

    Args:
        records: The registry.
        record: Has a `name` in files, a `label` for readers, and a `method`, the name of its settings in results.
        kind: What it must be.
        registry: What the dict is called in messages.

    Raises:
        TypeError: If the record is of another kind.
        ValueError: If another record has its name, its label or its settings.
    """
    if not isinstance(record, kind):
        raise TypeError(f"register(...) needs a {kind.__name__}, got {record!r}.")
    for name, other in records.items():
        for field, what in (("name", "name"), ("label", "label"), ("method", "settings")):
            taken = getattr(other, field)
            if getattr(record, field) == taken:
                raise ValueError(
                    f"register(...) needs a {kind.__name__} with a {what} of its own, got {taken!r}, which belongs to "
                    f"{name!r}: choose another, or remove the earlier record by del {registry}[{name!r}]."
                )
    records[record.name] = record


def check_texts(kind: str, **texts: Any) -> None:
    """Refuse names and labels that are not words."""
    for name, text in texts.items():
        if not isinstance(text, str) or not text.strip():
            raise TypeError(f"{kind}({name}=...) needs a text that is not empty, got {text!r}.")
