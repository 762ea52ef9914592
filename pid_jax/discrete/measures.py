"""The redundancy measures that are defined for classes. Whoever decomposes tables or answers asks here."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from pid_jax.discrete.batch import solve_unions
from pid_jax.discrete.tables import information_of_table
from pid_jax.discrete.williams_beer import IMin, i_min
from pid_jax.pid.broja import BROJA
from pid_jax.pid.measure import Redundancy
from pid_jax.pid.mmi import MMI
from pid_jax.runtime.devices import use_devices
from pid_jax.runtime.registry import add_record, check_texts


class UnionBounds(NamedTuple):
    """Bounds of the union information of tables (...), and dual variables (..., n1, nt), (..., n2, nt) or None."""

    lower: np.ndarray
    upper: np.ndarray
    lam: np.ndarray | None = None
    mu: np.ndarray | None = None


@dataclass(frozen=True, kw_only=True)
class ClassMeasure:
    """All that is special about a redundancy measure where the target is a class.

    Attributes:
        settings: Its subclass of `Redundancy`.
        name: What files and results call it.
        label: What readers call it.
        union: Bounds the union information of tables (..., n1, nt) and (..., n2, nt) with equal class probabilities,
            as far as a tolerance in nats.
        redundant: The redundant part of the information of every sample (B, n), from those of source_1 and source_2
            (B, 2, n) and the classes (B, n). Without it only tables are decomposed: from samples, predictions are cut
            into cells and solved for with BROJA alone.
    """

    settings: type[Redundancy]
    name: str
    label: str
    union: Callable[[np.ndarray, np.ndarray, float], UnionBounds]
    redundant: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None

    def __post_init__(self) -> None:
        check_texts("ClassMeasure", name=self.name, label=self.label)

    @property
    def method(self) -> str:
        """Name of its settings in results."""
        return self.settings.__name__

    @property
    def takes_samples(self) -> bool:
        """Return whether it decomposes answers of samples, and not only tables."""
        return self.redundant is not None or self.settings is BROJA


# By name; the first is the default.
CLASS_MEASURES: dict[str, ClassMeasure] = {}


def register(measure: ClassMeasure) -> None:
    """Add a measure in this process; `del CLASS_MEASURES[name]` removes it.

    Raises:
        TypeError: If it is no record of a measure.
        ValueError: If another measure has its name, its label or its settings.
    """
    add_record(CLASS_MEASURES, measure, ClassMeasure, "CLASS_MEASURES")


def class_measure_of(redundancy: Redundancy, name: str = "redundancy") -> ClassMeasure:
    """Return the measure that settings belong to.

    Args:
        redundancy: The settings.
        name: What they are called in the error.

    Raises:
        TypeError: For measures that are not defined for classes.
    """
    for measure in CLASS_MEASURES.values():
        if type(redundancy) is measure.settings:
            return measure
    wanted = " or ".join(f"{measure.method}()" for measure in CLASS_MEASURES.values())
    raise TypeError(f"{name} needs {wanted} where the target is a class, got {redundancy!r}.")


def sample_measure_of(redundancy: Redundancy, name: str = "redundancy") -> ClassMeasure:
    """Return the measure that settings belong to, if it decomposes answers of samples.

    Raises:
        TypeError: For measures that do not; see `class_measure_of` for the arguments.
    """
    measure = class_measure_of(redundancy, name)
    if not measure.takes_samples:
        raise TypeError(f"{name} needs a ClassMeasure with `redundant` for samples, got {redundancy!r}: use tables.")
    return measure


def takes_samples(redundancy: Redundancy) -> bool:
    """Return whether answers of samples can be decomposed by a measure."""
    return any(type(redundancy) is one.settings and one.takes_samples for one in CLASS_MEASURES.values())


def _union_broja(p_1: np.ndarray, p_2: np.ndarray, tol: float) -> UnionBounds:
    leading, cells, classes = p_1.shape[:-2], (p_1.shape[-2], p_2.shape[-2]), p_1.shape[-1]
    flat = [p.reshape(-1, n, classes) for p, n in zip((p_1, p_2), cells, strict=True)]
    with use_devices():
        solved = solve_unions(flat[0], flat[1], np.full(len(flat[0]), tol))
    lower, upper, lam, mu = map(np.asarray, solved[:4])
    return UnionBounds(
        lower.reshape(leading),
        upper.reshape(leading),
        lam.reshape(*leading, cells[0], classes),
        mu.reshape(*leading, cells[1], classes),
    )


def _union_mmi(p_1: np.ndarray, p_2: np.ndarray, tol: float) -> UnionBounds:
    value = np.maximum(information_of_table(p_1), information_of_table(p_2))
    return UnionBounds(value, value)


def _union_i_min(p_1: np.ndarray, p_2: np.ndarray, tol: float) -> UnionBounds:
    value = information_of_table(p_1) + information_of_table(p_2) - i_min(p_1, p_2)
    return UnionBounds(value, value)


def _least(sources: Float[np.ndarray, "B 2 n"], codes: Int[np.ndarray, "B n"]) -> Float[np.ndarray, "B n"]:
    """Return the information of the source that tells less."""
    least = sources.mean(axis=2).argmin(axis=1)
    return sources[np.arange(len(codes)), least]


def _least_of_classes(sources: Float[np.ndarray, "B 2 n"], codes: Int[np.ndarray, "B n"]) -> Float[np.ndarray, "B n"]:
    """Return the information of the source that tells less about the class of each sample."""
    members = codes[:, :, None] == np.arange(codes.max() + 1)
    sums = np.einsum("bsn,bnk->bsk", sources, members)
    least = np.take_along_axis(sums.argmin(axis=1), codes, axis=1)  # (B, n)
    return np.take_along_axis(sources, least[:, None], axis=1)[:, 0]


for _measure in (
    ClassMeasure(settings=BROJA, name="broja", label="BROJA", union=_union_broja),
    ClassMeasure(settings=MMI, name="mmi", label="MMI", union=_union_mmi, redundant=_least),
    ClassMeasure(settings=IMin, name="i_min", label="I_min", union=_union_i_min, redundant=_least_of_classes),
):
    register(_measure)
