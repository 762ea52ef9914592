"""What every figure shows, in plain sentences: quantity, unit, kind and level of intervals, what is left out."""

from collections.abc import Callable

import xarray as xr

from pid_jax.estimate.gaussianize import label_of
from pid_jax.pid.registry import MEASURES
from pid_jax.plot.associations import IN_NUMBERS, property_labels, shown_properties
from pid_jax.plot.catalog import PlannedFigure, planned_figures
from pid_jax.plot.effects import LARGEST_P, shown_effects
from pid_jax.plot.models import baseline_with_bands
from pid_jax.plot.quantities import (
    ATOMS,
    SMALLEST_TOTAL_BITS,
    condition_labels,
    has_intervals,
    measure_name,
    names_of,
    tested_changes,
)
from pid_jax.plot.selection import MOST_CONDITIONS, MOST_CUTS, left_out, shown_conditions
from pid_jax.plot.universes import study_choices


def captions(results: xr.Dataset) -> dict[str, str]:
    """Write the captions of all figures that `save_figures` makes of a dataset.

    Args:
        results: the dataset made by `pid_jax.study`.

    Returns:
        Captions by figure name, in the order of a page.

    Raises:
        ValueError: see `check_results`.
    """
    planned = planned_figures(results)
    has_models = results.sizes["model"] > 1
    return {name: " ".join(filter(None, _sentences(figure, has_models))) for name, figure in planned.items()}


def _sentences(figure: PlannedFigure, has_models: bool) -> list[str]:
    """Write the sentences of one figure; the first names the model where there are several."""
    first, *others = _CAPTIONS[figure.kind](figure.results, figure.measure)
    if has_models and "model" not in figure.results.dims:
        first = f"{figure.results['model'].item()}: {first[0].lower()}{first[1:]}"
    return [first, *others]


def _percent(results: xr.Dataset, level: str) -> str:
    """Write the level of intervals."""
    return f"{100 * float(results.attrs.get(level, 'nan')):g} %"


def _bands(results: xr.Dataset) -> str:
    if not has_intervals(results):
        return "No intervals are known."
    kind = str(results.attrs.get("interval_kind", ""))
    return f"Bands are {_percent(results, 'interval_level')} intervals{f' ({kind})' if kind else ''}."


def _whiskers(results: xr.Dataset) -> str:
    return f"Whiskers are {_percent(results, 'tested_level')} intervals."


def _behind(results: xr.Dataset) -> str:
    """Name the map and measure behind which differences and metrics stand."""
    name = str(results.attrs.get("tested_by", ""))
    return f"All stands behind one map ({label_of(name)}), by {_tested_measure(results)}." if name else ""


def _tested_measure(results: xr.Dataset) -> str:
    return measure_name(str(results.attrs.get("tested_measure", results["measure"].values[0])))


def _missing(results: xr.Dataset, most: int = MOST_CONDITIONS) -> str:
    return left_out(results, shown_conditions(results, most))


def _shaded(results: xr.Dataset) -> str:
    return "Gray marks the blocks in which attention is cut." if results.sizes["condition"] > 1 else ""


def _trajectories(results: xr.Dataset, measure: str) -> list[str]:
    return [
        f"Information about the prediction over the layers, in bits, divided into atoms by {measure_name(measure)}; a "
        "row for every task, a column for every condition.",
        _bands(results),
        _shaded(results),
        _missing(results),
    ]


def _shares(results: xr.Dataset, measure: str) -> list[str]:
    return [
        f"Atoms as shares of the total information I₁₂ over the layers, in percent, by {measure_name(measure)}; the "
        "line is I₁₂ in bits. Shares carry no intervals here.",
        f"Layers with less than {SMALLEST_TOTAL_BITS} bits have no shares.",
        _missing(results),
    ]


def _knockout(results: xr.Dataset, measure: str) -> list[str]:
    name = results.attrs.get("source_1_label", "source 1")
    is_tested = tested_changes(results, measure) is not None
    level = _percent(results, "tested_level")
    return [
        f"What cuts of attention change. Left: information unique to {name} with the cut and without, in bits; what "
        "lies between is filled. Right: cut minus baseline for all atoms and the total, in bits.",
        f"{_bands(results)} Those of differences are {level}." if is_tested else _bands(results),
        _shaded(results),
        _missing(results, 1 + MOST_CUTS),
    ]


def _measures(results: xr.Dataset, measure: str) -> list[str]:
    measures = names_of(results, "measure")
    return [
        f"Atoms of the baseline over the layers, in bits, {' and '.join(f'by {measure_name(m)}' for m in measures)}.",
        *(MEASURES[name].remark for name in measures if name in MEASURES),
        _bands(results),
        "Knockouts are left out." if results.sizes["condition"] > 1 else "",
    ]


def _gaussianizers(results: xr.Dataset, measure: str) -> list[str]:
    first = measure_name(names_of(results, "measure")[0])
    return [
        f"Atoms of the baseline over the layers, in bits, by {first}, behind every map that was compared.",
        "No intervals are shown.",
        "Knockouts are left out." if results.sizes["condition"] > 1 else "",
    ]


