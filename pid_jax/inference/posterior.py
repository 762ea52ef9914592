"""Posterior distributions of atoms and informations, for all leading axes at once."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
from numpy.typing import ArrayLike

from pid_jax.decompose.dataset import Result
from pid_jax.decompose.result import ATOMS, INFORMATION, VARIABLES, span
from pid_jax.estimate.after_ranks import without_noise_in_rows
from pid_jax.estimate.discrete_values import refuse_impossible
from pid_jax.estimate.gaussianize import RAW, Latents
from pid_jax.estimate.latents import leave_out, map_to_latents
from pid_jax.estimate.samples import check_spec, reduce_variables
from pid_jax.gaussian.information import Information
from pid_jax.inference.arviz import draws_as_tree
from pid_jax.inference.chains import effective_draws, potential_scale_reduction
from pid_jax.inference.intervals import check_enough_draws
from pid_jax.inference.neighbors import notice_neighbors
from pid_jax.inference.posterior_draws import Draws, check_full_rank, draw_problem
from pid_jax.normality.diagnose import describe_problems, diagnose_latents
from pid_jax.pid.atoms import QUANTITIES, PIDQuantities
from pid_jax.reduce.discrete import DiscreteValues
from pid_jax.runtime.by_type import by_type
from pid_jax.runtime.checks import check_key
from pid_jax.runtime.devices import use_devices
from pid_jax.runtime.progress import Progress, no_progress, part_of
from pid_jax.settings.estimate import PIDSpec, SampleCovariance, spec_to_dict
from pid_jax.settings.posterior import (
    LKJ,
    NUTS,
    Conjugate,
    GaussianLikelihood,
    InverseWishart,
    Likelihood,
    Prior,
    Sampler,
    StudentTLikelihood,
)

if TYPE_CHECKING:
    import xarray as xr

# R̂ above which chains do not agree (Vehtari et al. 2021).
LARGEST_R_HAT = 1.01
# Draws that a chain needs for its R̂ to be defined.
FEWEST_OF_A_CHAIN = 4
_AMOUNTS = ("mean", "standard_deviation", "lower", "upper")
_SO = "intervals are too short; use rows that are further apart, or bootstrap_pid with kind=Block(length)"


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class PIDPosterior(
    Result,
    amounts=("draws", "tail_information", *_AMOUNTS),
    axes=dict.fromkeys(("draws", "tail_information", "freedom"), ("draw", ...)),
):
    """Atoms and informations as drawn from their posterior. Every array has the leading axes of the input.

    Attributes:
        draws: Atoms and informations of all draws (draws, ...), one chain after another. For a Student-t likelihood
            these are what the sources tell where the common scale is known: those of the scatter matrix.
        mean: Means of the draws.
        standard_deviation: Their standard deviations.
        lower: Lower ends of the credible intervals; as much probability lies below as above `upper`.
        upper: Upper ends.
        tail_information: What the sources tell about the target through the common scale of a Student-t likelihood
            (draws, ...), which is to be added to the informations; zero for a Gaussian likelihood.
        freedom: Degrees of freedom (draws, ...), None for a Gaussian likelihood.
        r_hat: Agreement of the chains, close to 1 if they have mixed; 1 for independent draws by construction.
        effective_samples: How many independent draws those of the chains are worth; all, for independent draws.
        failed: How many draws have no decomposition. They are NaN, and left out of the summaries.
        dims: (d1, d2, dt).
        samples: n.
        level: Probability of the credible intervals.
        notes: What speaks against the draws, in plain words.
        settings: What was chosen, JSON-ready.
        unit: "nats" or "bits".
    """

    draws: PIDQuantities
    mean: PIDQuantities
    standard_deviation: PIDQuantities
    lower: PIDQuantities
    upper: PIDQuantities
    tail_information: Information
    freedom: np.ndarray | None
    r_hat: PIDQuantities
    effective_samples: PIDQuantities
    failed: np.ndarray
    dims: tuple[int, int, int]
    samples: int
    level: float
    notes: tuple[str, ...]
    settings: Mapping[str, Any]
    unit: str = "nats"

    def to_arviz(self, axes: Sequence[str] | None = None) -> "xr.DataTree":
        """Return the draws as the group "posterior" of a tree, as ArviZ 1 reads it: arviz.summary(...) and its plots.

        Atoms, informations and, for a Student-t likelihood, `freedom`, each (chain, draw, ...).

        Args:
            axes: Names of the leading axes; their own, or "batch_0", "batch_1", ..., if not given.

        Raises:
            ValueError: If the names do not fit.
        """
        values = vars(self.draws) | ({} if self.freedom is None else {"freedom": self.freedom})
        chains = self.settings["sampler"].get("chains", 1)
        return draws_as_tree("posterior", values, chains, self._name_axes(axes, self.failed.ndim), self.unit)

    def __repr__(self) -> str:
        """Show means and intervals of one problem, or the range of many."""
        names = {name: self.settings[name]["method"] for name in ("likelihood", "prior", "sampler")}
        count = self.failed.size
        head = f"PIDPosterior of {count} problem{'s' * (count != 1)}, dims {self.dims}, n = {self.samples}"
        model = ", ".join(names.values())
        lines = [f"{head}: {len(self.draws.synergy)} draws ({model}), {self.level:.0%} intervals, in {self.unit}"]
        for title, some in (("atoms", ATOMS), ("information", INFORMATION)):
            lines.append(f"  {title + ':':<13}{', '.join(self._describe(name) for name in some)}")
        if self.freedom is not None:
            tails = (f"{name} {span(np.asarray(getattr(self.tail_information, name).mean(0)))}" for name in INFORMATION)
            lines.append(f"  {'tails:':<13}{', '.join(tails)}; freedom {span(self.freedom.mean(axis=0))}")
        largest = span(np.nanmax(np.stack(jax.tree.leaves(self.r_hat)), initial=1))
        fewest = np.nanmin(np.stack(jax.tree.leaves(self.effective_samples)), initial=len(self.draws.synergy))
        lines.append(f"  {'chains:':<13}largest R-hat {largest}, at least {fewest:.0f} effective draws")
        lines += [f"  {'note:':<13}{note}" for note in self.notes]
        return "\n".join(lines)

    def _describe(self, name: str) -> str:
        mean, *ends = (span(np.asarray(getattr(x, name))) for x in (self.mean, self.lower, self.upper))
        return f"{name} {mean}" + (f" [{', '.join(ends)}]" if self.failed.size == 1 else "")


def posterior_pid(
    source_1: ArrayLike,
    source_2: ArrayLike,
    target: ArrayLike,
    *,
    spec: PIDSpec | None = None,
    key: jax.Array,
    likelihood: Likelihood = GaussianLikelihood(),
    prior: Prior | None = None,
    sampler: Sampler | None = None,
    draws: int = 1000,
    level: float = 0.95,
    progress: Progress = no_progress,
) -> PIDPosterior:
    """Decompose what two sources tell about a target, and say what is known of every atom after seeing the samples.

    Variables are reduced and mapped to latents as `estimate_pid` does it. Scatter matrices of the latents are drawn
    from their posterior, and each of them is decomposed.

    Args:
        source_1: Samples (..., n, p1).
        source_2: Samples (..., n, p2), row i from the same sample as row i of `source_1`.
        target: Samples (..., n, pt). Any variable may leave out the leading axes: it is then the same for all.
        spec: The settings of every stage, `PIDSpec()` if not given; `bias_correction` is not used.
        key: A JAX random key.
        likelihood: `GaussianLikelihood()` (default) or `StudentTLikelihood()`.
        prior: `InverseWishart()` (default: Jeffreys' prior) or `LKJ()`.
        sampler: `Conjugate()` (default where it exists: a Gaussian likelihood with `InverseWishart`) or `NUTS()`.
        draws: How many, over all chains.
        level: Probability of the credible intervals.
        progress: Called with steps done and all there are.

    Returns:
        Draws, means, standard deviations and credible intervals of atoms and informations, in nats.

    Raises:
        TypeError: For settings of the wrong kind, and as `estimate_pid`.
        ValueError: For too few draws for the level, a shrunk covariance, latents of lower rank than they have columns,
            `Conjugate()` where it does not exist, and as `estimate_pid`.

    Example:
        >>> import jax
        >>> import numpy as np
        >>> from pid_jax import posterior_pid
        >>> rng = np.random.default_rng(0)
        >>> target = rng.normal(size=(1000, 2))
        >>> source_1 = target + rng.normal(size=(1000, 2))
        >>> source_2 = target[:, :1] + rng.normal(size=(1000, 2))
        >>> posterior = posterior_pid(source_1, source_2, target, key=jax.random.key(0))
        >>> is_larger = posterior.draws.unique_1 > posterior.draws.unique_2
        >>> print(f"{is_larger.mean():.1f}")  # the probability of it
        1.0

    Not guaranteed: that a credible interval holds the truth as often as it says. No prior of the scatter matrix here
    takes the bias of sampling off the atoms, which `estimate_pid` does (docs/certainty.md). Maps to latents are taken
    as known.
    """
    spec = check_spec(spec)
    prior = InverseWishart() if prior is None else prior
    is_conjugate = isinstance(likelihood, GaussianLikelihood) and isinstance(prior, InverseWishart)
    sampler = (Conjugate() if is_conjugate else NUTS()) if sampler is None else sampler
    check_key(key)
    _check(spec, likelihood, prior, sampler, draws, level)
    each, told = [], part_of(progress, 1, 2)
    with use_devices():
        for_estimate, for_draws = jax.random.split(key)
        reduced, leading, rest = reduce_variables(source_1, source_2, target, spec, for_estimate)
        latents, _ = map_to_latents(reduced, spec, rest, part_of(progress, 0, 2))
        check_full_rank(latents.values, leading.shape, likelihood)
        d1, d2, dt = (one.scores.shape[-1] for one in reduced)
        rows = without_noise_in_rows(latents)
        for values, one in zip(rows, jax.random.split(for_draws, len(rows)), strict=True):
            found = draw_problem(values, (d1, d2, dt), spec.redundancy, one, likelihood, prior, sampler, int(draws))
            each.append(found)
            told(len(each), len(latents.values))
    chosen = {"spec": spec, "likelihood": likelihood, "prior": prior, "sampler": sampler}
    summary = _summarize(each, sampler, level)
    notes = (*_notes_on(latents, (d1, d2, dt), likelihood), *_notes_on_draws(each, summary, sampler))
    result = PIDPosterior(
        **_refuse_impossible(summary, [one.discrete for one in reduced]),
        dims=(d1, d2, dt),
        samples=latents.values.shape[1],
        level=level,
        notes=(*(note for one in reduced for note in one.notes), *notes),
        settings={name: spec_to_dict(one) for name, one in chosen.items()} | {"draws": int(draws), "level": level},
    )
    return leave_out(result, reduced).on(leading)


def _refuse_impossible(found: dict[str, Any], discrete: Sequence[DiscreteValues | None]) -> dict[str, Any]:
    """Set draws and what sums them up to NaN where their mean exceeds the entropy of a discrete variable."""
    names = ("draws", *_AMOUNTS)
    judged = {name: found[name] for name in names} | {
        "information": found["mean"],
        "status": np.zeros(len(found["failed"])),
    }
    kept = refuse_impossible(judged, discrete, VARIABLES)
    return found | {name: kept[name] for name in names}


def _summarize(each: list[Draws], sampler: Sampler, level: float) -> dict[str, Any]:
    """Return the fields of `PIDPosterior` that the draws decide."""
    pairs = [(one.quantities, one.tail) for one in each]
    draws, tail = jax.tree.map(lambda *parts: np.stack(parts, axis=1), *pairs)
    freedoms = [one.freedom for one in each if one.freedom is not None]
    failed = np.asarray([one.failed for one in each])
    count = len(draws.synergy)
    if by_type("sampler", sampler, {NUTS: True, Conjugate: False}):
        assert isinstance(sampler, NUTS)
        r_hat, effective = (_of_chains(draws, sampler, f) for f in (potential_scale_reduction, effective_draws))
    else:
        r_hat = PIDQuantities(**dict.fromkeys(QUANTITIES, np.ones(len(each))))
        effective = PIDQuantities(**dict.fromkeys(QUANTITIES, count - failed.astype(float)))
    tails = {"lower": (1 - level) / 2, "upper": (1 + level) / 2}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Mean of empty slice|Degrees of freedom|All-NaN", RuntimeWarning)
        ends = {name: jax.tree.map(lambda x, p=p: np.nanquantile(x, p, axis=0), draws) for name, p in tails.items()}
        mean, deviation = (jax.tree.map(lambda x, f=f: f(x, axis=0), draws) for f in (np.nanmean, np.nanstd))
    return ends | {
        "draws": draws,
        "mean": mean,
        "standard_deviation": deviation,
        "tail_information": tail,
        "freedom": np.stack(freedoms, axis=1) if freedoms else None,
        "r_hat": r_hat,
        "effective_samples": effective,
        "failed": failed,
    }


def _of_chains(draws: Any, sampler: NUTS, measure: Callable[[np.ndarray], np.ndarray]) -> Any:
    return jax.tree.map(lambda x: measure(x.reshape(sampler.chains, -1, *x.shape[1:])), draws)


def _notes_on(latents: Latents, dims: tuple[int, int, int], likelihood: Likelihood) -> tuple[str, ...]:
    """Return what speaks against the likelihood; warn of rows that are not independent."""
    notes, findings = list(latents.notes), ()
    if isinstance(likelihood, GaussianLikelihood):
        findings = describe_problems(diagnose_latents(latents.values, dims), VARIABLES, "problem")
    if isinstance(likelihood, StudentTLikelihood) and (latents.gaussianizer != RAW).any():
        notes.append(
            "a map has made every latent Gaussian by itself, which those of a StudentTLikelihood() are not: use "
            "gaussianize=NoGaussianization()"
        )
    return (*notes, *notice_neighbors(latents.values, _SO, stacklevel=4), *findings)


def _notes_on_draws(each: list[Draws], found: Mapping[str, Any], sampler: Sampler) -> tuple[str, ...]:
    """Say whether chains have not mixed, diverged, or drew what has no decomposition, and warn of it."""
    notes = []
    if isinstance(sampler, NUTS):
        r_hat = jax.tree.leaves(found["r_hat"])
        if found["freedom"] is not None:
            r_hat.append(_of_chains(found["freedom"], sampler, potential_scale_reduction))
        values = np.stack(r_hat)
        above, known = int((values > LARGEST_R_HAT).sum()), int((~np.isnan(values)).sum())
        if above:
            notes.append(
                f"chains may not have mixed: R-hat is above {LARGEST_R_HAT} for {above} of {known} quantities (up to "
                f"{np.nanmax(values):.3f}); raise NUTS(warmup=...) or draws"
            )
        diverging = sum(one.diverging for one in each)
        if diverging:
            notes.append(f"{diverging} steps of the chains diverged: draws may miss a part of the posterior")
    failed = int(found["failed"].sum())
    if failed:
        notes.append(f"{failed} draws have no decomposition and are left out: covariances are close to singular")
    for note in notes:
        warnings.warn(note, stacklevel=3)
    return tuple(notes)


def _check(spec: PIDSpec, likelihood: object, prior: object, sampler: object, draws: int, level: float) -> None:
    """Refuse settings of the wrong kind, and such that do not fit together."""
    if not isinstance(likelihood, (GaussianLikelihood, StudentTLikelihood)):
        raise TypeError(f"likelihood needs GaussianLikelihood() or StudentTLikelihood(), got {likelihood!r}.")
    if not isinstance(prior, (InverseWishart, LKJ)):
        raise TypeError(f"prior needs InverseWishart() or LKJ(), got {prior!r}.")
    if not isinstance(sampler, (Conjugate, NUTS)):
        raise TypeError(f"sampler needs Conjugate() or NUTS(), got {sampler!r}.")
    if not isinstance(spec.covariance, SampleCovariance):
        raise ValueError(
            f"spec needs covariance=SampleCovariance(), got {type(spec.covariance).__name__}: a posterior has a prior "
            "in place of shrinkage; use prior=LKJ() to prefer weak correlations."
        )
    is_gaussian = isinstance(likelihood, GaussianLikelihood)
    if isinstance(sampler, Conjugate) and not (is_gaussian and isinstance(prior, InverseWishart)):
        raise ValueError(
            "sampler=Conjugate() needs likelihood=GaussianLikelihood() and prior=InverseWishart(), got "
            f"{likelihood!r} and {prior!r}: their posterior has no exact draws; use NUTS()."
        )
    check_enough_draws("draws", draws, level)
    if isinstance(sampler, NUTS) and (draws % sampler.chains or draws < FEWEST_OF_A_CHAIN * sampler.chains):
        raise ValueError(
            f"draws={draws} needs a multiple of the {sampler.chains} chains, and at least {FEWEST_OF_A_CHAIN} for each "
            f"chain: use {max(FEWEST_OF_A_CHAIN, -(-draws // sampler.chains)) * sampler.chains}."
        )
