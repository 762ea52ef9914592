"""Decomposition of tables: known gates, laws, zeros, batches, status and errors."""

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import entropy

from pid_jax.decompose.pid import gaussian_pid
from pid_jax.decompose.result import ATOMS, INFORMATION
from pid_jax.discrete.batch import _solve
from pid_jax.discrete.pid import discrete_pid, discrete_pid_from_pairs
from pid_jax.discrete.result import DiscreteEstimate
from pid_jax.discrete.williams_beer import IMin
from pid_jax.gaussian.status import Status
from pid_jax.pid.broja import BROJA
from pid_jax.pid.mmi import MMI
from pid_jax.testing.strategies import seeds

pytestmark = pytest.mark.filterwarnings("error")

# Tables of all tests have this shape, so that few programs are compiled; smaller ones are filled up with zeros.
SHAPE = (4, 4, 4)
SOURCES = ((0,), (1,), (0, 1))  # axes of i_1, i_2, i_12
AND_UNION = 0.31127812445913283
BROJA_BITS = {  # redundancy, unique_1, unique_2, synergy
    "and": (AND_UNION, 0, 0, 0.5),
    "or": (AND_UNION, 0, 0, 0.5),
    "xor": (0, 0, 0, 1),
    "copy": (0, 1, 1, 0),
    "unique": (0, 1, 0, 0),
    "redundant": (1, 0, 0, 0),
}


def gate(name):
    rules = {
        "and": lambda a, b: a & b,
        "or": lambda a, b: a | b,
        "xor": lambda a, b: a ^ b,
        "copy": lambda a, b: 2 * a + b,
        "unique": lambda a, b: a,
        "redundant": lambda a, b: a,
    }
    pmf = np.zeros(SHAPE)
    pairs = [(0, 0), (1, 1)] if name == "redundant" else list(np.ndindex(2, 2))
    for a, b in pairs:
        pmf[a, b, rules[name](a, b)] += 1 / len(pairs)
    return pmf


def random_pmf(seed):
    """A table with a random number of zeros, also whole cells and classes."""
    rng = np.random.default_rng(seed)
    pmf = rng.dirichlet(np.full(np.prod(SHAPE), rng.choice([0.05, 0.3, 1.0]))).reshape(SHAPE)
    pmf = np.where(rng.random(SHAPE) < rng.choice([0, 0.3, 0.7]), 0, pmf)
    for axis in range(3):
        if rng.random() < 0.3:
            np.moveaxis(pmf, axis, 0)[rng.integers(SHAPE[axis])] = 0
    return pmf / pmf.sum() if pmf.sum() else gate("and")


def entropy_of(pmf, *axes):
    """H of the variables on some axes, in nats."""
    return entropy(pmf.sum(axis=tuple({0, 1, 2} - {*axes})).ravel())


def mutual(pmf, *axes):
    """I(target; sources on some axes), as a difference of entropies."""
    return entropy_of(pmf, *axes) + entropy_of(pmf, 2) - entropy_of(pmf, *axes, 2)


def specific(pmf, axis, y):
    """Σ_a p(a | y) log p(y | a) / p(y), event by event."""
    p = pmf.sum(axis=1 - axis)
    events = [(p[a, y] / p[:, y].sum(), p[a, y] / p[a].sum() / p[:, y].sum()) for a in range(len(p)) if p[a, y] > 0]
    return sum(weight * np.log(ratio) for weight, ratio in events)


def smaller_specific(pmf):
    """I_min by loops."""
    p = pmf.sum(axis=(0, 1))
    return sum(p[y] * min(specific(pmf, 0, y), specific(pmf, 1, y)) for y in range(len(p)) if p[y] > 0)


def degraded(seed):
    """A class, a channel to source_1, and one from there to source_2: all that source_2 has, source_1 has too."""
    rng = np.random.default_rng(seed)
    of_y, first, second = rng.dirichlet(np.ones(4)), *rng.dirichlet(np.full(4, 0.3), size=(2, 4))
    pmf = np.einsum("y,ya,ab->aby", of_y, first, second)
    return pmf, mutual(pmf, 0)


def two_bits_apart(seed):
    """Two independent bits, of which each source has a noisy one: nothing is shared, and nothing is synergy."""
    rng = np.random.default_rng(seed)
    pmf = np.zeros(SHAPE)
    one, two = rng.dirichlet(np.ones(4), size=2).reshape(2, 2, 2)  # of a source and its bit
    for a, b, y, z in np.ndindex(2, 2, 2, 2):
        pmf[a, b, 2 * y + z] = one[a, y] * two[b, z]
    return pmf, mutual(pmf, 0) + mutual(pmf, 1)


