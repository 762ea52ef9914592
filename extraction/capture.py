"""Hooks that pool hidden states on the device while the model runs."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from extraction.models import VisionLanguageModel
from extraction.spans import TokenGroups


class StateRecorder:
    """Pooled states of one forward pass.

    Attributes:
        states: (batch, layers + 2, roles, width) in float32 on the model's device: embeddings, the output of every
            decoder block, and the final norm's output; means over the positions of each role.
    """

    def __init__(self, vlm: VisionLanguageModel, groups: TokenGroups, roles: Sequence[str]) -> None:
        masks = torch.stack([getattr(groups, role) for role in roles], dim=1).float()
        self._weights = masks / masks.sum(dim=2, keepdim=True)
        batch, count, self._positions = masks.shape
        self.states = torch.full((batch, len(vlm.layers) + 2, count, vlm.width), torch.nan, device=masks.device)

    def record(self, index: int, hidden: torch.Tensor) -> None:
        """Pool the states of one layer; steps that follow the prompt (generation) are passed over."""
        if hidden.shape[1] == self._positions:
            weights = self._weights.to(hidden.device)
            self.states[:, index] = torch.einsum("brs,bsd->brd", weights, hidden.float()).to(self.states.device)


@contextmanager
def recording(vlm: VisionLanguageModel, groups: TokenGroups, roles: Sequence[str]) -> Iterator[StateRecorder]:
    """Record pooled states of the next forward pass of the model.

    The raw output of the last block and the final norm's output are both kept: `output_hidden_states` returns only the
    latter as its last entry.

    Args:
        vlm: The model.
        groups: Masks of the batch, on the model's device.
        roles: Groups to pool.
    """
    recorder = StateRecorder(vlm, groups, roles)

    def before_first(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        recorder.record(0, args[0] if args else kwargs["hidden_states"])

    def after(index: int) -> Any:
        def hook(module: nn.Module, args: Any, output: Any) -> None:
            recorder.record(index, output[0] if isinstance(output, tuple) else output)

        return hook

    handles = [vlm.layers[0].register_forward_pre_hook(before_first, with_kwargs=True)]
    handles += [layer.register_forward_hook(after(i + 1)) for i, layer in enumerate(vlm.layers)]
    handles += [vlm.norm.register_forward_hook(after(len(vlm.layers) + 1))]
    try:
        yield recorder
    finally:
        for handle in handles:
            handle.remove()
