"""Settings of a posterior: how latents are distributed, what is known of their scatter before, how it is sampled."""

from dataclasses import dataclass

from pid_jax.runtime.checks import check_at_least, check_positive_int


@dataclass(frozen=True)
class GaussianLikelihood:
    """Latents are jointly Gaussian, with unknown mean and covariance. The mean is integrated out (flat prior)."""


@dataclass(frozen=True)
class StudentTLikelihood:
    """Latents follow a multivariate t distribution, with unknown location (flat prior) and scatter matrix.

    Attributes:
        freedom: Degrees of freedom ν; None to infer them under the prior Gamma(2, 0.1), which has the mean 20.

    Source: M. A. Juárez, M. F. J. Steel (2010), J. Bus. Econ. Stat. 28, 52, for the prior.
    """

    freedom: float | None = None

    def __post_init__(self) -> None:
        if self.freedom is not None:
            check_at_least("StudentTLikelihood(freedom=...)", self.freedom, 0, is_open=True)


@dataclass(frozen=True)
class InverseWishart:
    """The density |Σ|^(−(D + 1 + excess)/2), an inverse Wishart distribution without a scale matrix.

    It is improper and does not depend on units. A scale matrix would have to come from the data; `LKJ` is the prior
    that is proper.

    Attributes:
        excess: 0 for Jeffreys' prior of a covariance, 1 for that of mean and covariance together.
    """

    excess: float = 0.0

    def __post_init__(self) -> None:
        check_at_least("InverseWishart(excess=...)", self.excess, 0)


@dataclass(frozen=True)
class LKJ:
    """Correlations with density |R|^(concentration − 1), and independent half-Cauchy standard deviations.

    Attributes:
        concentration: 1 for the uniform density of correlation matrices; above 1 prefers weak correlations.
        scale: Scale of the half-Cauchy distributions, in units of the standard deviations of the latents at hand, for
            a Student-t likelihood of those of their robust scatter matrix. In these units the truth is close to 1, so
            that 2.5 says little.

    Source: D. Lewandowski, D. Kurowicka, H. Joe (2009), J. Multivariate Anal. 100, 1989.
    """

    concentration: float = 1.0
    scale: float = 2.5

    def __post_init__(self) -> None:
        check_at_least("LKJ(concentration=...)", self.concentration, 0, is_open=True)
        check_at_least("LKJ(scale=...)", self.scale, 0, is_open=True)


@dataclass(frozen=True)
class Conjugate:
    """Independent exact draws; for `GaussianLikelihood()` with `InverseWishart()`."""


@dataclass(frozen=True)
class NUTS:
    """Chains of the no-U-turn sampler, by NumPyro.

    Attributes:
        warmup: Steps of each chain that adapt its step size and are not kept.
        chains: Number of chains, which start apart from each other.
        thinning: Steps to a draw. Single steps lead from one side of the posterior to the other: means of them are
            exact to a fault, but spreads are not, and R-hat sees it. Every third is worth about one independent draw.

    Source: M. D. Hoffman, A. Gelman (2014), J. Mach. Learn. Res. 15, 1593.
    """

    warmup: int = 500
    chains: int = 4
    thinning: int = 3

    def __post_init__(self) -> None:
        check_positive_int("NUTS(warmup=...)", self.warmup)
        check_positive_int("NUTS(chains=...)", self.chains)
        check_positive_int("NUTS(thinning=...)", self.thinning)


Likelihood = GaussianLikelihood | StudentTLikelihood
Prior = InverseWishart | LKJ
Sampler = Conjugate | NUTS
