"""Settings of a flow chosen from the number of samples and the dims. docs/flows.md has the measurements."""

import dataclasses

from pid_jax.gaussianizers import RealNVP, Separate

# Samples for each coordinate of all variables together; below it the flow is held back.
FEW_SAMPLES = 150


def choose_settings(spec: RealNVP, samples: int, dims: tuple[int, ...]) -> RealNVP:
    """Fill in every field that is None.

    Args:
        spec: Settings, with None for what is to be chosen.
        samples: Samples of each problem.
        dims: Coordinates of each variable.

    Returns:
        Settings without None.
    """
    is_small = samples < FEW_SAMPLES * sum(dims)
    chosen = _HELD_BACK if is_small else _PLAIN
    sharing = Separate()
    defaults = {**chosen, "sharing": sharing, "knots": 15}
    missing = {name: value for name, value in defaults.items() if getattr(spec, name) is None}
    return dataclasses.replace(spec, **missing)


_HELD_BACK = {
    "couplings": 8,
    "width": 32,
    "epochs": 200,
    "batch_size": 1_000_000,
    "weight_decay": 2.0,
    "input_noise": 0.2,
    "validation_fraction": 0.1,
    "keep_best": False,
    "refits": 1,
}
_PLAIN = {
    "couplings": 8,
    "width": 64,
    "epochs": 110,
    "batch_size": 256,
    "weight_decay": 1e-4,
    "input_noise": 0.0,
    "validation_fraction": 0.1,
    "keep_best": True,
    "refits": 0,
}
