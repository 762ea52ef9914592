"""Settings of a flow chosen from the number of samples and the dims. docs/flows.md has the measurements."""

import dataclasses

from pid_jax.settings.gaussianize import RealNVP


def choose_settings(spec: RealNVP, samples: int, dims: tuple[int, ...]) -> RealNVP:
    """Fill in every field that is None.

    What matters is the number of samples for each coordinate of all variables together: the fewer, the more a flow is
    held back by weight decay and input noise, since it would learn the samples by heart otherwise.

    Args:
        spec: Settings, with None for what is to be chosen.
        samples: Samples of each problem.
        dims: Coordinates of each variable.

    Returns:
        Settings without None.
    """
    per_coordinate = samples / sum(dims)
    chosen = next(settings for least, settings in _BY_SAMPLES if per_coordinate >= least)
    defaults = {**_COMMON, **chosen}
    return dataclasses.replace(spec, **{name: x for name, x in defaults.items() if getattr(spec, name) is None})


_COMMON = {
    "couplings": 8,
    "validation_fraction": 0.1,
    "refits": 1,
}
_MANY = {
    "knots": 61,
    "width": 32,
    "activation": "relu",
    "epochs": 70,
    "batch_size": 512,
    "learning_rate": 1e-2,
    "weight_decay": 0.1,
    "input_noise": 0.05,
    "gaussian_share": 0.0,
}
_SOME = _MANY | {
    "knots": 15,
    "activation": "silu",
    "width": 64,
    "epochs": 60,
    "batch_size": 256,
    "learning_rate": 5e-3,
    "weight_decay": 0.3,
    "gaussian_share": 0.15,
}
_FEW = {
    "knots": 31,
    "width": 32,
    "activation": "silu",
    "epochs": 100,
    "batch_size": 1000,
    "learning_rate": 1.2e-2,
    "weight_decay": 0.6,
    "input_noise": 0.2,
    "gaussian_share": 0.3,
}
_FEWEST = _FEW | {"knots": 15, "epochs": 200, "learning_rate": 5e-3, "weight_decay": 5.0, "gaussian_share": 0.5}
# Samples for each coordinate from which on the settings are used.
_BY_SAMPLES = ((300, _MANY), (100, _SOME), (30, _FEW), (0, _FEWEST))
