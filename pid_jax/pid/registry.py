"""The redundancy measures that there are. Whoever lists, names or computes measures asks here."""

from pid_jax.pid import broja, deficiency, dependency, geometry, mmi, surprisal
from pid_jax.pid.measure import Measure, Redundancy
from pid_jax.runtime.registry import add_record

# By name. The first is the default, and what figures show if nothing else is asked for.
MEASURES: dict[str, Measure] = {}


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
    return " or ".join(f"{measure.method}()" for measure in MEASURES.values())


def register(measure: Measure) -> None:
    """Add a measure in this process; `del MEASURES[name]` removes it.

    Raises:
        TypeError: If it is no record of a measure.
        ValueError: If another measure has its name, its label or its settings.
    """
    add_record(MEASURES, measure, Measure, "MEASURES")


for _file in (broja, mmi, dependency, geometry, surprisal, deficiency):
    register(_file.MEASURE)
