"""The directions of the target that each source alone, or both, tell about."""

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal

import jax
import numpy as np
from numpy.typing import ArrayLike

from pid_jax.decompose.covariances import check_covariances, solve_covariances
from pid_jax.decompose.dataset import Result
from pid_jax.decompose.result import VARIABLES
from pid_jax.gaussian.status import Status
from pid_jax.pid.spectrum import Directions, Spectrum, spectrum_of
from pid_jax.runtime.checks import check_samples
from pid_jax.runtime.leading import read_axis_labels

PARTS = ("unique_1", "unique_2", "redundancy")
# Directions with less than this many nats are not told apart from rounding.
SMALLEST = 1e-9

_AXES = dict.fromkeys(PARTS, (..., "direction"))
_AXES |= {f"{kind}_readouts": (..., "direction", "target") for kind in ("unique", "shared")}
_AXES |= {f"{kind}_predictors_{k}": (..., "direction", f"source_{k}") for kind in ("unique", "shared") for k in (1, 2)}

Part = Literal["unique_1", "unique_2", "redundancy"]
Variable = Literal["source_1", "source_2", "target"]


@dataclass(frozen=True, kw_only=True, eq=False)
class UniqueSpectrum(Result, amounts=PARTS, axes=_AXES):
    """The atoms of BROJA resolved into directions of the target. Every array has the leading axes of the input.

    Attributes:
        unique: Read-outs of the target of unit variance (..., dt, dt), one a row, that compare the two sources, with
            their best linear predictions from each source. First what source_1 knows most ahead of source_2, last
            what source_2 knows most ahead of source_1.
        unique_1: What source_1 tells about each of them more than source_2 (..., dt); U_1 in total.
        unique_2: What source_2 tells about each of them more than source_1 (..., dt); U_2 in total.
        shared: Uncorrelated read-outs that carry the redundancy, from most to least.
        redundancy: What each of them adds to the redundancy (..., dt); R in total. Single values can be negative.
        status: `Status` of each problem. Numbers are NaN where there is no covariance, or where one source alone has
            infinite information.
        unit: "nats" or "bits".
    """

    unique: Directions
    unique_1: np.ndarray
    unique_2: np.ndarray
    shared: Directions
    redundancy: np.ndarray
    status: np.ndarray
    unit: str = "nats"

    def __getitem__(self, index: Any) -> "UniqueSpectrum":
        """Take some problems by their leading axes, as NumPy would index an array of these axes alone."""
        axes = self.status.ndim
        chosen = np.arange(self.status.size).reshape(self.status.shape)[index]

        def pick(array: np.ndarray) -> np.ndarray:
            return array.reshape(-1, *array.shape[axes:])[chosen]

        picked = jax.tree.map(pick, {f: getattr(self, f) for f in _ARRAYS})
        return UniqueSpectrum(**picked, unit=self.unit)

    def project(self, samples: ArrayLike, part: Part, variable: Variable = "target") -> np.ndarray:
        """Project samples on the directions of one part, the most informative first.

        For the target these are the read-outs; for a source, the best linear predictions of the read-outs from it.
        `project(states, "unique_1", "source_1")` is thus what source_1 says about what only it knows.

        Args:
            samples: (..., n, d) with the dims and, if it has any, the units of the variable that was decomposed.
            part: "unique_1", "unique_2" or "redundancy".
            variable: What the samples are of.

        Returns:
            Scores (..., n, m): one column for each direction that carries the part. Means are not subtracted.

        Raises:
            ValueError: For a spectrum of many problems (index it first), one without numbers, an unknown part or
                variable, or samples of other dims.
        """
        if part not in PARTS:
            raise ValueError(f"part must be one of {PARTS}, got {part!r}.")
        if variable not in VARIABLES:
            raise ValueError(f"variable must be one of {VARIABLES}, got {variable!r}.")
        if self.status.ndim:
            raise ValueError(
                f"This spectrum holds problems of shape {self.status.shape}: choose one first, as in spectrum[0]."
            )
        if not np.isfinite(self.redundancy).all():
            status = Status(int(self.status))
            raise ValueError(f"This spectrum has no numbers, its status is {status.name}. {status.message}")
        directions = self.shared if part == "redundancy" else self.unique
        maps = directions.readouts if variable == "target" else directions.predictors[VARIABLES.index(variable)]
        array = check_samples("samples", samples)
        if array.shape[-1] != maps.shape[-1]:
            raise ValueError(
                f"samples have {array.shape[-1]} dimensions, {variable} has {maps.shape[-1]}: pass the coordinates "
                "that were decomposed, after the same reduction."
            )
        amounts = getattr(self, part)
        order = np.argsort(-amounts)
        return array @ np.asarray(maps)[order[amounts[order] > SMALLEST]].T


_ARRAYS = [f.name for f in dataclasses.fields(Spectrum)]


def unique_spectrum(cov: ArrayLike, dims: tuple[int, int, int], *, rank_cut: float = 1e-13) -> UniqueSpectrum:
    """Find the directions of the target that only source_1, only source_2, or both tell about.

    Args:
        cov: Joint covariances (..., D, D) in the order source_1, source_2, target, such as `PIDEstimate.cov`.
        dims: (d1, d2, dt), with D = d1 + d2 + dt.
        rank_cut: Directions of a variable with less than this fraction of its largest variance are dropped.

    Returns:
        The spectrum in nats. Directions that carry equal amounts are defined up to rotation among them.

    Raises:
        TypeError: As `gaussian_pid`.
        ValueError: As `gaussian_pid`.

    Example:
        >>> from pid_jax import unique_spectrum
        >>> from pid_jax.testing.systems import parallel_channels
        >>> system = parallel_channels(snr_1=[3.0, 0.0], snr_2=[1.0, 1.0])
        >>> spectrum = unique_spectrum(*system.problem).in_bits()
        >>> spectrum.unique_1.round(2) + 0.0
        array([0.5, 0. ])
        >>> spectrum.unique_2.round(2) + 0.0
        array([0. , 0.5])
    """
    array, checked = check_covariances(cov, dims, "pid_jax.pid.spectrum.broja_spectrum")
    solved = solve_covariances(array, checked, spectrum_of, rank_cut)
    return UniqueSpectrum(**vars(solved), leading_axes=read_axis_labels(cov, array.ndim - 2))
