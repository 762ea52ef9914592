"""Whether images are still those that a store was extracted from: by hashes of their content, kept with the rows."""

from collections.abc import Hashable, Iterable, Sequence
from functools import cached_property

from extraction.datasets.sample import Sample
from extraction.errors import shown
from extraction.passes.encode import Prepared
from pid_jax.store import ActivationStore

IMAGE_HASH = "image_hash"
"""Column of a store: XXH3-128 of the encoded image; of an image in memory its name, which hashes its pixels."""


class KnownImages:
    """Content of images, by the rows of a store when it is first needed, and by what was read since.

    Args:
        store: A baseline, its answers, or the store that is being filled; only shards that exist are read.
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
            if isinstance(one, Prepared):
                self._remember(self._hashes, one.sample, one.image_hash)

    def check_rows(self) -> None:
        """Check that all rows of an image saw the same content, also those that other processes wrote.

        Raises:
            ValueError: If they did not.
        """
        self._read_rows()

    @cached_property
    def _hashes(self) -> dict[Hashable, object]:
        return self._read_rows()

    def _read_rows(self) -> dict[Hashable, object]:
        """Collect the content of every image from the rows that are there."""
        by_id, found = {sample.id: sample for sample in self._samples}, {}
        for header in self._store.headers_of(self._store.present_shards()).values():
            for name, columns in zip(header.ids, header.columns, strict=True):
                if name in by_id:
                    self._remember(found, by_id[name], columns[IMAGE_HASH])
        return found

    def _remember(self, hashes: dict[Hashable, object], sample: Sample, content: object) -> None:
        if hashes.setdefault(sample.image_key, content) != content:
            raise ValueError(
                f"image {shown(sample.image_place)!r} of sample {shown(sample.id)!r} has other content than when "
                f"{self._store.path} was extracted, so their states could not be compared: restore the images, or "
                "extract that store again into another folder."
            )
