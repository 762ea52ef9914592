"""The redundancy measures that there are. Whoever lists, names or computes measures asks here."""

from pid_jax.pid import broja, mmi
from pid_jax.pid.measure import Measure, Redundancy

# By name. The first is the default, and what figures show if nothing else is asked for.
MEASURES = {
    measure.name: measure
    for measure in (
        broja.MEASURE,
        mmi.MEASURE,
    )
}


def measure_of(redundancy: Redundancy, name: str = "redundancy") -> Measure:
    """Return the measure that settings belong to.

    Args:
        redundancy: The settings.
        name: What they are called in the error.

    Raises:
        TypeError: If there is none.
    """
    for measure in MEASURES.values():
        if type(redundancy) is measure.settings:
            return measure
    raise TypeError(f"{name} needs {choices()}, got {redundancy!r}.")


def choices() -> str:
    """Return the settings of all measures as a message lists them: "BROJA() or MMI()"."""
    return " or ".join(f"{measure.settings.__name__}()" for measure in MEASURES.values())


def register(measure: Measure) -> None:
    """Add a measure that is defined outside of this package, in this process; `del MEASURES[name]` removes it.

    Raises:
        ValueError: If another measure has its name or its settings.
    """
    for other in MEASURES.values():
        if measure.name == other.name or measure.settings.__name__ == other.settings.__name__:
            raise ValueError(f"measure {measure.name!r} needs another name and settings than {other.name!r}.")
    MEASURES[measure.name] = measure
