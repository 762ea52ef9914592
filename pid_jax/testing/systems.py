"""Systems whose atoms are known by hand."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from pid_jax.gaussian.information import Information
from pid_jax.pid.atoms import PIDAtoms
from pid_jax.testing.problems import Problem, symmetric


@dataclass(frozen=True, kw_only=True)
class KnownSystem:
    """A problem with its BROJA atoms and informations in nats."""

    problem: Problem
    atoms: PIDAtoms
    information: Information


def parallel_channels(snr_1: ArrayLike, snr_2: ArrayLike, noise_correlation: ArrayLike = 0.0) -> KnownSystem:
    """Let both sources read every coordinate of a white target through a channel of its own.

    About coordinate i source k tells ½ log(1 + snr_k). The pairwise marginals do not depend on how the noises of both
    channels are correlated, so the redundancy is the smaller of both whatever the correlation ρ, and together they tell
    ½ log(1 + (snr_1 + snr_2 − 2 ρ √(snr_1 snr_2)) / (1 − ρ²)). Coordinates add.

    Pure cases: snr_2 = 0 is unique to source_1; ρ = √(snr_2 / snr_1) makes source_2 a noisier copy of source_1, without
    synergy; equal snr with ρ → −1 is mostly synergy.

    Args:
        snr_1: Signal-to-noise ratio (power) of source_1 for each coordinate.
        snr_2: The same for source_2.
        noise_correlation: ρ for each coordinate, between −1 and 1 without the ends.

    Returns:
        The system, with dims (d, d, d) for d coordinates.

    Example:
        >>> from pid_jax.testing.systems import parallel_channels
        >>> system = parallel_channels(snr_1=[3.0, 0.0], snr_2=[3.0, 3.0])
        >>> print(f"{system.atoms.redundancy:.3f} {system.atoms.unique_1:.3f} {system.atoms.unique_2:.3f} nats")
        0.693 0.000 0.693 nats
    """
    power_1, power_2, rho = (np.atleast_1d(x) for x in np.broadcast_arrays(snr_1, snr_2, noise_correlation))
    size, eye = len(power_1), np.eye(len(power_1))
    gain = np.concatenate([np.diag(np.sqrt(power_1)), np.diag(np.sqrt(power_2))])
    noise = np.block([[eye, np.diag(rho)], [np.diag(rho), eye]])
    cov = np.block([[gain @ gain.T + noise, gain], [gain.T, eye]])
    i_1, i_2 = 0.5 * np.log1p(power_1), 0.5 * np.log1p(power_2)
    together = (power_1 + power_2 - 2 * rho * np.sqrt(power_1 * power_2)) / (1 - rho**2)
    i_12 = 0.5 * np.log1p(together)
    redundancy = np.minimum(i_1, i_2)
    atoms = PIDAtoms(
        redundancy=redundancy.sum(),
        unique_1=(i_1 - redundancy).sum(),
        unique_2=(i_2 - redundancy).sum(),
        synergy=(i_12 - np.maximum(i_1, i_2)).sum(),
    )
    information = Information(i_1=i_1.sum(), i_2=i_2.sum(), i_12=i_12.sum())
    return KnownSystem(problem=Problem(symmetric(cov), (size, size, size)), atoms=atoms, information=information)
