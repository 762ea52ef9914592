"""Random controls of a knockout: as many edges of each sample are cut, at random."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch

from extraction.passes.blocks import allowed_pairs
from extraction.passes.edges import Knockout
from extraction.passes.knockout import cut_of
from extraction.passes.spans import TokenGroups


@dataclass(frozen=True, kw_only=True)
class RandomControl(Knockout):
    """Edges drawn at random, as many in each sample as a knockout cuts, in the same blocks and heads.

    They are drawn without replacement from all pairs of a query and a key that attention allows and the knockout does
    not cut, except those of a position with itself. The draw depends on the seed, its number, the knockout's name and
    the id of the sample, and not on the batch. The same pairs are cut in all blocks and heads, as by the knockout.

    Counts are matched for each sample, not for each query: a token of a question seldom has as many other positions to
    attend to as the image has tokens.

    Attributes:
        of: The knockout that it is a control of.
        seed: Seed of the draws, 0 or more.
        draw: Number of the draw, from 1.
    """

    of: Knockout | None = None
    seed: int = 0
    draw: int = 1

    @property
    def label(self) -> str:
        """Name for figures."""
        return f"Random control {self.draw} of {self.of.label}" if self.of else self.name

    @property
    def origin(self) -> dict[str, Any]:
        """What the manifest keeps of how it was made."""
        control = {"of": self.of.name if self.of else "", "method": "random", "seed": self.seed, "draw": self.draw}
        return {"control": control}


def random_controls(knockout: Knockout, draws: int = 5, seed: int = 0) -> list[RandomControl]:
    """Make random controls of a knockout, named such as random-1-of-image-question@all.

    Args:
        knockout: The knockout.
        draws: Number of controls, 1 or more. An effect can be told from those of n controls at 5 % from n = 2 on by the
            t-distribution; five or more are wise.
        seed: Seed of the draws, 0 or more; recorded in the manifest.

    Raises:
        TypeError: If an argument is of another type.
        ValueError: If a number is out of range, or the knockout is a control itself.

    Example:
        >>> from extraction import Knockout, random_controls
        >>> cut = Knockout(edges=(("image", "question"),), first=0, last=2)
        >>> [control.name for control in random_controls(cut, draws=2)]
        ['random-1-of-image-question@0-2', 'random-2-of-image-question@0-2']
    """
    if not isinstance(knockout, Knockout):
        raise TypeError(f"knockout must be a Knockout, got {type(knockout).__name__}.")
    if isinstance(knockout, RandomControl):
        raise ValueError(f"knockout is a control, {knockout.name}: give the knockout that it is to be compared with.")
    for name, value, least in (("draws", draws, 1), ("seed", seed, 0)):
        if isinstance(value, bool) or not isinstance(value, int):
            raise TypeError(f"{name} must be a whole number, such as {least}, got {value!r}.")
        if value < least:
            raise ValueError(f"{name} must be at least {least}, got {value}.")
    window = {"heads": knockout.heads} if knockout.heads else {"first": knockout.first, "last": knockout.last}
    return [
        RandomControl(
            **window,  # type: ignore[arg-type]
            is_all=knockout.is_all,
            mask=partial(_draw_edges, of=knockout, seed=seed, draw=draw),
            title=f"random-{draw}-of-{knockout.what}",
            of=knockout,
            seed=seed,
            draw=draw,
        )
        for draw in range(1, draws + 1)
    ]


def control_problem(control: RandomControl, groups: TokenGroups) -> str:
    """Compare the edges of a control with those of its knockout; return what is wrong, nothing if all is right."""
    if control.of is None:
        return "a control has no knockout"
    allowed = allowed_pairs(groups, groups.positions)[:, 0] & groups.is_token[:, :, None]
    cut, drawn = (cut_of(one, groups)[:, 0] for one in (control.of, control))
    if (drawn & ~allowed).any():
        return "a control cuts edges that do not exist"
    if (drawn & cut).any():
        return "a control cuts edges of its knockout"
    counts, wanted = drawn.sum(dim=(1, 2)), (cut & allowed).sum(dim=(1, 2))
    if not torch.equal(counts, wanted):
        return f"a control cuts {counts.tolist()} edges, its knockout {wanted.tolist()}"
    return ""


def _draw_edges(groups: TokenGroups, *, of: Knockout, seed: int, draw: int) -> torch.Tensor:
    """Mark the edges drawn for every sample of a batch: (batch, queries, keys)."""
    if len(groups.samples) != len(groups.codes):
        raise ValueError("groups must know their samples, whose ids decide what is drawn: make them by make_batch.")
    size = groups.positions
    itself = torch.eye(size, dtype=torch.bool, device=groups.codes.device)
    allowed = allowed_pairs(groups, size)[:, 0] & groups.is_token[:, :, None] & ~itself
    cut = cut_of(of, groups)[:, 0]
    counts = (allowed & cut).sum(dim=(1, 2)).tolist()
    # The last position cut from itself counts as well.
    counts = [n + int(k) for n, k in zip(counts, (cut & itself).sum(dim=(1, 2)).tolist(), strict=True)]
    candidates, found = (allowed & ~cut).cpu().numpy(), np.zeros(allowed.shape, bool)
    for row, (sample, count) in enumerate(zip(groups.samples, counts, strict=True)):
        key = f"{seed}/{draw}/{of.name}/{sample.id}".encode()
        generator = np.random.default_rng(np.frombuffer(hashlib.sha256(key).digest(), np.uint32))
        found[row] = _choose(candidates[row], count, generator, sample.id, of.name)
    return torch.from_numpy(found).to(groups.codes.device)


def _choose(candidates: np.ndarray, count: int, generator: np.random.Generator, sample: str, name: str) -> np.ndarray:
    """Choose `count` of the marked pairs; padding on the left does not change the choice."""
    pairs = np.argwhere(candidates)
    if count > len(pairs):
        raise ValueError(
            f"knockout {name} cuts {count} edges of sample {sample!r}, and only {len(pairs)} others are left for a "
            "random control: control a knockout with fewer edges."
        )
    chosen = pairs[generator.choice(len(pairs), count, replace=False)]
    marked = np.zeros_like(candidates)
    marked[chosen[:, 0], chosen[:, 1]] = True
    return marked


def with_controls(knockouts: Sequence[Knockout], draws: int, seed: int) -> list[Knockout]:
    """List knockouts, each with its controls after it."""
    return [one for knockout in knockouts for one in (knockout, *random_controls(knockout, draws, seed))]
