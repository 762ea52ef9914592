"""States of image tokens replaced by their mean, or by noise like them, where they enter a block."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from extraction.model.load import VisionLanguageModel
from extraction.passes.edges import Knockout
from extraction.passes.spans import TokenGroups

METHODS = ("mean", "noise")


@dataclass(frozen=True, kw_only=True)
class Replacement(Knockout):
    """Image states that enter a block are replaced; attention is left as it is.

    Mean and variance are those over the tokens of the image itself, for every feature, so that a sample depends on no
    other and the states stay as large as they were. What the mean over tokens tells of the image is therefore kept, and
    what differs between tokens is removed.

    Attributes:
        method: "mean": every image token has the mean. "noise": normal noise with exactly this mean and variance.
        seed: Seed of the noise, which depends on the sample's id too and not on the batch.
    """

    method: str = "mean"
    seed: int = 0

    @property
    def label(self) -> str:
        """Name for figures."""
        what = "their mean" if self.method == "mean" else "noise"
        return f"Image states replaced by {what}, {'all layers' if self.is_all else f'from layer {self.first} on'}"

    @property
    def origin(self) -> dict[str, Any]:
        """What the manifest keeps of how it was made."""
        return {"replacement": {"method": self.method, **({"seed": self.seed} if self.method == "noise" else {})}}

    def enter(self, hidden: torch.Tensor, groups: TokenGroups) -> torch.Tensor:
        """Replace the image states among those that enter the first block, (batch, positions, width)."""
        groups = groups.to(hidden.device)
        image, replaced = groups.mask("image"), hidden.clone()
        for row, own in enumerate(image):
            states = hidden[row, own].float()
            mean = states.mean(dim=0)
            if self.method == "mean":
                replaced[row, own] = mean.to(hidden.dtype)
            else:
                noise = self._noise(states.shape, groups.samples[row].id).to(states)
                replaced[row, own] = (mean + states.std(dim=0, correction=0) * noise).to(hidden.dtype)
        return replaced

    def _noise(self, shape: tuple[int, ...], sample: str) -> torch.Tensor:
        """Draw noise (tokens, width) with mean 0 and variance 1 over the tokens; 0 for a single token."""
        digest = hashlib.sha256(f"{self.seed}/{sample}".encode()).digest()
        noise = np.random.default_rng(np.frombuffer(digest, np.uint32)).standard_normal(shape)
        noise -= noise.mean(axis=0)
        return torch.from_numpy(noise / np.maximum(noise.std(axis=0), np.finfo(float).tiny))


def image_replacement(method: str = "mean", *, first: int = 0, blocks: int, seed: int = 0) -> Replacement:
    """Replace the states of image tokens where they enter a block, as an alternative to cutting edges.

    Args:
        method: "mean" of the image's own tokens, or "noise" with their mean and variance.
        first: The block, from 0.
        blocks: Number of decoder blocks of the model.
        seed: Seed of the noise, 0 or more.

    Returns:
        What `extract_with_knockouts` takes, named such as image-mean@all or image-noise@3-7.

    Raises:
        TypeError: If a number is none.
        ValueError: If an argument is out of range.
    """
    if method not in METHODS:
        raise ValueError(f"method must be 'mean' or 'noise', got {method!r}.")
    for name, value in (("first", first), ("blocks", blocks), ("seed", seed)):
        if isinstance(value, bool) or not isinstance(value, int):
            raise TypeError(f"{name} must be a whole number, such as 0, got {value!r}.")
        if value < 0:
            raise ValueError(f"{name} must be 0 or more, got {value}.")
    if first >= blocks:
        raise ValueError(f"first must be a block of the model, 0 to {blocks - 1}, got {first}.")
    window = {"first": first, "last": blocks - 1, "is_all": first == 0}
    return Replacement(**window, mask=_no_edges, title=f"image-{method}", method=method, seed=seed)


@contextmanager
def replacing(vlm: VisionLanguageModel, replacement: Replacement, groups: TokenGroups) -> Iterator[None]:
    """Replace states in every forward pass of the whole model over the prompt, by a hook.

    Enter it after hooks that record states, which then see those before.
    """

    def before(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        if args:
            return (replacement.enter(args[0], groups), *args[1:]), kwargs
        return args, kwargs | {"hidden_states": replacement.enter(kwargs["hidden_states"], groups)}

    handle = vlm.layers[replacement.first].register_forward_pre_hook(before, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()


def _no_edges(groups: TokenGroups) -> torch.Tensor:
    batch, size = groups.codes.shape
    return torch.zeros(batch, size, size, dtype=torch.bool, device=groups.codes.device)
