"""Which source of a study is vision and which is language: what is said of either is said of that source."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, Self, TypeVar

import numpy as np
import xarray as xr

from pid_jax.decompose.result import ATOMS
from pid_jax.study.spec import MODALITIES

VISION, LANGUAGE = MODALITIES["image"], MODALITIES["question"]


class _About(Protocol):
    @property
    def about(self) -> str: ...


Item = TypeVar("Item", bound=_About)


@dataclass(frozen=True)
class Sources:
    """The two sources of a study, as its attributes `source_1_label` and `source_2_label` call them.

    Attributes:
        labels: Their names.
    """

    labels: tuple[str, str] = (VISION, LANGUAGE)

    @classmethod
    def of(cls, results: xr.Dataset) -> Self:
        """Read what the sources of a study are."""
        first, second = (str(results.attrs.get(f"source_{k}_label", f"source {k}")) for k in (1, 2))
        return cls((first, second))

    def has(self, modality: str) -> bool:
        """Return whether exactly one source is of a modality; also where none is asked for ("")."""
        return not modality or self.labels.count(modality) == 1

    def lack(self, modality: str) -> str:
        """Explain why nothing can be said about vision, or language."""
        many = "both sources are" if modality in self.labels else "no source is"
        return f"{many} {modality}: source_1 is {self.labels[0]}, source_2 is {self.labels[1]}"

    def known(self, items: Mapping[str, Item]) -> dict[str, Item]:
        """Keep what is about no modality, or about one that a source is."""
        return {name: item for name, item in items.items() if self.has(item.about)}

    def arrange(self, atoms: np.ndarray) -> np.ndarray:
        """Put atoms (..., atom, layer) in the order redundancy, vision-unique, language-unique, synergy.

        Where one source is neither, the other still has its place.
        """
        is_turned = self.labels[0] == LANGUAGE or self.labels[1] == VISION
        return atoms[..., _TURNED, :] if is_turned else atoms


_TURNED = [ATOMS.index(name) for name in ("redundancy", "unique_2", "unique_1", "synergy")]
