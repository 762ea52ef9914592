"""The interface of scikit-learn gives the numbers of the functions, and behaves as scikit-learn expects."""

import jax
import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.utils.estimator_checks import check_estimator

from pid_jax import PCA, CategoricalSpec, Copula, LinearClassifier, PIDEstimator, PIDSpec, estimate_pid

SPEC = PIDSpec(gaussianize=Copula(), reduction=PCA(dim=2))
CATEGORICAL = CategoricalSpec(classifier=LinearClassifier())
# The second argument of fit(X1, X2, y) is not the target.
EXCEPTIONS = {"check_fit_score_takes_y"}


def samples(count=300):
    rng = np.random.default_rng(0)
    y = rng.normal(size=count)
    return y[:, None] + rng.normal(size=(count, 2)), y[:, None] + 2 * rng.normal(size=(count, 3)), y


def test_atoms_are_those_of_the_function():
    x1, x2, y = samples()
    found = PIDEstimator(spec=SPEC, random_state=3).fit(x1, x2, y)
    seed = int(np.random.RandomState(3).randint(2**31 - 1))
    wanted = estimate_pid(x1, x2, y, spec=SPEC, key=jax.random.key(seed))
    assert found.atoms_ == wanted.atoms
    together = PIDEstimator(spec=SPEC, split=2, random_state=3).fit(np.hstack([x1, x2]), y)
    assert together.atoms_ == wanted.atoms
    assert found.n_features_in_ == together.n_features_in_ == 5


def test_classes_may_be_texts():
    x1, x2, y = samples()
    labels = np.where(y > 0, "yes", "no")
    found = PIDEstimator(categorical=CATEGORICAL).fit(x1, x2, labels)
    assert found.classes_.tolist() == ["no", "yes"]
    assert 0.2 < float(found.atoms_.redundancy + found.atoms_.unique_1) < np.log(2)


def test_names_of_data_frames_are_kept():
    x1, x2, y = samples()
    frames = pd.DataFrame(x1, columns=["a", "b"]), pd.DataFrame(x2, columns=["c", "d", "e"])
    found = PIDEstimator(spec=SPEC).fit(*frames, y)
    assert found.feature_names_in_.tolist() == ["a", "b", "c", "d", "e"]
    assert PIDEstimator(spec=SPEC).fit(pd.concat(frames, axis=1), y).feature_names_in_.tolist() == list("abcde")


def test_settings_are_parameters():
    one = PIDEstimator(spec=SPEC, split=1)
    assert clone(one).get_params() == one.get_params()
    assert one.set_params(split=2).split == 2


@pytest.mark.parametrize(
    ("settings", "named"), [({"target": "number"}, "target"), ({"split": 5}, "split"), ({"split": 0}, "split")]
)
def test_settings_that_are_invalid(settings, named):
    x1, x2, y = samples()
    with pytest.raises(ValueError, match=named):
        PIDEstimator(spec=SPEC, **settings).fit(np.hstack([x1, x2]), y)


@pytest.mark.slow
def test_what_scikit_learn_checks():
    """Some checks have too few samples for classes, others two values, which no Gaussian describes."""
    passed, failed = set(), set()
    for target in ("continuous", "auto"):
        for check in check_estimator(PIDEstimator(spec=SPEC, categorical=CATEGORICAL, target=target), on_fail=None):
            (failed if check["status"] == "failed" else passed).add(check["check_name"])
    assert failed - passed <= EXCEPTIONS
    assert len(passed) > 30
