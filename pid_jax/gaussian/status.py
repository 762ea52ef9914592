"""What can happen to one problem of a batch, as numbers that travel through jit and vmap."""

from enum import IntEnum


class Status(IntEnum):
    """Outcome of one decomposition.

    `NOT_FINITE` and `NOT_PSD` come with NaN in all numbers of that problem. With `INFINITE_INFORMATION` what is finite
    is there: if no source alone determines a direction of the target, redundancy and unique informations, while I_12
    and the synergy are `inf`; else the informations, of which one or both are `inf`, and NaN for the atoms.
    `NOT_A_DISTRIBUTION` and, of tables, `EXCEEDS_ENTROPY` come with NaN, `NOT_CONVERGED` with bounds that hold and are
    wider than asked.
    """

    OK = 0
    NOT_FINITE = 1
    NOT_PSD = 2
    INFINITE_INFORMATION = 3
    EXCEEDS_ENTROPY = 4
    CONSTANT = 5
    NOT_A_DISTRIBUTION = 6
    NOT_CONVERGED = 7

    @property
    def message(self) -> str:
        """One sentence that says what happened and what to do."""
        return _MESSAGES[self]


_MESSAGES = {
    Status.OK: "The covariance has finite information, and all numbers are there.",
    Status.NOT_FINITE: "The covariance holds NaN or infinity: remove the samples or columns that do.",
    Status.NOT_PSD: (
        "The covariance is not positive semidefinite, so no Gaussian has it: compute it from complete rows, "
        "in float64, or shrink it."
    ),
    Status.INFINITE_INFORMATION: (
        "The sources determine some direction of the target exactly, so their information is infinite: remove what "
        "target and sources share as a copy, or add the noise that the measurement really has."
    ),
    Status.CONSTANT: (
        "A variable does not vary, so nothing can be learned about it or from it: check how it was made, or leave the "
        "problem out."
    ),
    Status.NOT_A_DISTRIBUTION: (
        "The table is not a distribution: make its entries finite and non-negative with a sum of 1, and give both "
        "pairwise tables the same class probabilities, and an i_12 that is not below I_1 or I_2."
    ),
    Status.NOT_CONVERGED: (
        "The bounds of the union information are wider than tol: they hold, so use them, raise tol, or merge cells."
    ),
    Status.EXCEEDS_ENTROPY: (
        "A variable is discrete, and the information about it exceeds its entropy, which none can. Where that is the "
        "information of a Gaussian, use a continuous representation of what the values stand for, such as hidden "
        "states or logits; where it is the i_12 of tables, give it in nats."
    ),
}
