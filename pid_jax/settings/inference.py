"""Settings of inference by resampling: what is drawn again, how intervals come from it, and what is tested."""

from dataclasses import dataclass

from pid_jax.runtime.checks import check_positive_int


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
    """First order towards equal sources, test inversion towards others, as in `estimate_pid`; needs `Parametric()`."""


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


@dataclass(frozen=True)
class Independence:
    """The target is independent of both sources together: rows of the target are permuted against those of the sources.

    Exact for independent rows of any distribution.
    """


@dataclass(frozen=True)
class ConditionalIndependence:
    """The target is independent of one source given the other.

    What the other source does not predict of this one is permuted, and keeps its covariance and its independence of the
    other one. Exact up to O(1/n) where both sources are jointly Gaussian. Where ranks were taken and both sources are
    nearly functions of each other, the rest is permuted before the ranks and ranked again (docs/decisions/0024); a note
    says where that is not possible.

    Attributes:
        source: 1 or 2: the source that is to tell nothing beyond the other.

    Source: conditional randomization, Candès, Fan, Janson & Lv (2018), J. R. Stat. Soc. B 80, 551; permuted residuals,
    Freedman & Lane (1983), J. Bus. Econ. Stat. 1, 292.
    """

    source: int = 1

    def __post_init__(self) -> None:
        if isinstance(self.source, bool) or self.source not in (1, 2):
            raise ValueError(f"ConditionalIndependence(source=...) needs 1 or 2, got {self.source!r}.")


Kind = Parametric | Pairs | Block
Interval = Calibrated | Percentile | Basic | BCa
Null = Independence | ConditionalIndependence
