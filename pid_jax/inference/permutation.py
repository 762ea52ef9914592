"""Permutation tests of the atoms, for all leading axes at once."""

import dataclasses
from collections.abc import Sequence
from functools import partial

import jax
import numpy as np
from numpy.typing import ArrayLike

from pid_jax.estimate.gaussianize import Latents, are_ranked
from pid_jax.estimate.latents import estimate_latents, leave_out, map_to_latents
from pid_jax.estimate.samples import check_spec, check_variables, reduce_variables
from pid_jax.gaussian.wishart import numpy_generator
from pid_jax.inference.categorical_permutation import permute_categorical
from pid_jax.inference.neighbors import choose_length
from pid_jax.inference.permutation_result import PIDTest, p_values
from pid_jax.inference.permuted import Fill, draw_permutations, permute, permuted_quantities
from pid_jax.inference.replicates import refitted_replicates
from pid_jax.inference.reranked import find_close, permute_and_rank
from pid_jax.pid.atoms import quantities_of
from pid_jax.reduce.pca import Reduced
from pid_jax.runtime.checks import check_key, check_positive_int
from pid_jax.runtime.devices import use_devices
from pid_jax.runtime.progress import Progress, no_progress, part_of
from pid_jax.settings.categorical import CategoricalSpec
from pid_jax.settings.estimate import NoCorrection, PIDSpec, SampleCovariance, spec_to_dict
from pid_jax.settings.inference import Block, ConditionalIndependence, Independence, Null

# The smallest p-value that can be, 1 / (resamples + 1), has to be below .05.
FEWEST_RESAMPLES = 20
_SO = "p-values are too small; use blocks=Block(length) with blocks many times longer than the dependence lasts"
_FITTED = (
    "flows were fitted to the pairs as they are, which p-values do not know: they are too small where flows learn the "
    "samples by heart; refit=True fits them to every permutation"
)


def permutation_test(
    source_1: ArrayLike,
    source_2: ArrayLike,
    target: ArrayLike,
    *,
    spec: PIDSpec | CategoricalSpec | None = None,
    key: jax.Array,
    resamples: int = 1000,
    null: Null | None = None,
    blocks: Block | None = None,
    refit: bool = False,
    progress: Progress = no_progress,
) -> PIDTest:
    """Test whether atoms and informations are larger than chance makes them.

    Under `Independence()` the whole information is zero, and with it every atom: p-values say whether there is
    anything at all; that of `i_12` is the plainest. Under `ConditionalIndependence(source=k)` the unique information
    of source k and the synergy are zero, and nothing is said of the other atoms.

    With a `CategoricalSpec` the target is a categorical answer (..., n), and what is tested are informations: the mean
    gains in log likelihood of classifiers that were fitted to, and chosen by, the folds before that of the sample.
    Under `Independence()` answers are permuted within folds, which is exact for each fold. Under
    `ConditionalIndependence(source=k)` the null is that both sources predict no better than the other one alone, and
    `i_12` is compared with normal multipliers, which is conservative. Atoms are NaN: see the p-value of `i_12`.

    Args:
        source_1: Samples (..., n, p1).
        source_2: Samples (..., n, p2), row i from the same sample as row i of `source_1`.
        target: Samples (..., n, pt). Any variable may leave out the leading axes: it is then the same for all.
        spec: The settings of every stage, `PIDSpec()` if not given; a `CategoricalSpec` for a target that is a
            categorical answer. `bias_correction` is not used: what is tested is as biased as what it is compared with.
        key: A JAX random key.
        resamples: Number of permutations.
        null: `Independence()` (default) or `ConditionalIndependence(source)`.
        blocks: `Block(length)` to permute blocks of consecutive rows, for rows that depend on their neighbors.
        refit: Whether reduction and maps are fitted again to every permutation: needed where flows are fitted to all
            variables jointly, and slow. Reduction and ranks of single variables are the same for every permutation.
        progress: Called with steps done and all there are.

    Returns:
        P-values of every problem, and adjusted for all problems.

    Raises:
        TypeError: For settings of the wrong kind, and as `estimate_pid`.
        ValueError: For fewer than 20 resamples, a shrunk covariance, blocks longer than the data, `refit` with
            `ConditionalIndependence`, and as `estimate_pid`. With a `CategoricalSpec`, for `blocks`, `refit` or fewer
            than three folds, and as `estimate_categorical_pid`.

    Example:
        >>> import jax
        >>> import numpy as np
        >>> from pid_jax import permutation_test
        >>> rng = np.random.default_rng(0)
        >>> target = rng.normal(size=(1000, 2))
        >>> source_1 = target + rng.normal(size=(1000, 2))
        >>> source_2 = target[:, :1] + rng.normal(size=(1000, 2))
        >>> test = permutation_test(source_1, source_2, target, key=jax.random.key(0), resamples=99)
        >>> float(test.p_value.i_12)
        0.01

    Source: Fisher (1935), The Design of Experiments, for permutations of rows; see also the settings of the nulls.
    """
    null = Independence() if null is None else null
    if isinstance(spec, CategoricalSpec):
        _check_resampling(null, blocks, resamples, refit)
        if blocks is not None or refit:
            raise ValueError("blocks and refit need None and False with a CategoricalSpec: leave them out.")
        options = {"null": null, "resamples": resamples, "progress": progress}
        return permute_categorical(source_1, source_2, target, spec=spec, key=key, **options)
    spec = check_spec(spec)
    check_key(key)
    _check(spec, null, blocks, resamples, refit)
    plain = dataclasses.replace(spec, bias_correction=NoCorrection())
    with use_devices():
        for_estimate, for_rows = jax.random.split(key)
        reduced, leading, rest = reduce_variables(source_1, source_2, target, plain, for_estimate)
        test = permute_reduced(
            reduced,
            plain,
            (rest, for_rows),
            null=null,
            resamples=resamples,
            blocks=blocks,
            refit=(check_variables(source_1, source_2, target), for_estimate) if refit else None,
            progress=progress,
        )
        return test.on(leading)