def gate_and_degraded(name):
    """An AND or XOR of two bits and, independent of it, a bit that source_1 has and source_2 has with noise."""
    pmf = np.zeros((4, 4, 4))
    for a, b, bit, seen in np.ndindex(2, 2, 2, 2):
        y = {"and": a & b, "xor": a ^ b}[name]
        pmf[2 * a + bit, 2 * b + seen, 2 * y + bit] += (0.9 if bit == seen else 0.1) / 8
    return pmf, (1 + (AND_UNION if name == "and" else 0)) * np.log(2)


def as_array(atoms):
    return np.stack([getattr(atoms, name) for name in ATOMS], axis=-1)


@pytest.mark.parametrize("name", BROJA_BITS)
def test_gates(name):
    found = discrete_pid(gate(name)).in_bits()
    np.testing.assert_allclose(as_array(found.atoms), BROJA_BITS[name], rtol=0, atol=1e-8)
    assert 0 <= found.gap <= 2e-9
    assert found.status == Status.OK
    union = sum(BROJA_BITS[name][:3])
    assert found.lower - 1e-12 <= union <= found.upper + 1e-12


@pytest.mark.parametrize("name", ["and", "xor"])
def test_union_of_independent_parts_is_the_sum_of_theirs(name):
    check_union(*gate_and_degraded(name))


@given(seed=seeds(), make=st.sampled_from([degraded, two_bits_apart]))
def test_known_union_information_is_within_the_bounds(seed, make):
    check_union(*make(seed))


def check_union(pmf, union):
    found = discrete_pid(pmf)
    assert found.lower - 1e-12 <= union <= found.upper + 1e-12
    assert found.gap <= 1e-9
    found = discrete_pid_from_pairs(pmf.sum(axis=1), pmf.sum(axis=0))
    assert found.lower - 1e-12 <= union <= found.upper + 1e-12
    assert found.gap <= 1e-9


def test_simpler_measures():
    """Two independent bits that are copied to the target: both find a bit of redundancy, where BROJA finds none."""
    for redundancy in (MMI(), IMin()):
        found = discrete_pid(gate("copy"), redundancy=redundancy).in_bits()
        np.testing.assert_allclose(as_array(found.atoms), (1, 0, 0, 1), atol=1e-12)
        assert found.method == type(redundancy).__name__
        assert found.lam is None


@given(seed=seeds())
def test_laws(seed):
    pmf = random_pmf(seed)
    found = discrete_pid(pmf)
    atoms, known = found.atoms, found.information
    assert found.status == Status.OK
    assert 0 <= found.gap <= 1e-9
    np.testing.assert_allclose([known.i_1, known.i_2, known.i_12], [mutual(pmf, *x) for x in SOURCES], atol=1e-12)
    np.testing.assert_allclose(found.entropy, entropy_of(pmf, 2), atol=1e-12)
    np.testing.assert_allclose(as_array(atoms).sum(), known.i_12, atol=1e-12)
    np.testing.assert_allclose(atoms.redundancy + atoms.unique_1, known.i_1, atol=1e-12)
    np.testing.assert_allclose(atoms.redundancy + atoms.unique_2, known.i_2, atol=1e-12)
    np.testing.assert_allclose(as_array(atoms)[:3].sum(), (found.lower + found.upper) / 2, atol=1e-12)
    assert as_array(atoms).min() >= -1e-9
    assert known.i_12 <= found.entropy + 1e-12
    for simple, shared in ((MMI(), min(known.i_1, known.i_2)), (IMin(), smaller_specific(pmf))):
        np.testing.assert_allclose(discrete_pid(pmf, redundancy=simple).atoms.redundancy, shared, atol=1e-12)


@given(seed=seeds())
def test_dual_variables_prove_the_lower_bound(seed):
    pmf = random_pmf(seed)
    found = discrete_pid(pmf)
    total = found.lam[:, None] + found.mu[None]
    assert np.exp(total).sum(axis=-1).max() <= 1 + 1e-12
    mass = pmf > 0
    pointwise = total - np.log(np.where(pmf.sum((0, 1)) > 0, pmf.sum((0, 1)), 1))
    np.testing.assert_allclose((pmf[mass] * pointwise[mass]).sum(), found.lower, atol=1e-9)


