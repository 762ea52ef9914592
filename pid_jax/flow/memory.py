"""How much memory a fit takes."""

from pid_jax.flow.train import Training

# Single-precision numbers kept per unit and coordinate: of a sample in a step, for the gradient, and in an evaluation.
IN_STEP, IN_EVALUATION = 16, 3
# The weights, their gradient, the two moments of the optimizer, the best ones, and copies on the way.
OF_WEIGHTS = 8
BYTES = 4


def memory_of_fit(training: Training, samples: int) -> float:
    """Estimate the bytes of one fit on an accelerator, from above.

    The figures hold for programs compiled with jax 0.9 (tests/pid_jax/runtime/test_layout.py compares).

    Args:
        training: Shape of the program.
        samples: All samples, those held out among them.
    """
    in_step = min(training.batch_size, samples)
    total = 0
    for one in training.architectures:
        units = one.width + one.dim
        weights = one.couplings * one.width * (one.width * (one.hidden_layers - 1) + 3 * one.dim)
        total += IN_STEP * units * one.couplings * in_step + IN_EVALUATION * units * samples + OF_WEIGHTS * weights
    return float(BYTES * total)
