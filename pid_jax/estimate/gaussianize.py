"""From reduced samples to latents that are taken as jointly Gaussian, and the Gaussianizers that make them."""

from collections.abc import Sequence

import jax
import numpy as np

from pid_jax.decompose.result import VARIABLES
from pid_jax.estimate.by_flow import AUTO, FLOW
from pid_jax.estimate.by_ranks import COPULA
from pid_jax.estimate.gaussianizer import FitOptions, GaussianizerRecord, Latents
from pid_jax.reduce.pca import Reduced
from pid_jax.runtime.arrays import side_by_side
from pid_jax.runtime.progress import Progress
from pid_jax.runtime.registry import add_record
from pid_jax.settings.estimate import NoCorrection, PIDSpec, is_shrunk
from pid_jax.settings.gaussianize import RECORDS, Gaussianizer, NoGaussianization, check_gaussianizer

RAW = NoGaussianization.__name__


def _take_scores(reduced: Sequence[Reduced], settings: NoGaussianization, _: FitOptions) -> Latents:
    return Latents.of(settings, side_by_side([np.asarray(one.scores) for one in reduced]))


NOTHING = GaussianizerRecord(name="nothing", label="no map", default=NoGaussianization(), fit=_take_scores)
# Every Gaussianizer, by its name in study files and on the command line.
GAUSSIANIZERS: dict[str, GaussianizerRecord] = RECORDS


def register(record: GaussianizerRecord) -> None:
    """Add a Gaussianizer in this process; `del GAUSSIANIZERS[name]` removes it.

    Raises:
        TypeError: If it is no record of a Gaussianizer.
        ValueError: If another Gaussianizer has its name, its label or its settings.
    """
    add_record(GAUSSIANIZERS, record, GaussianizerRecord, "GAUSSIANIZERS")


for _record in (FLOW, COPULA, NOTHING, AUTO):
    register(_record)


def record_of(settings: Gaussianizer) -> GaussianizerRecord:
    """Return the record of a Gaussianizer.

    Raises:
        TypeError: If it has none.
    """
    check_gaussianizer("gaussianize", settings)
    return next(record for record in GAUSSIANIZERS.values() if type(settings) is type(record.default))


def label_of(method: str, unknown: str | None = None) -> str:
    """Return what figures call the Gaussianizer that results name, by default its own name if it is not known here."""
    labels = {record.method: record.label for record in GAUSSIANIZERS.values()}
    return labels.get(method, method if unknown is None else unknown)


def are_ranked(methods: np.ndarray) -> np.ndarray:
    """Check which Gaussianizers, as results name them, make normal scores of ranks."""
    return np.isin(methods, [record.method for record in GAUSSIANIZERS.values() if record.is_ranked])


def is_corrected(spec: PIDSpec) -> bool:
    """Tell whether the bias of the atoms is estimated and subtracted."""
    return not isinstance(spec.bias_correction, NoCorrection) and not is_shrunk(spec.covariance)


def gaussianize(
    reduced: Sequence[Reduced],
    spec: PIDSpec,
    key: jax.Array,
    progress: Progress,
    *,
    labels: Sequence[str] = VARIABLES,
    problem: str = "problem",
) -> Latents:
    """Map the scores of all variables to latents.

    Args:
        reduced: Each variable (problems or 1, n, d) in float64; columns without variance are zero.
        spec: The settings of all stages.
        key: A JAX random key.
        progress: Called with steps done and all there are, while flows are fitted.
        labels: What the variables are called in notes.
        problem: What a problem is called in notes.

    Raises:
        ValueError: If a flow was asked for and the target is discrete in all problems.
    """
    options = FitOptions(key=key, progress=progress, is_corrected=is_corrected(spec), labels=labels, problem=problem)
    return record_of(spec.gaussianize).fit(reduced, spec.gaussianize, options)
