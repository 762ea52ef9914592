"""CPU time of information about a categorical answer, for all layers with intervals, against loops of scikit-learn."""

import jax
import numpy as np

from benchmarks.categorical_systems import systems
from benchmarks.measure import cost_of, cpu_seconds
from benchmarks.record import write_results
from benchmarks.tables import Row, collect
from pid_jax import estimate_categorical_pid

SEED = 77_000
LAYERS, CLASSES, DIM, SAMPLES = 33, 10, 16, 1000


def speed() -> list[Row]:
    """Measure all layers with intervals, and loops of scikit-learn that fit classifiers of the linear kind only."""
    system = systems()["10 Gaussian classes"]
    first, second, answer = system.draw(np.random.default_rng(SEED), SAMPLES, DIM)
    rng = np.random.default_rng([SEED, 6])
    layers = [x + 0.3 * rng.normal(size=(LAYERS, *x.shape)) for x in (first, second)]
    (own,) = cpu_seconds(lambda: estimate_categorical_pid(*layers, answer, key=jax.random.key(0)), blocks=2, seconds=0)
    cost = cost_of(lambda: _loop(layers[0][:2], layers[1][:2], answer))
    peer = cost.cpu * LAYERS / 2
    return [
        {"what": "pid_jax: predictions of both kinds, union information, intervals", "CPU s": own},
        {"what": "scikit-learn: predictions of the linear kind alone", "CPU s": peer, "over pid_jax": peer / own},
    ]


def _loop(first: np.ndarray, second: np.ndarray, answer: np.ndarray) -> None:
    """Predict out of fold from each source and both, at eight penalties."""
    from sklearn.decomposition import PCA
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import cross_val_predict
    from sklearn.pipeline import make_pipeline

    for one, other in zip(first, second, strict=True):
        for x in (one, other, np.concatenate([one, other], axis=1)):
            for c in np.geomspace(0.003, 10, 8):
                fit = make_pipeline(PCA(whiten=True), LogisticRegression(C=c, max_iter=1000))
                cross_val_predict(fit, x, answer, cv=5, method="predict_log_proba")


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
