"""Sign and order conventions against dit, on discretized jointly Gaussian variables."""

import dit
import numpy as np
import pytest
from scipy.stats import norm

from pid_jax.decompose.pid import gaussian_pid
from pid_jax.testing.systems import parallel_channels

BINS = 3
ATOMS = {"redundancy": ((0,), (1,)), "unique_1": ((0,),), "unique_2": ((1,),), "synergy": ((0, 1),)}


def discretized(snr_1, snr_2):
    """Probabilities of three equally likely bins of each variable of one pair of channels, by quadrature."""
    edges = norm.ppf(np.linspace(0, 1, BINS + 1))
    nodes, weights = np.polynomial.legendre.leggauss(200)
    joint = np.zeros((BINS,) * 3)
    for k, (low, high) in enumerate(zip(np.clip(edges[:-1], -9, 9), np.clip(edges[1:], -9, 9), strict=True)):
        target = (high - low) / 2 * nodes + (high + low) / 2
        mass = weights * (high - low) / 2 * norm.pdf(target)
        given = []
        for snr in (snr_1, snr_2):  # source_k = √snr target + noise, with variance 1 + snr
            below = norm.cdf(edges[:, None] * np.sqrt(1 + snr) - np.sqrt(snr) * target)
            given.append(np.diff(below, axis=0))
        joint[:, :, k] = np.einsum("in,jn,n->ij", *given, mass)
    return joint / joint.sum()


@pytest.mark.fast_cases(2)
@pytest.mark.parametrize(("snr_1", "snr_2"), [(4.0, 0.25), (0.25, 4.0), (4.0, 0.0)])
def test_atoms_have_the_order_and_the_signs_of_dit(snr_1, snr_2):
    joint = discretized(snr_1, snr_2)
    outcomes = ["".join(map(str, index)) for index in np.ndindex(joint.shape)]
    distribution = dit.Distribution(outcomes, joint.ravel())
    # Its default solver starts anywhere and ends up to 0.05 bits from the optimum; this one does not.
    theirs = dit.pid.PID_BROJA(distribution, [[0], [1]], [2], method="admui")
    ours = gaussian_pid(*parallel_channels(snr_1, snr_2).problem).in_bits().atoms
    found = {name: float(getattr(ours, name)) for name in ATOMS}
    expected = {name: float(theirs[node]) for name, node in ATOMS.items()}
    assert sorted(found, key=found.get)[-1] == sorted(expected, key=expected.get)[-1]
    for name in ATOMS:
        # Three bins keep between a half and all of the information of these channels.
        assert 0.5 * found[name] - 0.01 <= expected[name] <= found[name] + 0.01, name
