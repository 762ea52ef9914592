"""The variables of one problem, read from a store or from arrays of other tools as the command line names them."""

from typing import Any

import numpy as np
import xarray as xr

from pid_jax.runtime.console import err, parse_names
from pid_jax.store.activations import Activations
from pid_jax.store.targets import Answer, Target, target_reader
from pid_jax.study.answers import answer_texts, check_answers
from pid_jax.study.config import default_targets, parse_targets


def read_target(states: Activations, name: str | None) -> Target | Answer:
    """Return the target that --target names, or the one that comes first in a study of these states."""
    if name is None:
        return default_targets(states)[0]
    first, *others = parse_targets("--target", name)
    if others:
        raise ValueError(f"--target needs one name, got {name!r}: run the command once for each.")
    return first


def read_states(
    states: Activations, roles: tuple[str, str], about: Target | Answer, layers: str, tasks: str
) -> list[Any]:
    """Read both sources at all layers and the target, of samples whose states are all finite.

    Returns:
        Sources (layer, n, p) with their layers as labels, and a target (n, p), (layer, n, p), or answers (n,).
    """
    rows, chosen = _rows(states, tasks), _layers(states, roles, layers)
    sources = [np.stack([states.read(role=role, layer=one, rows=rows) for one in chosen]) for role in roles]
    if isinstance(about, Answer):
        check_answers(about, states)
        goal = answer_texts(about, states, rows)
        is_good = goal != ""
    else:
        reader = target_reader(about, states)
        at = reader.layers(states) if reader.is_same_for_all else chosen
        goal = np.stack([reader.read(states, one, rows) for one in at])
        is_good = np.isfinite(goal).all(axis=(0, 2))
    for source in sources:
        is_good &= np.isfinite(source).all(axis=(0, 2))
    if not is_good.all():
        err.print(f"{(~is_good).sum()} of {len(rows)} samples left out: no answer, or states that are not finite.")
    named = [xr.DataArray(x[:, is_good], dims=("layer", "sample", "unit"), coords={"layer": chosen}) for x in sources]
    if isinstance(about, Answer):
        return [*named, goal[is_good]]
    return [*named, goal[0][is_good] if len(goal) == 1 else goal[:, is_good]]


def _rows(states: Activations, tasks: str) -> np.ndarray:
    """Return the rows of all tasks, or of those that a text names."""
    wanted = parse_names(tasks)
    known = np.unique(states.columns["task"]).tolist()
    if unknown := [one for one in wanted or () if one not in known]:
        raise ValueError(f"--tasks needs some of {', '.join(known)}, got {unknown[0]!r}.")
    return np.flatnonzero(np.isin(states.columns["task"], known if wanted is None else wanted))


def _layers(states: Activations, roles: tuple[str, str], text: str) -> list[int]:
    """Return layers that both roles have, all or those that a text names."""
    for option, role in zip(("--source-1", "--source-2"), roles, strict=True):
        if role not in states.roles:
            raise ValueError(
                f"{option} needs one of the roles {', '.join(states.roles)} of {states.path}, got {role!r}."
            )
    there = [one for one in states.layers if all((one, role) in states.parts for role in roles)]
    if text == "all":
        return there
    wanted: list[int] = []
    for part in text.split(","):
        first, _, last = part.strip().partition("-")
        if not first.isdigit() or not (last or first).isdigit():
            raise ValueError(f"--layers needs 'all' or layers such as 0,8-12, got {text!r}.")
        wanted += range(int(first), int(last or first) + 1)
    if missing := [one for one in wanted if one not in there]:
        raise ValueError(f"--layers needs some of {there}, which both sources have, got {missing[0]}.")
    return list(dict.fromkeys(wanted))
