"""Settings of the bootstrap: what is drawn again, and how intervals come from it."""

from dataclasses import dataclass

from pid_jax.checks import check_positive_int


@dataclass(frozen=True)
class Parametric:
    """Draw sample covariances of the Gaussian whose samples look like the data; no rows are drawn."""


@dataclass(frozen=True)
class Pairs:
    """Draw rows with replacement. Nothing is assumed but that rows are independent.

    Attributes:
        refit: Whether reduction and map to Gaussian latents are fitted again to the rows of every replicate, so that
            their own variability counts. Otherwise rows of latents are drawn.
    """

    refit: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.refit, bool):
            raise ValueError(f"Pairs(refit=...) needs True or False, got {self.refit!r}.")


@dataclass(frozen=True)
class Block:
    """Draw blocks of consecutive rows of latents with replacement, for rows that depend on their neighbors.

    Blocks start anywhere and go round from the last row to the first.

    Attributes:
        length: Rows of a block: many times as many as rows depend on each other.

    Source: D. N. Politis, J. P. Romano (1992), A circular block-resampling procedure for stationary data, in: Exploring
    the Limits of Bootstrap, 263.
    """

    length: int

    def __post_init__(self) -> None:
        check_positive_int("Block(length=...)", self.length)


@dataclass(frozen=True)
class Calibrated:
    """Test inversion along a path of Gaussian models, as in `estimate_pid`; needs `Parametric()`."""


@dataclass(frozen=True)
class Percentile:
    """Quantiles of the replicates, moved by the bias."""


@dataclass(frozen=True)
class Basic:
    """Quantiles of the replicates, mirrored at the estimate."""


@dataclass(frozen=True)
class BCa:
    """Quantiles of the replicates, corrected for bias and for a spread that changes with the atom.

    Source: B. Efron (1987), J. Am. Stat. Assoc. 82, 171.
    """


Kind = Parametric | Pairs | Block
Interval = Calibrated | Percentile | Basic | BCa