def _models(results: xr.Dataset, measure: str) -> list[str]:
    shown = baseline_with_bands(results, measure)
    is_tested = f"tested_{ATOMS[0]}" in results and f"replicate_{ATOMS[0]}" in results
    pair = " of the pair of models that agrees least" if results.sizes["model"] > 2 else ""
    correlation = f"Titles hold the Pearson correlation over depth{pair}, with its {_percent(results, 'tested_level')} "
    return [
        "Atoms of the baseline of all models over depth (layer over last layer), in bits; a row for every task.",
        _behind(results) if is_tested else f"Atoms are those of {measure_name(measure)}.",
        f"Bands are {shown.attrs['bands']}." if shown.attrs["bands"] else "No intervals are known.",
        f"{correlation}interval." if "model_correlation" in results else "",
        "Knockouts are left out." if results.sizes["condition"] > 1 else "",
    ]


def _fingerprints(results: xr.Dataset, measure: str) -> list[str]:
    return [
        "Fingerprints of tasks and models. Left: atoms of the baseline as shares of I₁₂, in percent, at chosen depths "
        "(layer over last layer). Right: Euclidean distances between fingerprints, in percentage points.",
        _whiskers(results) + " Distances carry none here.",
        _behind(results),
        "Rows are ordered by average linkage, so that similar ones stand together. Hatched: not available.",
    ]


def _windows(results: xr.Dataset, measure: str) -> list[str]:
    name = results.attrs.get("source_1_label", "source 1")
    effects = shown_effects(results)
    return [
        f"What every cut changes in the information unique to {name}, cut minus baseline, in bits: windows of blocks "
        "by layers, a column for every task, a map for every set of edges.",
        "Outlined cells are outputs of the blocks cut. "
        f"Dots mark differences that are not significant (p ≥ {LARGEST_P:g}, adjusted for all layers). "
        "Hatched: not available.",
        "Below: effects of each cut, in bits, and in percentage points of accuracy. Hollow marks are not significant "
        f"(adjusted for all cuts). {_whiskers(results)}"
        if effects
        else "",
        _behind(results),
    ]


def _associations(results: xr.Dataset, measure: str) -> list[str]:
    labels = property_labels(results)
    words = [f"{name.replace('_', ' ')} is the {labels[name]}" for name in shown_properties(results)]
    shown = shown_conditions(results, 1 + MOST_CUTS)
    return [
        "Effects of cuts, in bits or percentage points, against properties of the tasks, in percent; a point is a "
        f"task: {', and '.join(words)}.",
        f"{_whiskers(results)} ρ is Spearman's correlation over tasks, with such an interval and a p-value that is "
        "not adjusted.",
        _behind(results),
        left_out(results, shown, IN_NUMBERS),
    ]


def _spectra(results: xr.Dataset, measure: str) -> list[str]:
    return [
        "What each direction of the prediction carries that is unique to one source, in bits, over the layers, for the "
        "baseline.",
        "Directions are ordered by size at every layer, so that a rank is not the same direction everywhere. Values "
        "are plug-in estimates, without intervals. Hatched: not available.",
        "Knockouts are left out." if results.sizes["condition"] > 1 else "",
    ]


def _diagnostics(results: xr.Dataset, measure: str) -> list[str]:
    numbered = [f"{number} = {label}" for number, label in enumerate(condition_labels(results)) if number]
    dims = ""
    if "universe_dims" in results.coords:
        dims = f" for {str(results['universe_dims'].values[0]).replace(',', ' + ')} dimensions"
    return [
        "What estimates rest on. Left: variance that the reduction kept, in percent, as a line for the baseline and a "
        f"band from least to most over all conditions; n is the number of samples{dims}. "
        f"Middle: the largest certificate gap of all conditions, in nats, of {measure_name(measure)}. Right: which "
        "estimates are there.",
        f"Conditions: {'; '.join(numbered)}." if numbered else "",
    ]


def _verdicts(results: xr.Dataset, measure: str) -> list[str]:
    return [
        "Verdicts on the claims of the paper: the number that decides and its "
        f"{_percent(results, 'tested_level')} interval. Criteria were set before looking.",
        _behind(results),
    ]


def _universes(results: xr.Dataset, measure: str) -> list[str]:
    return [
        "The numbers that decide the claims under other choices of the analysis. The first row, in gray, is the study "
        f"itself ({study_choices(results)}); the others are named by what they change. A pure number has the unit 1.",
        _whiskers(results) + " Symbol and color tell the verdict.",
    ]


_CAPTIONS: dict[str, Callable[[xr.Dataset, str], list[str]]] = {
    "verdicts": _verdicts,
    "universes": _universes,
    "trajectories": _trajectories,
    "models": _models,
    "shares": _shares,
    "fingerprints": _fingerprints,
    "knockout": _knockout,
    "windows": _windows,
    "associations": _associations,
    "spectra": _spectra,
    "measures": _measures,
    "gaussianizers": _gaussianizers,
    "diagnostics": _diagnostics,
}
