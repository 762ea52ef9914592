"""One modality taken out of what decides the answer: its tokens are cut from all others in every block."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from extraction.model.load import VisionLanguageModel
from extraction.passes.batch import make_batch
from extraction.passes.capture import StatesPlan
from extraction.passes.edges import Knockout
from extraction.passes.encode import Prepared
from extraction.passes.prompt_pass import pass_prompts
from extraction.passes.spans import TokenGroups

MODALITIES = ("image", "question")


@dataclass(frozen=True, kw_only=True)
class Removal(Knockout):
    """A modality that no later token reads, neither in the prompt nor while the answer is generated.

    Tokens after the absent ones would still reveal how many these were, as the rotations of attention depend on
    distances. So every prompt counts its positions as if the absent span had the same extent.

    Attributes:
        absent: "image" or "question".
        extent: Positions that the absent span takes in every prompt; None leaves positions as they are.
    """

    absent: str = ""
    extent: int | None = None

    @property
    def kept(self) -> str:
        """The other modality."""
        return other_modality(self.absent)

    @property
    def name(self) -> str:
        """Name for folders and tables."""
        return f"{self.title}@cut"

    @property
    def label(self) -> str:
        """Name for figures."""
        return f"{self.kept.capitalize()} only, {self.absent} cut"

    @property
    def touches_prefix(self) -> bool:
        """False: up to the last image token nothing reads a later question, and the image itself may read the image."""
        return False

    def positions(self, groups: TokenGroups, positions: torch.Tensor) -> torch.Tensor:
        """Count positions (..., batch, positions) after the absent span as if it had the same extent in every row."""
        if self.extent is None:
            return positions
        groups = groups.to(positions.device)
        positions = positions.expand(*positions.shape[:-2], len(groups.codes), positions.shape[-1])
        span = span_of(groups, self.absent)
        shift = self.extent - _extents(span, positions)
        is_after = (span.cumsum(dim=1) > 0) & ~span
        return positions + torch.where(is_after, shift[:, None], 0)

    def visible(self, groups: TokenGroups) -> torch.Tensor:
        """Mark what generated tokens may read: (batch, positions)."""
        return groups.is_token & ~span_of(groups, self.absent)


def removal_of(absent: str, blocks: int, extent: int | None = None) -> Removal:
    """Make the removal of a modality from a model.

    Args:
        absent: "image" or "question".
        blocks: Number of decoder blocks.
        extent: See `Removal`.

    Raises:
        ValueError: If there is no such modality.
    """
    return Removal(
        first=0,
        last=blocks - 1,
        is_all=True,
        mask=partial(_reads, absent=absent),
        title=f"{other_modality(absent)}-only",
        absent=absent,
        extent=extent,
    )


def describe_removal(removal: Removal) -> dict[str, Any]:
    """Describe the condition for the manifest."""
    return {
        "name": removal.name,
        "label": removal.label,
        "edges": [],
        "first": removal.first,
        "last": removal.last,
        "decision": {
            "kept": removal.kept,
            "absent": removal.absent,
            "method": "cut",
            "extent": removal.extent,
        },
    }


def other_modality(modality: str) -> str:
    """Return the modality that is kept where `modality` is absent."""
    if modality not in MODALITIES:
        raise ValueError(f"absent must be one of {MODALITIES}, got {modality!r}.")
    return MODALITIES[1 - MODALITIES.index(modality)]


def span_of(groups: TokenGroups, group: str) -> torch.Tensor:
    """Mark the positions from the first to the last of a group: (batch, positions).

    What stands between image tokens, such as marks of rows, reveals the shape of the image and belongs to it.
    """
    mask = groups.mask(group)
    return (mask.cumsum(dim=1) > 0) & (mask.flip(1).cumsum(dim=1).flip(1) > 0)


@torch.inference_mode()
def extent_in(vlm: VisionLanguageModel, prepared: Prepared, group: str) -> int:
    """Count the positions that a group takes in a prompt; an image may take fewer than it has tokens."""
    batch = make_batch(vlm, [prepared])
    done = pass_prompts(vlm, batch, StatesPlan(roles=(), layers=()), has_sequel=False)
    return int(_extents(span_of(done.groups.to(done.positions.device), group), done.positions)[0])


def _extents(span: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
    """Count the positions from the first token of each row's span to the one after it: (batch,)."""
    axes = positions.reshape(-1, *positions.shape[-2:])
    first = span.int().argmax(dim=1)
    after = first + span.sum(dim=1)  # exists: the last position belongs to neither modality
    rows = torch.arange(len(span), device=positions.device)
    return axes[:, rows, after].amax(dim=0) - axes[:, rows, first].amin(dim=0)


def _reads(groups: TokenGroups, *, absent: str) -> torch.Tensor:
    """Mark the pairs of a token outside of the absent span as query and one in it as key: (batch, queries, keys)."""
    span = span_of(groups, absent)
    return (groups.is_token & ~span)[:, :, None] & span[:, None, :]
