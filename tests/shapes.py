"""Problems of any dims, solved at the same few shapes, each of which is compiled once."""

from collections.abc import Sequence

from pid_jax.decompose.pid import gaussian_pid
from pid_jax.decompose.result import PIDEstimate
from pid_jax.pid.broja import BROJA
from pid_jax.pid.measure import Redundancy
from pid_jax.testing.problems import Dims, Problem, pad

SMALL: Dims = (4, 4, 4)
# Fits all reference problems, also with their sources swapped and with a coordinate more.
LARGE: Dims = (42, 42, 34)
BATCH = 64


def decompose(
    problems: Sequence[Problem], redundancy: Redundancy = BROJA(), dims: Dims = SMALL, variance: float = 0.0
) -> list[PIDEstimate]:
    """Pad problems to common dims and solve them, one after the other.

    Without variance the coordinates added make every covariance singular; with it problems of full rank stay so.
    """
    return [gaussian_pid(*pad(problem, dims, variance), redundancy=redundancy) for problem in problems]
