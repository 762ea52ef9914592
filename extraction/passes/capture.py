"""Pool hidden states on the device while the model runs."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from extraction.model.load import VisionLanguageModel
from extraction.passes.blocks import AddedFeatures
from extraction.passes.spans import TokenGroups
from pid_jax.store import NORM


@dataclass(frozen=True, kw_only=True)
class StatesPlan:
    """What is recorded.

    Attributes:
        roles: Token groups to pool.
        layers: 0 for the embeddings, l for the output of decoder block l. The final norm's output comes after them.
    """

    roles: tuple[str, ...]
    layers: tuple[int, ...]

    @property
    def slots(self) -> tuple[int | str, ...]:
        """Layers and the final norm, in the order in which states are kept."""
        return (*self.layers, NORM)


class Recorder:
    """Pooled states of one pass over prompts.

    A role is kept in parts: what lies in the shared prefix and what lies behind it, as passes over the end of a prompt
    make only the latter anew.

    Attributes:
        parts: (batch, slots, parts, width) in float32 on the model's device. What was not recorded is NaN.
        in_prefix: Whether a part lies in the prefix.
    """

    def __init__(self, vlm: VisionLanguageModel, groups: TokenGroups, plan: StatesPlan, has_prefix: bool) -> None:
        self.plan = plan
        self._slot = {name: i for i, name in enumerate(plan.slots)}
        prefix, device = groups.is_prefix, groups.codes.device
        weights, self.in_prefix, self._role = [], [], []
        for r, role in enumerate(plan.roles):
            mask = groups.mask(role)
            for inside in _halves(role, has_prefix):
                weights.append((mask & (prefix if inside else ~prefix)).float() / mask.sum(dim=1, keepdim=True))
                self.in_prefix.append(inside)
                self._role.append(r)
        batch, positions = groups.codes.shape
        self._weights = torch.stack(weights, dim=1) if weights else torch.empty(batch, 0, positions, device=device)
        shape = (batch, len(plan.slots), len(weights), vlm.width)
        self._live: slice | list[int] = slice(None)  # parts that are recorded
        self.parts = torch.full(shape, torch.nan, device=device)

    def record(self, layer: int | str, hidden: torch.Tensor) -> None:
        """Pool states (batch, positions, width) of a layer; fewer positions than the batch has are its last ones."""
        slot = self._slot.get(layer)
        if slot is not None and self._weights.shape[1]:
            weights = self._weights[:, :, -hidden.shape[1] :].to(hidden.device)
            self.parts[:, slot, self._live] = torch.bmm(weights, hidden.float()).to(self.parts.device)

    def copy_prefix(self, parts: torch.Tensor) -> None:
        """Take the parts of the prefix from another pass over the same images; only the others are recorded then."""
        inside, outside = ([i for i, one in enumerate(self.in_prefix) if one == wanted] for wanted in (True, False))
        self.parts[:, :, inside] = parts[:, :, inside]
        self._weights, self._live = self._weights[:, outside], outside

    def copy_until(self, layer: int, parts: torch.Tensor) -> None:
        """Take all layers up to and including `layer` from another pass over the same prompts."""
        for name, slot in self._slot.items():
            if isinstance(name, int) and name <= layer:
                self.parts[:, slot] = parts[:, slot]

    @property
    def states(self) -> torch.Tensor:
        """States (batch, slots, roles, width): means over the positions of each role."""
        states = self.parts.new_zeros(*self.parts.shape[:2], len(self.plan.roles), self.parts.shape[-1])
        return states.index_add(2, torch.tensor(self._role, device=states.device, dtype=torch.long), self.parts)


@dataclass
class Watch:
    """What hooks saw in one pass.

    Attributes:
        positions: Position of every token, (batch, positions), or (3, batch, positions) with rotations in three axes.
        added: Features that are added between blocks.
        entries: States that entered a block, by block: (batch, positions kept, width).
    """

    positions: torch.Tensor | None = None
    added: AddedFeatures | None = None
    entries: dict[int, torch.Tensor] = field(default_factory=dict)


@contextmanager
def watching(vlm: VisionLanguageModel, recorder: Recorder, tails: Mapping[int, int]) -> Iterator[Watch]:
    """Record the next pass of the model over prompts.

    The raw output of the last block and the final norm's output are both recorded: `output_hidden_states` returns only
    the latter as its last entry. Where a model adds features of the image between two blocks, the output of the first
    is recorded without them, as by `output_hidden_states`, and what enters the second has them.

    Args:
        vlm: The model.
        recorder: Where pooled states go.
        tails: How many of the last positions of what enters a block are kept, by block.
    """
    watch, last = Watch(), len(vlm.layers)

    def before_decoder(module: nn.Module, args: Any, kwargs: dict[str, Any]) -> None:
        watch.positions, watch.added = kwargs.get("position_ids"), AddedFeatures.of(kwargs)

    def before(block: int) -> Callable[..., None]:
        def see(module: nn.Module, args: Any, kwargs: dict[str, Any]) -> None:
            hidden = args[0] if args else kwargs["hidden_states"]
            if block == 0:
                recorder.record(0, hidden)
            if block in tails:
                watch.entries[block] = keep_tail(hidden, tails[block])

        return see

    def after(layer: int | str) -> Callable[..., None]:
        return lambda module, args, output: recorder.record(layer, first_of(output))

    handles = [vlm.decoder.register_forward_pre_hook(before_decoder, with_kwargs=True)]
    handles += [vlm.layers[i].register_forward_pre_hook(before(i), with_kwargs=True) for i in sorted({0, *tails})]
    wanted = recorder.plan.layers
    handles += [vlm.layers[i - 1].register_forward_hook(after(i)) for i in range(1, last + 1) if i in wanted]
    handles += [vlm.norm.register_forward_hook(after(NORM))]
    with ExitStack() as hooks:
        for handle in handles:
            hooks.enter_context(handle)
        yield watch


def first_of(output: Any) -> torch.Tensor:
    """Return the states a block gave; older versions of transformers wrap them in a tuple."""
    return output[0] if isinstance(output, tuple) else output


def keep_tail(hidden: torch.Tensor, tail: int) -> torch.Tensor:
    """Return the last positions, as a copy that lets go of the others."""
    return hidden if tail >= hidden.shape[1] else hidden[:, -tail:].clone()


def _halves(role: str, has_prefix: bool) -> tuple[bool, ...]:
    """Say where the positions of a role lie: in the prefix, behind it, or both."""
    if not has_prefix:
        return (False,)
    return {"image": (True,), "system": (True, False)}.get(role, (False,))