@given(seed=seeds())
def test_symmetries(seed):
    rng, pmf = np.random.default_rng(seed), random_pmf(seed)
    plain = as_array(discrete_pid(pmf).atoms)
    orders = [rng.permutation(n) for n in SHAPE]
    relabeled = as_array(discrete_pid(pmf[np.ix_(*orders)]).atoms)
    np.testing.assert_allclose(relabeled, plain, rtol=0, atol=2e-9)
    swapped = as_array(discrete_pid(pmf.swapaxes(0, 1)).atoms)
    np.testing.assert_allclose(swapped, plain[[0, 2, 1, 3]], rtol=0, atol=2e-9)


@given(seed=seeds(), share=st.floats(0.01, 0.99))
def test_cells_split_in_proportion_and_merged(seed, share):
    """A cell split at random changes nothing; merging cells can only lose."""
    pmf = random_pmf(seed)
    pmf[-1] += pmf[-2]
    pmf[-2] = 0
    merged = discrete_pid(pmf)
    split = pmf.copy()
    split[-2], split[-1] = share * pmf[-1], (1 - share) * pmf[-1]
    np.testing.assert_allclose(as_array(discrete_pid(split).atoms), as_array(merged.atoms), rtol=0, atol=2e-9)
    whole = discrete_pid(random_pmf(seed))
    assert merged.lower <= whole.upper + 1e-12


@given(seed=seeds(), log=st.integers(-300, -8))
def test_tiny_entries_keep_the_bounds_valid(seed, log):
    """A tiny mass changes the union information by little, and the bounds overlap."""
    pmf = random_pmf(seed)
    tiny = 10.0**log
    changed = np.where(pmf > 0, pmf, tiny)
    changed /= changed.sum()
    found, plain = discrete_pid(changed), discrete_pid(pmf)
    assert found.status == Status.OK
    moved = SHAPE[0] * SHAPE[1] * SHAPE[2] * tiny
    assert np.abs(found.lower - plain.lower) <= 3 * moved * (4 - np.log(tiny)) + 2e-9


def test_a_batch_equals_single_problems():
    pmfs = np.stack([random_pmf(seed) for seed in range(6)]).reshape(2, 3, *SHAPE)
    batch = discrete_pid(pmfs)
    assert batch.lam.shape == (2, 3, 4, 4)
    assert batch.mu.shape == (2, 3, 4, 4)
    singles = [[as_array(discrete_pid(one).atoms) for one in row] for row in pmfs]
    np.testing.assert_allclose(as_array(batch.atoms), singles, rtol=0, atol=1e-12)


def test_pairs():
    pmf = random_pmf(3)
    whole = discrete_pid(pmf)
    pairs = (pmf.sum(axis=1), pmf.sum(axis=0))
    found = discrete_pid_from_pairs(*pairs, whole.information.i_12)
    np.testing.assert_allclose(as_array(found.atoms), as_array(whole.atoms), rtol=0, atol=1e-12)
    for unknown in (None, np.nan):
        found = discrete_pid_from_pairs(*pairs, unknown)
        assert found.status == Status.OK
        assert np.isnan(found.atoms.synergy)
        np.testing.assert_allclose(found.lower, whole.lower, atol=1e-12)
    known = whole.information
    middle = (max(known.i_1, known.i_2) + whole.lower) / 2  # of an estimate
    low = discrete_pid_from_pairs(*pairs, middle)
    assert low.status == Status.OK
    np.testing.assert_allclose(low.atoms.synergy, middle - (whole.lower + whole.upper) / 2, atol=1e-12)
    assert low.atoms.synergy < -0.01


@given(seed=seeds(), redundancy=st.sampled_from([BROJA(), MMI(), IMin()]))
def test_joint_information_that_no_table_has(seed, redundancy):
    """Above the entropy of the target, or below the information of a source; rounding is neither."""
    pmf = random_pmf(seed)
    whole = discrete_pid(pmf, redundancy=redundancy)
    pairs = (pmf.sum(axis=1), pmf.sum(axis=0))
    least, most = max(whole.information.i_1, whole.information.i_2), float(whole.entropy)
    for possible in (least, most, least - 1e-6, most + 1e-6):
        found = discrete_pid_from_pairs(*pairs, possible, redundancy=redundancy)
        assert found.status == Status.OK
        assert found.information.i_12 == possible
    for impossible in (least - 1e-4, most + 1e-4, -1.0, np.inf, -np.inf):
        with pytest.raises(ValueError, match="i_12"):
            discrete_pid_from_pairs(*pairs, impossible, redundancy=redundancy)
    batch = [np.stack([p] * 4) for p in pairs]
    mixed = discrete_pid_from_pairs(*batch, [least - 1e-4, most + 1e-4, np.nan, most], redundancy=redundancy)
    np.testing.assert_array_equal(
        mixed.status, [Status.NOT_A_DISTRIBUTION, Status.EXCEEDS_ENTROPY, Status.OK, Status.OK]
    )
    assert np.isnan(as_array(mixed.atoms)[:2]).all()
    np.testing.assert_allclose(mixed.lower[2:], whole.lower, atol=1e-9)


