"""Pointwise decompositions: what each sample contributes to every atom and information of a Gaussian estimate."""

import dataclasses
from dataclasses import dataclass

import jax
import numpy as np
from numpy.typing import ArrayLike

from pid_jax.decompose.dataset import Result
from pid_jax.decompose.result import PIDEstimate, describe_status, span
from pid_jax.estimate.latents import estimate_latents, leave_out, map_to_latents
from pid_jax.estimate.samples import check_spec, reduce_variables
from pid_jax.gaussian.information import Information
from pid_jax.inference.influence import pointwise_of_rows
from pid_jax.pid.atoms import QUANTITIES, PIDAtoms, PIDQuantities
from pid_jax.runtime.devices import use_devices
from pid_jax.runtime.progress import Progress, no_progress
from pid_jax.settings.estimate import NoCorrection, PIDSpec


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class PIDPointwise(Result, amounts=("pointwise",), axes={"pointwise": (..., "sample")}):
    """The share of every sample in each atom and information. Arrays have the leading axes of the input.

    Attributes:
        pointwise: Shares (..., n), which are signed; their mean over the samples is the quantity of `estimated`.
            NaN where the status is not `OK`.
        status: `Status` of each problem, that of `estimated`.
        estimated: The decomposition that the shares average to, without a correction of its bias.
        unit: "nats" or "bits".
    """

    pointwise: PIDQuantities
    status: np.ndarray
    estimated: PIDEstimate
    unit: str = "nats"

    @property
    def atoms(self) -> PIDAtoms:
        """Means of the shares in the atoms."""
        return self.estimated.atoms

    @property
    def information(self) -> Information:
        """Means of the shares in the informations."""
        return self.estimated.information

    def __repr__(self) -> str:
        """Show the range of the shares in each quantity."""
        shape = np.shape(self.pointwise.i_12)
        problems = f"{self.status.size} problem{'s' * (self.status.size != 1)}"
        lines = [f"PIDPointwise of {shape[-1]} samples in {problems}, in {self.unit}"]
        lines += [f"  {name + ':':<13}{span(np.asarray(getattr(self.pointwise, name)))}" for name in QUANTITIES]
        return "\n".join([*lines, *describe_status(self.status)])


def pointwise_pid(
    source_1: ArrayLike,
    source_2: ArrayLike,
    target: ArrayLike,
    *,
    spec: PIDSpec | None = None,
    key: jax.Array,
    progress: Progress = no_progress,
) -> PIDPointwise:
    """Decompose what two sources tell about a target, and return what each sample contributes to every atom.

    With z the latents of a sample, less their mean, Σ the covariance that is decomposed and G = ∂Q/∂Σ the derivative of
    an atom or information Q, the share of the sample is

        q(z) = Q + zᵀ G z.

    For the informations this is the local information of the fitted Gaussian, i_k(z) = log p(t | x_k) / p(t). For an
    atom G follows from the dual variables of its optimization (envelope theorem), which weigh the squared residuals of
    the sample. Shares obey sample by sample what atoms obey: r + u_k = i_k, and r + u_1 + u_2 + s = i_12. They are
    signed: a sample in which a source misleads about the target has a negative i_k.

    The atoms that shares average to are those of the covariance itself. Its bias belongs to the estimate and not to a
    sample, and so it is not corrected, whatever `spec.bias_correction` is; `estimate_pid` with the same arguments finds
    what has to be subtracted (`bias`). The shares of a shrunk covariance are moved by a constant, so that they average
    to its atoms: the samples have another covariance.

    Args:
        source_1: Samples (..., n, p1), as for `estimate_pid`.
        source_2: Samples (..., n, p2), row i from the same sample as row i of `source_1`.
        target: Samples (..., n, pt). Any variable may leave out the leading axes: it is then the same for all.
        spec: The settings of every stage, `PIDSpec()` if not given. Every registered measure can be used.
        key: A JAX random key.
        progress: Called with steps done and all there are, while flows are fitted.

    Returns:
        The shares (..., n) of the samples in each quantity, in nats, and the decomposition that they average to.

    Raises:
        TypeError: As `estimate_pid`.
        ValueError: As `estimate_pid`.

    Example:
        >>> import jax
        >>> import numpy as np
        >>> from pid_jax import pointwise_pid
        >>> rng = np.random.default_rng(0)
        >>> target = rng.normal(size=(1000, 2))
        >>> source_1 = target + rng.normal(size=(1000, 2))
        >>> source_2 = target[:, :1] + rng.normal(size=(1000, 2))
        >>> found = pointwise_pid(source_1, source_2, target, key=jax.random.key(0))
        >>> best = np.argsort(found.pointwise.unique_1)[-10:]  # samples in which source_1 alone tells the most
        >>> bool(found.pointwise.unique_1[best].min() > 4 * found.atoms.unique_1)
        True
        >>> bool(np.isclose(found.pointwise.unique_1.mean(), found.atoms.unique_1))
        True

    Not guaranteed: shares describe the Gaussian with the covariance of the latents. In the data's own distribution a
    sample may have another local information.

    Source: Fano (1961), Transmission of Information, for local information; Finn & Lizier (2018), Entropy 20, 297, for
    pointwise atoms, which are other ones there; Jaeckel (1972), The infinitesimal jackknife, Bell Labs memorandum
    MM 72-1215-11, for the derivative.
    """
    spec = dataclasses.replace(check_spec(spec), bias_correction=NoCorrection())
    with use_devices():
        reduced, leading, rest = reduce_variables(source_1, source_2, target, spec, key)
        latents, for_bias = map_to_latents(reduced, spec, rest, progress)
        (found,) = estimate_latents(latents, reduced, spec, (spec.redundancy,), for_bias)
        shares = pointwise_of_rows(found, spec.redundancy, latents.values)
    result = PIDPointwise(pointwise=shares, status=found.status, estimated=found)
    return leave_out(result, reduced).on(leading)
