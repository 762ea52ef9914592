"""Systems of warped hidden states: maps that can be undone, atoms of the Gaussian, sentences read by draw."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.problems import split, stacked
from benchmarks.warped import (
    FAMILIES,
    OUTLIER_SIZE,
    SLOPE,
    draw,
    draw_map,
    flagged,
    latent_covariance,
    leaky_relu,
    part_classes,
    warp,
)
from pid_jax import gaussian_pid

D = 8


def undo(y: np.ndarray, steps) -> np.ndarray:
    """Undo the steps of a map, from the last to the first."""
    for step in reversed(steps):
        if step is leaky_relu:
            y = np.where(y > 0, y, y / SLOPE)
        elif step.func is part_classes:
            y = np.stack([_undo_column(step, y, at) for at in range(y.shape[1])], axis=1)
        else:
            y = y @ step.keywords["turn"].T
    return y


def _undo_column(step, y: np.ndarray, at: int) -> np.ndarray:
    """Undo a map of single coordinates by bisection, which finds the only solution of an increasing one."""
    low, high = np.full(len(y), -20.0), np.full(len(y), 20.0)
    for _ in range(70):
        middle = 0.5 * (low + high)
        probe = np.zeros_like(y)
        probe[:, at] = middle
        is_low = step(probe)[:, at] < y[:, at]
        low, high = np.where(is_low, middle, low), np.where(is_low, high, middle)
    return 0.5 * (low + high)


@pytest.mark.parametrize("name", FAMILIES)
def test_maps_can_be_undone(name):
    rng = np.random.default_rng(1)
    cov = latent_covariance(D, rng)[:D, :D]
    x = rng.normal(size=(200, D)) @ np.linalg.cholesky(cov).T
    steps = draw_map(FAMILIES[name], cov, rng)
    warped = warp(x, steps)
    assert bool(steps) == (not np.array_equal(warped, x))
    np.testing.assert_allclose(undo(warped, steps), x, atol=1e-9)


def test_class_clusters_have_two_modes_in_half_of_the_coordinates():
    x = np.random.default_rng(0).normal(size=(5000, 4))
    inner = (np.abs(part_classes(x, np.ones(4))) < 1).mean(axis=0)
    assert (inner[:2] < 0.15).all()
    assert (inner[2:] > 0.6).all()


def test_truth_is_that_of_the_latents_and_kept_by_the_raw_space():
    """Sample covariances of latents have the true atoms, up to chance, and those of the raw columns the same."""
    drawn = draw(FAMILIES["falling spectrum alone"], D, (0, 1), samples=20_000)
    spectrum = np.stack([one.var(axis=0) for one in drawn.latents])
    np.testing.assert_allclose(spectrum, np.tile(np.arange(1, D + 1) ** -1.5, (2, 3)), rtol=0.06)
    of_latents = np.stack([np.cov(one, rowvar=False) for one in drawn.latents])
    components = []
    for raw in drawn.raw:
        vectors = np.linalg.svd(raw - raw.mean(axis=1, keepdims=True), full_matrices=False)[2][:, :D]
        components.append(raw @ np.swapaxes(vectors, -1, -2))
    of_raw = np.stack([np.cov(one, rowvar=False) for one in np.concatenate(components, axis=-1)])
    found, again = (stacked(gaussian_pid(cov, (D, D, D)).atoms) for cov in (of_latents, of_raw))
    np.testing.assert_allclose(found, drawn.truth, atol=0.06)
    np.testing.assert_allclose(again, found, atol=5e-3)
    assert len(split(drawn.latents, (D, D, D))) == len(drawn.raw) == 3


def test_outliers_are_two_columns_of_noise():
    family = replace(FAMILIES["outliers"], width=32)
    (raw, *_), latents = (drawn := draw(family, D, (0,), samples=4000)).raw, drawn.latents[0]
    deviation = np.sort(raw[0].std(axis=0))
    assert deviation[-2] > 0.5 * OUTLIER_SIZE * np.median(deviation)
    assert deviation[-3] < 5 * np.median(deviation)
    largest = raw[0][:, np.argsort(raw[0].std(axis=0))[-2:]]
    assert np.abs(np.corrcoef(largest, latents, rowvar=False)[:2, 2:]).max() < 0.1


def test_sentences_are_read_by_draw():
    said = ("problems 0-1, 4: their intervals hold less often than their level", "problem 2: source_1 is skewed")
    assert flagged(said, 6).tolist() == [True, True, False, False, True, False]
    assert not flagged((), 3).any()