def test_batches_of_all_sizes_use_the_same_programs():
    pmfs = np.stack([random_pmf(seed) for seed in range(70)])
    parts = [as_array(discrete_pid(some).atoms) for some in (pmfs[:40], pmfs[40:])]
    programs = _solve._cache_size()
    whole = as_array(discrete_pid(pmfs).atoms)
    assert _solve._cache_size() == programs
    np.testing.assert_array_equal(whole, np.concatenate(parts))


def test_status_in_a_batch():
    good = gate("and")
    bad = [2 * good, np.where(good > 0, np.nan, 0), good - 0.01, good]
    found = discrete_pid(np.stack(bad))
    wanted = [Status.NOT_A_DISTRIBUTION, Status.NOT_FINITE, Status.NOT_A_DISTRIBUTION, Status.OK]
    np.testing.assert_array_equal(found.status, wanted)
    assert np.isnan(as_array(found.atoms)[:3]).all()
    np.testing.assert_allclose(as_array(found.in_bits().atoms)[3], BROJA_BITS["and"], rtol=0, atol=1e-8)
    first, second = good.sum(axis=1), good.sum(axis=0)
    other = np.stack([second, second[:, ::-1]])
    np.testing.assert_array_equal(
        discrete_pid_from_pairs(np.stack([first, first]), other).status, [Status.OK, Status.NOT_A_DISTRIBUTION]
    )


def test_status_where_the_tolerance_is_out_of_reach():
    found = discrete_pid(np.stack([random_pmf(seed) for seed in range(8)]), tol=1e-300)
    assert (found.status == np.where(found.gap > 1e-300, Status.NOT_CONVERGED, Status.OK)).all()
    assert (found.status == Status.NOT_CONVERGED).any()
    assert found.gap.max() < 1e-8
    assert np.isfinite(as_array(found.atoms)).all()


def test_errors_name_the_argument():
    good = gate("and")
    pairs = good.sum(axis=1), good.sum(axis=0)
    for bad in (good[0], good[:0], 2 * good, -good, np.nan * good):
        with pytest.raises(ValueError, match="pmf"):
            discrete_pid(bad if bad.ndim == 3 else bad[0])
    with pytest.raises(TypeError, match="pmf"):
        discrete_pid(np.array([[["a"]]]))
    with pytest.raises(TypeError, match="pmf"):
        jax.jit(lambda pmf: discrete_pid(pmf))(good)
    with pytest.raises(TypeError, match="redundancy"):
        discrete_pid(good, redundancy="broja")
    with pytest.raises(TypeError, match="redundancy"):
        gaussian_pid(np.eye(3), (1, 1, 1), redundancy=IMin())
    with pytest.raises(ValueError, match="tol"):
        discrete_pid(good, tol=0)
    with pytest.raises(ValueError, match="p_2t"):
        discrete_pid_from_pairs(pairs[0], pairs[1][:, :2])
    with pytest.raises(ValueError, match="p_2t"):
        discrete_pid_from_pairs(pairs[0], pairs[1][:, ::-1])
    with pytest.raises(ValueError, match=r"i_12.*\(3,\)"):
        discrete_pid_from_pairs(*pairs, np.zeros(3))


@pytest.mark.parametrize("redundancy", [BROJA(), IMin()])
def test_result_in_files_and_words(tmp_path, redundancy):
    found = discrete_pid(np.stack([gate("and"), gate("xor"), 2 * gate("and")]), redundancy=redundancy)
    read = DiscreteEstimate.load(found.in_bits().save(tmp_path / "found.nc"))
    np.testing.assert_array_equal(as_array(read.atoms), as_array(found.in_bits().atoms))
    assert read.settings == found.settings
    assert (read.lam is None) == (found.lam is None)
    data = found.to_xarray(["layer"])
    assert {*ATOMS, *INFORMATION, "lower", "upper", "entropy", "status"} <= {*data.data_vars}
    assert data["synergy"].dims == ("layer",)
    assert "NOT_A_DISTRIBUTION" in repr(found)
    assert found.reshape((3, 1)).lower.shape == (3, 1)
