"""Whether images are still those that a store was extracted from: by hashes of their content, kept with the rows."""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any

from extraction.datasets.sample import Sample
from extraction.encode import Prepared
from extraction.errors import shown
from pid_jax.store import ActivationStore

IMAGE_HASH = "image_hash"
"""Column of a store: XXH3-128 of the encoded image; of an image in memory its name, which hashes its pixels."""


class KnownImages:
    """Content of images, by the rows of a store when it is first needed, and by what was read since.

    Args:
        store: A baseline, or the store that is being filled; only shards that exist are read.
        samples: Samples of the store.
    """

    def __init__(self, store: ActivationStore, samples: Sequence[Sample]) -> None:
        self._store, self._samples = store, samples

    def check(self, outcomes: Iterable[object]) -> None:
        """Check the samples that are prepared, and remember their images.

        Raises:
            ValueError: If the content of an image has changed.
        """
        for one in outcomes:
            if not isinstance(one, Prepared):
                continue
            if self._hashes.setdefault(one.sample.image_key, one.image_hash) != one.image_hash:
                raise ValueError(
                    f"image {shown(one.sample.image_place)!r} of sample {shown(one.sample.id)!r} has other content "
                    f"than when {self._store.path} was extracted, so their states could not be compared: restore the "
                    "images, or extract that store again into another folder."
                )

    def describe(self, prepared: Prepared) -> dict[str, object]:
        """Return the column `IMAGE_HASH` of a sample; none for stores whose rows lack it, made by earlier versions."""
        return {IMAGE_HASH: prepared.image_hash} if self._has_hashes else {}

    @cached_property
    def _rows(self) -> list[tuple[str, Mapping[str, Any]]]:
        missing = set(self._store.missing_shards())
        there = [index for index in range(self._store.manifest.shard_count) if index not in missing]
        headers = self._store.headers_of(there).values()
        return [row for header in headers for row in zip(header.ids, header.columns, strict=True)]

    @cached_property
    def _has_hashes(self) -> bool:
        return not self._rows or IMAGE_HASH in self._rows[0][1]

    @cached_property
    def _hashes(self) -> dict[Hashable, object]:
        keys = {sample.id: sample.image_key for sample in self._samples}
        return {keys[i]: row[IMAGE_HASH] for i, row in self._rows if IMAGE_HASH in row and i in keys}
