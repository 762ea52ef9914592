"""A study of one model with five layers, two tasks and two cuts, for tests of words that follow numbers."""

import math

import numpy as np
import xarray as xr

from tests.study_results import planted

BITS = 1.0 / math.log(2.0)
VISION = {
    "baseline": [5.2, 0.85, 0.3, 0.01, 0.0],
    "all": [4.8, 5.1, 4.9, 4.9, 5.0],
    "early": [4.9, 5.2, 1.1, 0.17, 0.0],
}
CUTS = {"all": (0.0, 1.0), "early": (0.0, 0.3)}


def small_study() -> xr.Dataset:
    """Make the study; `VISION` is what only vision tells in its first task, and half of that in its second."""
    study = planted({"small": 4}, ("what", "yes-no"), cuts=CUTS, replicates=2)
    for condition, vision in enumerate(VISION.values()):
        set_vision(study, condition, vision)
    return study


def set_vision(study: xr.Dataset, condition: int, bits: list[float]) -> None:
    """Set what only vision tells, in bits, in the first measure."""
    for task in range(2):
        row = np.array(bits) / BITS / (1 + task)
        for end, shift in (("", 0.0), ("_lower", -0.02), ("_upper", 0.02)):
            study[f"unique_1{end}"][0, task, condition, 0] = row + shift
