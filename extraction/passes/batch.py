"""From prepared samples to the tensors of one forward pass."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from extraction.model.load import VisionLanguageModel
from extraction.passes.encode import Prepared
from extraction.passes.spans import PADDING, TokenGroups


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Inputs of one forward pass, on the model's device.

    Attributes:
        inputs: What the model takes.
        groups: The group of every position.
        has_prefix: Whether the image precedes the question, see `TokenGroups.is_prefix`.
        tail: Longest part of a prompt behind its prefix; all positions if there is no prefix.
    """

    inputs: dict[str, torch.Tensor]
    groups: TokenGroups
    has_prefix: bool
    tail: int

    @property
    def length(self) -> int:
        """Padded length."""
        return self.groups.positions


def make_batch(vlm: VisionLanguageModel, prepared: Sequence[Prepared]) -> Batch:
    """Pad on the left and join.

    Args:
        vlm: The model.
        prepared: Samples of one template.
    """
    codes = torch.from_numpy(pad_left([p.codes for p in prepared], PADDING))
    groups = TokenGroups(codes, vlm.family.attention, tuple(p.sample for p in prepared))
    pad = vlm.pad_token_id
    inputs = {
        "input_ids": torch.from_numpy(pad_left([p.input_ids for p in prepared], pad)),
        "attention_mask": groups.is_token.long(),
        **{
            name: torch.from_numpy(pad_left([p.token_inputs[name] for p in prepared], 0))
            for name in prepared[0].token_inputs
        },
        **{name: _join_images(prepared, name) for name in prepared[0].image_inputs},
    }
    if not vlm.family.has_own_positions:
        inputs["position_ids"] = count_positions(groups.is_token) + vlm.family.first_position
    return Batch(
        inputs={name: to_model(vlm, value) for name, value in inputs.items()},
        groups=groups.to(vlm.device),
        has_prefix=bool((groups.is_prefix & groups.is_token).any()),
        tail=int(groups.behind.max()),
    )


def pad_left(rows: Sequence[np.ndarray], value: int) -> np.ndarray:
    """Stack rows of different length, filled on the left."""
    width = max(len(row) for row in rows)
    padded = np.full((len(rows), width), value, dtype=np.int64)
    for i, row in enumerate(rows):
        padded[i, width - len(row) :] = row
    return padded


def count_positions(is_token: torch.Tensor) -> torch.Tensor:
    """Number the tokens of each row from zero; padding has zero."""
    return (is_token.long().cumsum(dim=1) - 1).clamp_min(0)


def _join_images(prepared: Sequence[Prepared], name: str) -> torch.Tensor:
    """Join along the first axis; the others are filled with zeros at their ends, as the processors do."""
    parts = [p.image_inputs[name] for p in prepared]
    if len({part.shape[1:] for part in parts}) == 1:
        return torch.from_numpy(np.concatenate(parts))
    shape = np.max([part.shape[1:] for part in parts], axis=0)
    filled = [np.pad(part, [(0, 0), *((0, n - have) for n, have in zip(shape, part.shape[1:], strict=True))])
              for part in parts]  # fmt: skip
    return torch.from_numpy(np.concatenate(filled))


def to_model(vlm: VisionLanguageModel, value: torch.Tensor) -> torch.Tensor:
    """Move an input to the device of the model; numbers other than whole ones take its precision."""
    return value.to(vlm.device, vlm.model.dtype if value.is_floating_point() else None)
