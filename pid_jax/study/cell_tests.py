"""Tests of a study: what each source adds to the other, and what a knockout changes, layer by layer."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
import xarray as xr

from pid_jax.gaussianizers import Gaussianizer
from pid_jax.inference.comparison import PIDComparison, compare_reduced
from pid_jax.inference.permutation import PIDTest, permute_reduced
from pid_jax.named_key import named_key
from pid_jax.pid.quantities import QUANTITIES, PIDQuantities
from pid_jax.progress import Progress, part_of
from pid_jax.reduce.pca import Reduced
from pid_jax.resampling import ConditionalIndependence
from pid_jax.spec import NoCorrection, PIDSpec

RESAMPLES, LEVEL = 400, 0.95
# Fields of a comparison by their names in the data set.
_DIFFERENCE = {
    "difference": "difference",
    "difference_lower": "lower",
    "difference_upper": "upper",
    "difference_p": "p_value",
    "difference_family_wise": "family_wise",
}
_SOURCES = (1, 2)


def infer_task(
    conditions: Sequence[Sequence[Reduced]], pid: PIDSpec, tested: Gaussianizer, key: jax.Array, progress: Progress
) -> xr.Dataset:
    """Test all layers of one task.

    Args:
        conditions: source_1, source_2 and target of every condition, the baseline first.
        pid: How problems are estimated.
        tested: The map behind which they are tested.
        key: A JAX random key.
        progress: Called with steps done and all there are.

    Returns:
        By condition and layer: differences to the baseline in nats with intervals and p-values, NaN for the baseline
        itself; and p-values of what each source tells beyond the other. P-values are adjusted for all layers.
    """
    spec = dataclasses.replace(pid, gaussianize=tested)
    plain = dataclasses.replace(spec, bias_correction=NoCorrection())
    steps = len(_SOURCES) * len(conditions) + len(conditions) - 1
    parts = iter([part_of(progress, place, steps) for place in range(steps)])

    def keys(name: str) -> tuple[jax.Array, jax.Array]:
        first, second = jax.random.split(named_key(key, name))
        return first, second

    added = [
        [
            permute_reduced(
                one,
                plain,
                keys(f"source_{source}"),
                null=ConditionalIndependence(source),
                resamples=RESAMPLES,
                progress=next(parts),
            )
            for source in _SOURCES
        ]
        for one in conditions
    ]
    baseline, *others = conditions
    compared = [
        compare_reduced(baseline, one, spec, keys("rows"), resamples=RESAMPLES, level=LEVEL, progress=next(parts))
        for one in others
    ]
    return xr.Dataset(
        _differences(compared, len(added[0][0].p_value.i_12)) | _added(added),
        coords={"quantity": list(QUANTITIES), "source": [f"source_{source}" for source in _SOURCES]},
    )


def _differences(compared: Sequence[PIDComparison], layers: int) -> dict[str, Any]:
    dims = ("condition", "quantity", "layer")
    itself = np.full((len(QUANTITIES), layers), np.nan)
    data = {}
    for name, field in _DIFFERENCE.items():
        values = np.stack([itself, *(_stacked(getattr(one, field)) for one in compared)])
        data[name] = (dims, values, {"units": "1" if name.endswith(("_p", "_wise")) else "nats"})
    return data


def _stacked(values: PIDQuantities) -> np.ndarray:
    return np.stack([getattr(values, name) for name in QUANTITIES])


def _added(tests: Sequence[Sequence[PIDTest]]) -> dict[str, Any]:
    dims = ("condition", "source", "layer")
    found = {"added_p": "p_value", "added_family_wise": "family_wise"}
    return {
        name: (dims, np.stack([[getattr(one, field).i_12 for one in pair] for pair in tests]), {"units": "1"})
        for name, field in found.items()
    }
