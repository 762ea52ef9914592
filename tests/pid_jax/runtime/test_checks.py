"""Every bad input is refused with a message that names the argument, what was wanted, what came and the remedy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pid_jax.decompose.coupling import optimal_coupling
from pid_jax.decompose.pid import gaussian_pid
from pid_jax.decompose.spectrum import unique_spectrum
from pid_jax.decompose.union import gaussian_union
from pid_jax.estimate.samples import estimate_pid
from pid_jax.gaussian.status import Status
from pid_jax.pid.broja import BROJA
from pid_jax.runtime.checks import check_float_array
from pid_jax.settings.estimate import PCA, NoReduction, PIDSpec
from pid_jax.testing.systems import parallel_channels

pytestmark = pytest.mark.filterwarnings("error")

DIMS = (2, 1, 1)
N = 30


@pytest.fixture
def samples() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {name: rng.normal(size=(N, d)) for name, d in zip(("source_1", "source_2", "target"), DIMS, strict=True)}


def refuse(samples, error, *texts, spec=None, key=None, **changes):
    with pytest.raises(error) as caught:
        estimate_pid(**samples | changes, spec=spec, key=jax.random.key(0) if key is None else key)
    for text in texts:
        assert text in str(caught.value)


def refuse_cov(cov, error, *texts, dims=DIMS, **options):
    with pytest.raises(error) as caught:
        gaussian_pid(cov, dims, **options)
    for text in texts:
        assert text in str(caught.value)


def test_unpaired_samples(samples):
    refuse(samples, ValueError, "target has 29 samples, source_1 has 30; they must be paired", target=np.eye(29)[:, :1])


@pytest.mark.parametrize("name", ["source_1", "source_2", "target"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite(samples, name, value):
    samples[name][3, 0] = samples[name][7, 0] = value
    refuse(samples, ValueError, f"{name} holds 2 values that are NaN or infinite, the first at index (3, 0)", "remove")


def test_constant_columns_without_a_reduction(samples):
    samples["source_1"][:, 1] = 2.5
    spec = PIDSpec(reduction=NoReduction())
    refuse(samples, ValueError, "source_1 has 1 constant columns, the first at index (1,)", "PCA()", spec=spec)


def test_constant_variables(samples):
    refuse(samples, ValueError, "source_2 is constant:", source_2=np.ones((N, 1)))
    several = np.stack([np.ones((N, 2)), np.zeros((N, 2))])  # with others beside them these have a status instead
    refuse(samples, ValueError, "source_1 is constant in problem (0,)", source_1=several)


def test_fewer_samples_than_a_covariance_needs(samples):
    few = {name: array[:5] for name, array in samples.items()}
    refuse(few, ValueError, "5 samples are too few for 2 + 1 + 1 dimensions", "at least 6", "PCA(dim=...)")
    refuse(few, ValueError, "5 samples are too few for 2 + 1 + 1", spec=PIDSpec(reduction=NoReduction()))


def test_missing_axes_and_empty_arrays(samples):
    refuse(samples, ValueError, "target must have at least 2 axes, (..., n, d), got shape ()", target=np.float64(1))
    refuse(samples, ValueError, "source_1 is empty (shape (0, 2))", source_1=np.zeros((0, 2)))


def test_leading_axes_that_differ(samples):
    rng = np.random.default_rng(1)
    batched = {"source_1": rng.normal(size=(3, N, 2)), "target": rng.normal(size=(4, N, 1))}
    refuse(samples, ValueError, "target has leading axes (4,), source_1 has (3,)", "left out", **batched)


@pytest.mark.parametrize("value", [np.full((N, 1), 1j), np.full((N, 1), "a"), np.full((N, 1), None, object)])
def test_dtypes_without_real_numbers(samples, value):
    refuse(samples, TypeError, "source_2 must hold real numbers", str(value.dtype), source_2=value)


def test_ragged_lists_are_named(samples):
    with pytest.raises((TypeError, ValueError), match="source_2"):
        estimate_pid(**samples | {"source_2": [[1.0, 2.0], [3.0]]}, key=jax.random.key(0))


def test_tracers(samples):
    def traced(target):
        return estimate_pid(samples["source_1"], samples["source_2"], target, key=jax.random.key(0)).atoms.unique_1

    for transform in (jax.jit, jax.grad, lambda f: jax.vmap(f, in_axes=1)):
        with pytest.raises(TypeError, match=r"target.*pid_broja.*pid_mmi"):
            transform(traced)(jnp.asarray(samples["target"]))
    for rows in (lambda cov: cov, list):
        with pytest.raises(TypeError, match=r"cov.*pid_broja.*pid_mmi"):
            jax.jit(lambda cov, rows=rows: gaussian_pid(rows(cov), DIMS).gap)(jnp.eye(4))


def test_what_is_not_traced_is_decomposed_inside_jit():
    cov = np.eye(4) + 0.5
    inside = jax.jit(lambda x: x + gaussian_pid(cov, DIMS).atoms.redundancy)(0.0)
    np.testing.assert_allclose(inside, gaussian_pid(cov, DIMS).atoms.redundancy, rtol=1e-6)


@pytest.mark.parametrize("key", [0, "0", np.zeros(2, np.uint32), jnp.zeros(2, jnp.uint32)])
def test_bad_keys(samples, key):
    refuse(samples, TypeError, "key needs a JAX random key such as jax.random.key(0)", key=key)


def test_keys_that_are_old_several_or_traced(samples):
    for old in (jax.random.PRNGKey(0), np.array([0, 1], np.uint32)):
        refuse(samples, TypeError, "key needs a JAX random key", "jax.random.wrap_key_data(key)", key=old)
    several = jax.random.split(jax.random.key(0), 2)
    refuse(samples, TypeError, "key needs a JAX random key", "array of keys of shape (2,)", "key[0]", key=several)
    with pytest.raises(TypeError, match=r"key.*JAX.*key"):
        jax.jit(lambda key: estimate_pid(**samples, key=key).gap)(jax.random.key(0))


@pytest.mark.slow
def test_samples_of_one_number_each_are_one_column(samples):
    whole = estimate_pid(**samples, key=jax.random.key(0))
    flat = samples | {name: samples[name][:, 0] for name in ("source_2", "target")}
    assert estimate_pid(**flat, key=jax.random.key(0)).atoms == whole.atoms
    assert estimate_pid(**flat | {"target": flat["target"].tolist()}, key=jax.random.key(0)).atoms == whole.atoms


def test_dims_that_were_asked_for_are_named(samples):
    rng = np.random.default_rng(0)
    wide = {name: rng.normal(size=(3, 20)) for name in samples}
    refuse(wide, ValueError, "3 samples are too few for 16 + 16 + 16 dimensions", "at least 50")
    spec = PIDSpec(reduction=PCA(dim=(2, 30, 8)))
    refuse(wide, ValueError, "3 samples are too few for 2 + 20 + 8 dimensions", "at least 32", spec=spec)


def test_key_must_be_given(samples):
    with pytest.raises(TypeError, match="key"):
        estimate_pid(**samples)


@pytest.mark.parametrize("spec", [PCA(dim=2), {"reduction": PCA()}, PIDSpec])
def test_bad_specs(samples, spec):
    refuse(samples, TypeError, "spec needs a PIDSpec, got", type(spec).__name__, spec=spec)


@pytest.mark.parametrize("dims", [(2, 2), (2, 1, 0), (2.0, 1, 1), 4, (2, 1, -1), "211"])
def test_dims_that_are_no_dims(dims):
    refuse_cov(np.eye(4), ValueError, "dims needs a tuple of three whole numbers of at least 1", repr(dims), dims=dims)


def test_dims_that_do_not_fit():
    refuse_cov(np.eye(5), ValueError, "cov has shape (5, 5), dims (2, 1, 1) sum to 4")
    refuse_cov(np.ones((4, 5)), ValueError, "cov has shape (4, 5)")


def test_asymmetric_covariances():
    covs = np.stack([np.eye(4)] * 3)
    covs[1, 0, 2] = 1e-9
    refuse_cov(covs, ValueError, "cov is not symmetric, first at index (1, 0, 2)", "(cov + cov.T) / 2")
    covs[1, 0, 2] = np.nan
    refuse_cov(covs, ValueError, "cov is not symmetric, first at index (1, 0, 2)")
    large = np.eye(600)
    large[299, 570] = 1e-9
    refuse_cov(large, ValueError, "cov is not symmetric, first at index (299, 570)", dims=(300, 299, 1))
    many = np.tile(np.eye(3), (5, 2000, 1, 1))  # more than are compared at a time
    many[3, 1999, 1, 2] = 0.1
    refuse_cov(many, ValueError, "cov is not symmetric, first at index (3, 1999, 1, 2)", dims=(1, 1, 1))


def test_negative_variances():
    refuse_cov(np.diag([1.0, 1.0, -0.1, 1.0]), ValueError, "cov has a negative variance at diagonal index (2,)")


def test_an_infinite_variance_leaves_the_others_untouched():
    covs = np.stack([np.eye(4)] * 2)
    covs[1, 0, 0] = -np.inf
    assert gaussian_pid(covs, DIMS).status.tolist() == [Status.OK, Status.NOT_FINITE]


def test_variances_at_the_end_of_the_number_range():
    """Smaller numbers would be taken for zero in part, and their information lost."""
    system = parallel_channels(8.0, 2.0)
    cov, dims = system.problem
    np.testing.assert_allclose(gaussian_pid(cov * 1e-280, dims).atoms.unique_1, system.atoms.unique_1, atol=1e-14)
    refuse_cov(cov * 1e-300, ValueError, "cov has a variance of 9.0e-300 at diagonal index (0,)", "units", dims=dims)


@pytest.mark.parametrize("samples", [0, -3, True, 1.5, "x"])
def test_numbers_of_samples(samples):
    refuse_cov(np.eye(4), ValueError, "samples needs a whole number of at least 1", repr(samples), samples=samples)


def test_dims_may_be_any_sequence():
    for dims in ([2, 1, 1], np.array([2, 1, 1])):
        assert gaussian_pid(np.eye(4), dims).dims == DIMS


def test_covariances_of_wrong_type():
    refuse_cov(np.eye(4) * 1j, TypeError, "cov must hold real numbers, got dtype complex128")
    refuse_cov(None, TypeError, "cov must hold real numbers, got NoneType")
    refuse_cov(np.ones(4), ValueError, "cov must have at least 2 axes, (..., D, D), got shape (4,)")


@pytest.mark.parametrize("dtype", [np.int64, np.uint8, bool])
def test_integer_covariances(dtype):
    refuse_cov(np.eye(4, dtype=dtype), TypeError, f"cov has dtype {np.dtype(dtype)}", "cov.astype(float)")
    refuse_cov(np.eye(4, dtype=dtype).tolist(), TypeError, "cov has dtype", "floating-point")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_covariances_without_a_finite_one(value):
    cov = np.eye(4)
    cov[1, 2] = cov[2, 1] = value
    refuse_cov(cov, ValueError, "cov holds NaN or infinity, the first at index (1, 2)", "remove")
    refuse_cov(np.stack([cov] * 3), ValueError, "the first at index (0, 1, 2)")


@pytest.mark.parametrize("function", [unique_spectrum, optimal_coupling, gaussian_union])
def test_all_functions_of_covariances_check_alike(function):
    with pytest.raises(ValueError, match=r"cov.*\(0, 1\)"):
        function(np.triu(np.ones((3, 3))), (1, 1, 1))
    with pytest.raises(TypeError, match=r"cov.*dtype.*int64"):
        function(np.eye(3, dtype=int), (1, 1, 1))
    with pytest.raises(ValueError, match=r"rank_cut.*\[0, 1\).*1\.5"):
        function(np.eye(3), (1, 1, 1), rank_cut=1.5)
    with pytest.raises(TypeError, match=r"cov.*pid_jax\.pid\."):
        jax.jit(lambda cov: function(cov, (1, 1, 1)).status)(jnp.eye(3))


def test_dims_of_many_sources():
    with pytest.raises(ValueError, match=r"dims.*\(d1, d2, \.\.\., dt\)"):
        gaussian_union(np.eye(4), (2, 2))
    with pytest.raises(ValueError, match=r"dims.*\(1, 1, 1, 2\)"):
        gaussian_union(np.eye(4), (1, 1, 1, 2))


@pytest.mark.parametrize("redundancy", [BROJA, "broja", PIDSpec()])
def test_bad_redundancies(redundancy):
    refuse_cov(np.eye(4), TypeError, "redundancy needs BROJA() or MMI() or ", redundancy=redundancy)


@pytest.mark.parametrize(
    ("dtype", "kept"),
    [
        (np.float64, np.float64),
        (np.float32, np.float32),
        (np.float16, np.float64),
        (np.int8, np.float64),
        (np.uint64, np.float64),
        (np.bool_, np.float64),
        (jnp.bfloat16, np.float64),
    ],
)
def test_dtypes_of_checked_arrays(dtype, kept):
    array = check_float_array("x", np.ones((3, 2), dtype), "(..., n, d)", "core")
    assert array.dtype == kept
    np.testing.assert_array_equal(array, 1)
