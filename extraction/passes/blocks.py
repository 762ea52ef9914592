"""What decoder blocks take besides states: who attends to whom, rotations, and features added between blocks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from extraction.model.family import BIDIRECTIONAL_IMAGE, BIDIRECTIONAL_PROMPT
from extraction.model.load import VisionLanguageModel
from extraction.passes.spans import TokenGroups

Rotation = tuple[torch.Tensor, torch.Tensor]


def allowed_pairs(groups: TokenGroups, tail: int) -> torch.Tensor:
    """Mark what the last positions may attend to in any block: (batch, 1, tail, positions). Padding attends to itself.

    Every token sees those before it; with bidirectional attention also later ones of its image, or of the prompt.

    Args:
        groups: The group of every position, and the attention of the model's family.
        tail: Number of the last positions.
    """
    is_token, size = groups.is_token, groups.positions
    earlier = torch.ones(tail, size, dtype=torch.bool, device=is_token.device).tril(size - tail)
    itself = earlier & ~earlier.tril(size - tail - 1)
    seen = earlier
    if groups.attention == BIDIRECTIONAL_PROMPT:
        seen = torch.ones_like(earlier)
    elif groups.attention == BIDIRECTIONAL_IMAGE:
        image = _number_images(groups)
        seen = earlier | ((image[:, -tail:, None] == image[:, None, :]) & (image > 0)[:, None, :])
    return ((seen & is_token[:, None, :]) | itself)[:, None]


def _number_images(groups: TokenGroups) -> torch.Tensor:
    """Number the runs of image tokens from 1; 0 elsewhere."""
    is_image = groups.mask("image")
    starts = is_image & ~is_image.roll(1, dims=1)
    starts[:, 0] = is_image[:, 0]
    return starts.cumsum(dim=1).masked_fill(~is_image, 0)


def rotations(vlm: VisionLanguageModel, hidden: torch.Tensor, positions: torch.Tensor) -> list[Rotation]:
    """Rotate by positions: cosines and sines for every block; with two kinds of blocks, each kind has its own.

    Args:
        vlm: The model.
        hidden: States, for their type and device.
        positions: Positions (batch, tail), or (3, batch, tail) with rotations in three axes.
    """
    rotate, count = vlm.decoder.rotary_emb, len(vlm.layers)
    if not vlm.kinds:
        return [rotate(hidden, positions)] * count
    by_kind = {kind: rotate(hidden, positions, kind) for kind in set(vlm.kinds)}
    return [by_kind[kind] for kind in vlm.kinds]


@dataclass(frozen=True)
class AddedFeatures:
    """Features of the vision tower that are added to the states of image tokens after the first blocks (DeepStack).

    Attributes:
        is_image: Where they are added, (batch, positions).
        of_block: For each of the first blocks the features, (image tokens of the batch, width).
    """

    is_image: torch.Tensor
    of_block: Sequence[torch.Tensor]

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> "AddedFeatures | None":
        """Find them among what a decoder is given; None if there are none."""
        features, is_image = given.get("deepstack_visual_embeds"), given.get("visual_pos_masks")
        return None if features is None or is_image is None else cls(is_image, features)

    def add(self, block: int, hidden: torch.Tensor) -> torch.Tensor:
        """Add them to the output of a block, (batch, tail, width)."""
        if block >= len(self.of_block):
            return hidden
        tail = hidden.shape[1]
        number = (self.is_image.flatten().cumsum(0) - 1).view_as(self.is_image)[:, -tail:]
        here = self.is_image[:, -tail:]
        features = self.of_block[block][number[here].to(self.of_block[block].device)]
        hidden, here = hidden.clone(), here.to(hidden.device)
        hidden[here] += features.to(hidden.device, hidden.dtype)
        return hidden
