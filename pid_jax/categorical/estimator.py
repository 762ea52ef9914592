"""The interface of scikit-learn to estimates from samples."""

from typing import Any, Self

import jax
import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.utils import check_array, check_consistent_length, check_random_state
from sklearn.utils.multiclass import type_of_target
from sklearn.utils.validation import validate_data

from pid_jax.categorical.estimate import estimate_categorical_pid
from pid_jax.categorical.result import CategoricalPID
from pid_jax.decompose.result import PIDEstimate
from pid_jax.estimate.samples import estimate_pid
from pid_jax.pid.atoms import PIDAtoms
from pid_jax.settings.categorical import CategoricalSpec
from pid_jax.settings.estimate import PIDSpec

TARGETS = ("auto", "class", "continuous")
_CLASSES = ("binary", "multiclass")


class PIDEstimator(BaseEstimator):
    """What two sources tell about a target, as an estimator of scikit-learn.

    `fit(X1, X2, y)` takes both sources; `fit(X, y)` takes them side by side, as pipelines and `cross_validate` do, and
    `split` says where the first ends. Data frames keep their names in `feature_names_in_`.

    Args:
        spec: Settings of `estimate_pid` for a continuous target; `PIDSpec()` if not given.
        categorical: Settings of `estimate_categorical_pid` for classes; `CategoricalSpec()` if not given.
        target: "class", "continuous", or "auto" for what scikit-learn's `type_of_target` says.
        split: Number of columns of X that are the first source; half of them if not given.
        random_state: Seed of everything random, or a `RandomState`.

    Attributes:
        result_: What `estimate_pid` or `estimate_categorical_pid` returns.
        atoms_: Redundancy, both unique informations and synergy, in nats.
        classes_: The classes, where the target has them.
        n_features_in_: Number of columns of both sources.
        feature_names_in_: Their names, where a data frame was given.

    Example:
        >>> import numpy as np
        >>> from pid_jax import PCA, Copula, PIDEstimator, PIDSpec
        >>> rng = np.random.default_rng(0)
        >>> y = rng.normal(size=500)
        >>> X1, X2 = y[:, None] + rng.normal(size=(500, 2)), rng.normal(size=(500, 2))
        >>> fitted = PIDEstimator(spec=PIDSpec(gaussianize=Copula())).fit(X1, X2, y)
        >>> bool(fitted.atoms_.unique_1 > 0.4), bool(abs(fitted.atoms_.redundancy) < 0.05)
        (True, True)
    """

    result_: PIDEstimate | CategoricalPID
    atoms_: PIDAtoms

    def __init__(
        self,
        spec: PIDSpec | None = None,
        *,
        categorical: CategoricalSpec | None = None,
        target: str = "auto",
        split: int | None = None,
        random_state: Any = 0,
    ) -> None:
        self.spec = spec
        self.categorical = categorical
        self.target = target
        self.split = split
        self.random_state = random_state

    def fit(self, X1: ArrayLike, X2: ArrayLike, y: ArrayLike | None = None) -> Self:
        """Estimate the decomposition.

        Args:
            X1: Samples of the first source (n, p1); or of both, side by side, where y is not given.
            X2: Samples of the second source (n, p2); the target where y is not given.
            y: Classes or numbers (n,), or vectors (n, p).

        Raises:
            ValueError: If samples are not finite, of other numbers, or too few, or a setting is invalid.
        """
        if self.target not in TARGETS:
            raise ValueError(f"target must be one of {TARGETS}, got {self.target!r}.")
        source_1, source_2, y = self._sources(X1, X2, y)
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        kind = type_of_target(y, input_name="y")
        if self.target == "class" or (self.target == "auto" and kind in _CLASSES):
            self.classes_, codes = np.unique(y, return_inverse=True)
            found = estimate_categorical_pid(source_1, source_2, codes, spec=self.categorical, key=jax.random.key(seed))
        else:
            target = np.asarray(check_array(y, ensure_2d=False, dtype="numeric", input_name="y"), np.float64)
            found = estimate_pid(source_1, source_2, target, spec=self.spec, key=jax.random.key(seed))
        self.result_, self.atoms_ = found, found.atoms
        return self

    def _sources(self, first: Any, second: Any, y: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Check the samples, and return both sources and the target."""
        checked: Any = {"dtype": np.float64, "ensure_min_samples": 2}
        if y is not None:
            one, two = (
                check_array(values, input_name=name, estimator=self, **checked)
                for name, values in (("X1", first), ("X2", second))
            )
            check_consistent_length(one, two, y)
            self.n_features_in_ = one.shape[1] + two.shape[1]
            if hasattr(first, "columns") and hasattr(second, "columns"):
                names = [str(name) for values in (first, second) for name in values.columns]
                self.feature_names_in_ = np.array(names, dtype=object)
            return one, two, np.asarray(y)
        validated: Any = validate_data(self, first, second, multi_output=True, **checked)
        both, target = validated
        split = both.shape[1] // 2 if self.split is None else self.split
        if not 0 < split < both.shape[1]:
            raise ValueError(
                f"split must leave columns for both sources, got {split} of {both.shape[1]} feature(s): give more "
                "columns, or fit(X1, X2, y)."
            )
        return both[:, :split], both[:, split:], target

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.target_tags.multi_output = True
        return tags
