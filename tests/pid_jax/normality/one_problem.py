"""Sentences about a single problem."""

from collections.abc import Sequence

import jax
import numpy as np

from pid_jax.decompose.result import VARIABLES
from pid_jax.normality.diagnose import describe_problems
from pid_jax.normality.diagnostics import Diagnostics


def describe(diagnostics: Diagnostics, labels: Sequence[str] = VARIABLES) -> tuple[str, ...]:
    """Return the sentences about diagnostics without leading axes."""
    return describe_problems(jax.tree.map(lambda leaf: np.asarray(leaf)[None], diagnostics), labels, "problem")
