"""CPU time of information about a categorical answer, for all layers with intervals, against loops of scikit-learn."""

import math
import warnings
from typing import Any

import jax
import numpy as np

from benchmarks.categorical_systems import systems
from benchmarks.measure import cost_of, cpu_seconds
from benchmarks.record import write_results
from benchmarks.tables import Row, collect
from pid_jax import LinearClassifier, NetworkClassifier, estimate_categorical_pid

SEED = 77_000
LAYERS, CLASSES, DIM, SAMPLES = 33, 10, 16, 1000
FOLD = SAMPLES * 4 // 5  # samples that a classifier is fitted to


def speed() -> list[Row]:
    """Measure all layers with intervals, and loops of scikit-learn that fit classifiers of the linear kind only."""
    system = systems()["10 Gaussian classes"]
    first, second, answer = system.draw(np.random.default_rng(SEED), SAMPLES, DIM)
    rng = np.random.default_rng([SEED, 6])
    layers = [x + 0.3 * rng.normal(size=(LAYERS, *x.shape)) for x in (first, second)]
    (own,) = cpu_seconds(lambda: estimate_categorical_pid(*layers, answer, key=jax.random.key(0)), blocks=2, seconds=0)
    two = [x[:2] for x in layers]
    linear, network = (cost_of(lambda kind=kind: kind(*two, answer)).cpu * LAYERS / 2 for kind in (_linear, _network))
    rows = [
        ("pid_jax: predictions of both kinds, union information, intervals", own),
        ("scikit-learn: predictions of the linear kind", linear),
        ("scikit-learn: predictions of both kinds", linear + network),
    ]
    return [{"what": what, "CPU s": seconds, "over pid_jax": seconds / own} for what, seconds in rows]


def _linear(first: np.ndarray, second: np.ndarray, answer: np.ndarray) -> None:
    """Predict out of fold by logistic regression, at as many penalties as pid_jax has."""
    from sklearn.linear_model import LogisticRegression

    for penalty in LinearClassifier().penalties:
        _predict(LogisticRegression(C=1 / (FOLD * penalty), max_iter=1000), first, second, answer)


def _network(first: np.ndarray, second: np.ndarray, answer: np.ndarray) -> None:
    """Predict out of fold by as many networks of the same size and as many steps."""
    from sklearn.neural_network import MLPClassifier

    spec = NetworkClassifier()
    steps = max(spec.fewest_steps, spec.epochs * FOLD / spec.batch)
    epochs = round(steps / math.ceil(FOLD / spec.batch))
    network = MLPClassifier(
        (spec.hidden,),
        batch_size=spec.batch,
        learning_rate_init=spec.learning_rate,
        max_iter=epochs,
        n_iter_no_change=epochs,
    )
    with warnings.catch_warnings(action="ignore"):  # the number of epochs is meant
        for _ in range(spec.members):
            _predict(network, first, second, answer)


def _predict(classifier: Any, first: np.ndarray, second: np.ndarray, answer: np.ndarray) -> None:
    """Predict from each source and both, after PCA within folds."""
    from sklearn.decomposition import PCA
    from sklearn.model_selection import cross_val_predict
    from sklearn.pipeline import make_pipeline

    for one, other in zip(first, second, strict=True):
        for x in (one, other, np.concatenate([one, other], axis=1)):
            cross_val_predict(make_pipeline(PCA(whiten=True), classifier), x, answer, cv=5, method="predict_log_proba")


def main() -> None:
    write_results(
        "categorical_speed",
        "CPU time of information about a categorical answer",
        "`estimate_categorical_pid` with default settings, after compilation; scikit-learn: two layers, times 33 / 2.",
        {f"{LAYERS} layers, {CLASSES} classes, d = {DIM}, n = {SAMPLES}": collect(lambda row: row, speed())},
        "scikit-learn",
    )


if __name__ == "__main__":
    main()
