"""Read a JSON object of any size entry by entry, with the memory of one entry."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from extraction.errors import shown

_MOST_DIGITS = 4000
_CHUNK = 1 << 22  # characters read at once
_LARGEST_ENTRY = 1 << 24  # characters; a GQA question has about 1,500
_SPACE = " \t\n\r"


def iterate_object(path: Path) -> Iterator[tuple[str, object]]:
    """Yield the names and values of the one object that a JSON file holds.

    Entries that repeat a name are all yielded. Bytes that are no UTF-8 become lone surrogates, so that one bad entry
    does not hide the others.

    Raises:
        ValueError: If the file is no such object, as soon as that is seen.
    """
    with path.open(encoding="utf-8-sig", errors="surrogateescape") as file:
        window = _Window(file, path)
        window.take("{")
        is_first = True
        while window.peek() != "}":
            if not is_first:
                window.take(",")
            is_first = False
            name = window.value()
            if not isinstance(name, str):
                raise window.broken("a name must stand between quotes")
            window.take(":")
            yield name, window.value()
        window.take("}")
        if window.peek():
            raise window.broken("something follows the object")


class _Window:
    """The part of the file in memory, and where reading stands in it."""

    def __init__(self, file: IO[str], path: Path) -> None:
        self._file, self._path = file, path
        self._text, self._position, self._before = "", 0, 0
        self._decoder = json.JSONDecoder(parse_int=_number)
        self._is_end = False

    def peek(self) -> str:
        """Return the next character that is no space, empty at the end of the file."""
        while True:
            while self._position < len(self._text):
                letter = self._text[self._position]
                if letter not in _SPACE:
                    return letter
                self._position += 1
            if self._is_end:
                return ""
            self._more()

    def take(self, letter: str) -> None:
        """Step over a character that must come."""
        if (found := self.peek()) != letter:
            raise self.broken(f"{letter!r} should come, got {shown(found)!r}" if found else "the file ends early")
        self._position += 1

    def value(self) -> object:
        """Return the next value."""
        if not self.peek():
            raise self.broken("the file ends early")
        while True:
            try:
                value, end = self._decoder.raw_decode(self._text, self._position)
            except (ValueError, RecursionError) as error:
                if self._is_end or len(self._text) - self._position > _LARGEST_ENTRY:
                    raise self.broken(f"{shown(error)}; the file may end early") from None
            else:
                if end < len(self._text) or self._is_end:  # a number at the edge may go on behind it
                    self._position = end
                    return value
            self._more()

    def broken(self, why: str) -> ValueError:
        """Describe what is wrong with the file."""
        return ValueError(
            f"{shown(self._path)} is no JSON object from character {self._before + self._position} on ({why}): "
            "download it again."
        )

    def _more(self) -> None:
        chunk = self._file.read(_CHUNK)
        self._is_end = not chunk
        self._before += self._position
        self._text, self._position = self._text[self._position :] + chunk, 0


def _number(text: str) -> int | float:
    """Read a whole number; Python refuses those of thousands of digits, which spoils no other entry here."""
    return int(text) if len(text) <= _MOST_DIGITS else float(text)