def permute_reduced(
    reduced: Sequence[Reduced],
    spec: PIDSpec,
    keys: tuple[jax.Array, jax.Array],
    *,
    null: Null,
    resamples: int,
    blocks: Block | None = None,
    refit: tuple[list[np.ndarray], jax.Array] | None = None,
    progress: Progress = no_progress,
) -> PIDTest:
    """Test variables that have been reduced, with one leading axis; see `permutation_test`.

    The spec has no correction of the bias, the keys are those for the maps and for the permutations. With `refit`,
    samples and the key of their estimate, rows of the target are permuted and all stages fitted anew; else latents are
    permuted.
    """
    for_latents, for_rows = keys
    first, second = (part_of(progress, i, 2) for i in range(2))
    latents, for_bias = map_to_latents(reduced, spec, for_latents, first)
    length, warned = choose_length(latents.values, blocks, _SO, 5)
    (found,) = estimate_latents(latents, reduced, spec, (spec.redundancy,), for_bias, is_checked=False)
    notes = (*found.notes, *warned, *((_FITTED,) if latents.fit is not None and refit is None else ()))
    orders = partial(draw_permutations, samples=latents.values.shape[1], block_length=length)
    if refit is not None:
        (one, two, target), key = refit
        drawn = (((one, two, target[..., rows, :]), key) for rows in orders(numpy_generator(for_rows)))
        replicates = refitted_replicates(drawn, spec, resamples, second)
    else:
        fills, in_doubt = _fills(latents, reduced, found.dims, null)
        notes += (_note_of(in_doubt, len(found.cov)),) if in_doubt else ()
        parts = [
            permuted_quantities(
                found.cov[some],
                found.dims,
                spec.redundancy,
                fill,
                orders(numpy_generator(for_rows)),
                resamples,
                len(some) * latents.values[0].nbytes,
                second if place == len(fills) - 1 else no_progress,
            )
            for place, (some, fill) in enumerate(fills)
        ]
        places = np.argsort(np.concatenate([some for some, _ in fills]))
        replicates = jax.tree.map(lambda *each: np.concatenate(each, axis=1)[:, places], *parts)
    result = p_values(quantities_of(found.atoms, found.information), replicates)
    settings = {"spec": spec_to_dict(spec), "null": spec_to_dict(null), "resamples": int(resamples)}
    settings |= {"refit": refit is not None, "blocks": None if blocks is None else spec_to_dict(blocks)}
    test = PIDTest(status=found.status, **result, replicates=replicates, notes=notes, settings=settings)
    return leave_out(test, reduced)


def _fills(
    latents: Latents, reduced: Sequence[Reduced], dims: tuple[int, int, int], null: Null
) -> tuple[list[tuple[np.ndarray, Fill]], int]:
    """Return problems with what permutes them, latents or scores before their ranks, and how many are in doubt."""
    values, count, in_doubt = latents.values, len(latents.values), 0
    before_ranks = np.zeros(count, bool)
    scores = [np.asarray(one.scores) for one in reduced]
    if isinstance(null, ConditionalIndependence):
        before_ranks, doubtful = find_close(values, scores, dims, are_ranked(latents.gaussianizer))
        in_doubt = int(doubtful.sum())
    plain, ranked = np.flatnonzero(~before_ranks), np.flatnonzero(before_ranks)
    fills = [(plain, permute(values[plain], dims, null))] if plain.size else []
    if ranked.size and isinstance(null, ConditionalIndependence):
        chosen = [x if len(x) == 1 else x[ranked] for x in scores]
        fills.append((ranked, permute_and_rank(values[ranked], chosen, dims, null)))
    return fills, in_doubt


def _note_of(doubtful: int, count: int) -> str:
    where = f" in {doubtful} of {count} problems" if count > 1 else ""
    return (
        f"the sources are nearly functions of each other{where}, and not linear ones before the ranks: p-values may be "
        "too small, since ranks are off by as much as one source leaves open of the other; use more samples, or leave "
        "out what both share"
    )


def _check_resampling(null: object, blocks: object, resamples: int, refit: object) -> None:
    if not isinstance(null, (Independence, ConditionalIndependence)):
        raise TypeError(f"null needs Independence() or ConditionalIndependence(source), got {null!r}.")
    if blocks is not None and not isinstance(blocks, Block):
        raise TypeError(f"blocks needs Block(length) or None, got {blocks!r}.")
    if not isinstance(refit, bool):
        raise TypeError(f"refit needs True or False, got {refit!r}.")
    check_positive_int("resamples", resamples)
    if resamples < FEWEST_RESAMPLES:
        raise ValueError(
            f"resamples={resamples} are too few: the smallest p-value would be {1 / (resamples + 1):.2f}; use at least "
            f"{FEWEST_RESAMPLES}, better 1000."
        )


def _check(spec: PIDSpec, null: object, blocks: object, resamples: int, refit: object) -> None:
    _check_resampling(null, blocks, resamples, refit)
    if refit and isinstance(null, ConditionalIndependence):
        raise ValueError(
            "refit=True needs null=Independence(): what a source does not tell beyond the other is permuted behind the "
            "maps, to which no rows of the input belong; leave refit out."
        )
    if not isinstance(spec.covariance, SampleCovariance):
        raise ValueError(
            f"spec needs covariance=SampleCovariance(), got {type(spec.covariance).__name__}: permutations are "
            "compared with what the samples show; reduce further (PCA(dim=...)) where there are few."
        )
