"""Records as they come: those that cannot be used stay as samples with a problem, and the run goes on."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from extraction.datasets.image_source import ImageSource
from extraction.datasets.sample import Sample
from extraction.errors import shown

LONGEST_NAME = 256
"""Characters of an id or a task."""

LONGEST_TEXT = 10_000
"""Characters of a question, an answer or an image's name; a LLaVA reads about 4,000 tokens."""

_LINE_BREAKS = "\t\n\r"


class RecordError(ValueError):
    """A record cannot be used; the message says why and what to do."""


class Draft(NamedTuple):
    """What a record says, apart from its id."""

    image: ImageSource
    question: str
    answer: str | None
    task: str


class Records:
    """Samples of a data set while it is read."""

    def __init__(self) -> None:
        self._samples: list[Sample] = []
        self._ids: set[str] = set()
        self._nameless: list[str] = []

    def __len__(self) -> int:
        """Count the samples, those with a problem among them."""
        return len(self._samples)

    def add(
        self, place: str, record: object, build: Callable[[Mapping[str, object]], Draft | None], id_field: str = "id"
    ) -> None:
        """Make a sample of a record.

        Args:
            place: Where it is, such as "line-000012"; the id of a record that has none of its own.
            record: Should be a mapping.
            build: Reads all but the id; None if the record is not wanted. Raises RecordError.
            id_field: Name of the id.
        """
        try:
            if not isinstance(record, Mapping):
                raise RecordError(f"it must be an object with named fields, got {shown(repr(record))}")
            draft = build(record)
            if draft is None:
                return
            name = read_name(record, id_field)
            if name in self._ids:
                raise RecordError(f"{id_field} {shown(name)!r} was there before: give every record an id of its own")
        except RecordError as error:
            self.add_problem(place, record, f"{place}: {error}", id_field)
            return
        self._ids.add(name)
        self._samples.append(Sample(id=name, **draft._asdict()))

    def add_problem(self, place: str, record: object, problem: str, id_field: str = "id") -> None:
        """Keep a record that cannot be used, under its own id where that can be read and is free."""
        name = ""
        with suppress(RecordError):
            name = read_name(record, id_field) if isinstance(record, Mapping) else ""
        if not name or name in self._ids:
            self._nameless.append(place)
            name = ""
        self._ids.add(name)
        self._samples.append(Sample(id=name, image=None, question="", answer=None, task="", problem=problem))

    def require(self, origin: Path, wanted: str, start: int = 0) -> None:
        """Refuse an origin without any record that can be used.

        Args:
            origin: What was read, for the message.
            wanted: What it should hold, for the message.
            start: How many samples there were before it was read.

        Raises:
            ValueError: If none of the samples after the first `start` can be used.
        """
        problems = [sample.problem for sample in self._samples[start:]]
        if all(problems):
            first = f" {len(problems)} records cannot be used; {problems[0]}." if problems else ""
            raise ValueError(f"{shown(origin)} holds no {wanted}.{first} Check that it is the right file or folder.")

    def finish(self, origin: Path, wanted: str, *, by_image: bool = False) -> list[Sample]:
        """Return the samples.

        Args:
            origin: What was read, for the message.
            wanted: What it should hold, for the message.
            by_image: Whether to order by image and id, with problems at the end; as they came otherwise.

        Raises:
            ValueError: If no record can be used.
        """
        self.require(origin, wanted)
        nameless = iter(self._nameless)
        samples = [s if s.id else replace(s, id=self._free(next(nameless))) for s in self._samples]
        if by_image:
            samples.sort(key=lambda sample: (sample.problem is not None, sample.image_key, sample.id))
        return samples

    def _free(self, name: str) -> str:
        """Return the name of a record without an id: that of its place, which no other has."""
        while name in self._ids:
            name += "'"
        self._ids.add(name)
        return name


def read_text(fields: Mapping[str, object], name: str, longest: int = LONGEST_TEXT) -> str:
    """Return a field that must be a text that can be shown and stored.

    Raises:
        RecordError: If it is missing, no text, too long, or holds characters that are no text.
    """
    value = fields.get(name)
    if value is None:
        raise RecordError(f"{name} is missing: add it")
    if not isinstance(value, str):
        raise RecordError(f"{name} must be a text, got {shown(repr(value))}: put it between quotes")
    if len(value) > longest:
        raise RecordError(f"{name} has {len(value)} characters, more than {longest}: shorten it")
    if not value.isprintable() and (bad := next(filter(_is_no_text, value), None)):
        raise RecordError(f"{name} holds the character U+{ord(bad):04X}, which is no text: remove it")
    return value


def read_name(fields: Mapping[str, object], name: str) -> str:
    """Return a field that must be a short text on one line, such as an id.

    Raises:
        RecordError: If it is not.
    """
    value = read_text(fields, name, LONGEST_NAME)
    if not value.strip() or value != value.strip() or any(letter in value for letter in _LINE_BREAKS):
        raise RecordError(
            f"{name} must be on one line, not empty, and without space around it, got {shown(repr(value))}: change it"
        )
    return value


def _is_no_text(letter: str) -> bool:
    """Whether a character is a control character or half of a surrogate pair."""
    code = ord(letter)
    return (code < 0x20 and letter not in _LINE_BREAKS) or 0x7F <= code < 0xA0 or 0xD800 <= code < 0xE000
