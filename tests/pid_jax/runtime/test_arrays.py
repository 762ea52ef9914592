"""Arrays of every library are read alike by every public function, and nothing masked or missing is lost."""

import subprocess
import sys
from decimal import Decimal
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
import xarray as xr

from pid_jax import (
    CategoricalSpec,
    Moments,
    NoGaussianization,
    NoReduction,
    Pairs,
    PIDSpec,
    RealNVP,
    bootstrap_pid,
    compare_measures,
    compare_pid,
    discrete_pid,
    discrete_pid_from_pairs,
    estimate_categorical_pid,
    estimate_pid,
    fit_flow,
    gaussian_pid,
    gaussian_union,
    normalize_shares,
    optimal_coupling,
    permutation_test,
    pointwise_pid,
    posterior_pid,
    stream_moments,
    stream_pid,
    unique_spectrum,
)
from pid_jax.runtime.arrays import to_numpy

VALUES = np.arange(1.0, 7.0).reshape(3, 2)
PLAIN = PIDSpec(reduction=NoReduction(), gaussianize=NoGaussianization())
N = 60


def with_torch(make):
    """Make a value by PyTorch when a test asks for it: importing it takes seconds."""
    return lambda: make(pytest.importorskip("torch"))


def with_polars(make):
    return lambda: make(pytest.importorskip("polars"))


READ = {
    "numpy": lambda: VALUES,
    "integers": lambda: VALUES.astype(np.int16),
    "big endian": lambda: VALUES.astype(">f4"),
    "long double": lambda: VALUES.astype(np.longdouble),
    "numbers of Python": lambda: VALUES.astype(object),
    "rationals": lambda: [[Decimal(1), Fraction(2)], [3, 4.0], [np.float32(5), np.int8(6)]],
    "empty mask": lambda: np.ma.array(VALUES),
    "mask without True": lambda: np.ma.array(VALUES, mask=np.zeros((3, 2), bool)),
    "list of masked": lambda: [np.ma.array(row) for row in VALUES],
    "list": VALUES.tolist,
    "frame": lambda: pd.DataFrame(VALUES),
    "float32 frame": lambda: pd.DataFrame(VALUES, dtype="float32"),
    "Int64": lambda: pd.DataFrame(VALUES).astype("Int64"),
    "mixed frame": lambda: pd.DataFrame({"a": pd.array([1, 3, 5], "Int64"), "b": np.float32([2, 4, 6])}),
    "bool frame": lambda: pd.DataFrame({"a": [1.0, 3, 5], "b": [2, 4, 6]}).astype({"b": object}),
    "sparse frame": lambda: pd.DataFrame({i: pd.arrays.SparseArray(VALUES[:, i]) for i in range(2)}),
    "list of series": lambda: [pd.Series(row) for row in VALUES],
    "xarray": lambda: xr.DataArray(VALUES),
    "jax": lambda: jnp.asarray(VALUES),
    "jax bfloat16": lambda: jnp.asarray(VALUES, jnp.bfloat16),
    "list of jax": lambda: [jnp.asarray(row, jnp.bfloat16) for row in VALUES],
    "torch": with_torch(lambda torch: torch.tensor(VALUES)),
    "torch bfloat16": with_torch(lambda torch: torch.tensor(VALUES, dtype=torch.bfloat16)),
    "torch gradient": with_torch(lambda torch: torch.tensor(VALUES, requires_grad=True)),
    "torch parameter": with_torch(lambda torch: torch.nn.Parameter(torch.tensor(VALUES))),
    "torch sparse": with_torch(lambda torch: torch.tensor(VALUES).to_sparse()),
    "list of torch": with_torch(
        lambda torch: [torch.tensor(x, dtype=torch.bfloat16, requires_grad=True) for x in VALUES]
    ),
    "polars": with_polars(lambda polars: polars.DataFrame({"a": [1, 3, 5], "b": [2.0, 4.0, 6.0]})),
}
MISSING = {
    "masked": (lambda: np.ma.array(VALUES, mask=VALUES == 3), "x has 1 masked values, the first at index"),
    "list of masked": (lambda: [np.ma.array(row, mask=row == 3) for row in VALUES], "x has 1 masked values"),
    "NA": (lambda: pd.DataFrame(VALUES).astype("Int64").where(VALUES != 3), "x has 1 missing values"),
    "series": (lambda: pd.Series([1, None, None], dtype="Float64"), "x has 2 missing values"),
    "polars": (with_polars(lambda polars: polars.DataFrame({"a": [1, None], "b": [2.0, None]})), "x has 2 null values"),
    "polars series": (with_polars(lambda polars: polars.Series([1, None])), "x has 1 null values"),
}
REFUSED = {
    "text column": (lambda: pd.DataFrame({"a": ["1", "2"]}), "str|object"),
    "category": (lambda: pd.DataFrame({"a": pd.Categorical([1, 2])}), "category"),
    "dates": (lambda: pd.DataFrame({"a": pd.to_datetime([1, 2])}), "datetime64"),
    "durations": (lambda: np.array([1], "m8[s]"), "timedelta64"),
    "none among numbers": (lambda: np.array([[1.0, None]]), r"1 other entries, the first NoneType at index \(0, 1\)"),
    "arrays in objects": (lambda: np.array([[VALUES, None]], object), "2 other entries, the first ndarray"),
    "complex": (lambda: VALUES * 1j, "complex128"),
    "complex torch": (with_torch(lambda torch: torch.tensor(VALUES * 1j)), "complex128"),
    "meta torch": (with_torch(lambda torch: torch.tensor(VALUES, device="meta")), "meta tensor"),
    "lazy polars": (with_polars(lambda polars: polars.LazyFrame({"a": [1]})), "LazyFrame"),
    "dataset": (lambda: xr.Dataset({"a": ("b", [1.0])}), "Dataset"),
    "keys": (lambda: jax.random.split(jax.random.key(0)), "PRNGKey"),
    "ragged": (lambda: [[1.0, 2.0], [3.0]], "same length"),
    "records": (lambda: np.zeros(3, [("a", float)]), "must hold real numbers"),
}


@pytest.mark.parametrize("make", READ.values(), ids=READ)
def test_arrays_that_hold_numbers(make):
    array = to_numpy("x", make())
    assert type(array) is np.ndarray
    np.testing.assert_array_equal(array.astype(float), VALUES)


@pytest.mark.parametrize(("make", "text"), MISSING.values(), ids=MISSING)
def test_what_is_missing_is_counted(make, text):
    with pytest.raises(ValueError, match=rf"{text}.*remove those samples from all variables, or fill them \(x\."):
        to_numpy("x", make())


@pytest.mark.parametrize(("make", "text"), REFUSED.values(), ids=REFUSED)
def test_what_holds_no_numbers_is_named(make, text):
    with pytest.raises(TypeError, match=rf"^x .*({text})"):
        to_numpy("x", make())


def test_nothing_is_copied_without_need():
    array = VALUES.astype(np.float32)
    torch = pytest.importorskip("torch")
    for value in (
        array,
        np.ma.array(array),
        torch.from_numpy(array),
        pd.DataFrame(array, copy=False),
        xr.DataArray(array),
    ):
        assert np.shares_memory(to_numpy("x", value), array)


# Every public function that takes samples or covariances


@pytest.fixture(scope="module")
def variables() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    target = rng.normal(size=(N, 1)).round(2)
    return [target + rng.normal(size=(N, 1)).round(2), target - rng.normal(size=(N, 1)).round(2), target]


K = jax.random.key(0)
FLOW = RealNVP(epochs=1)
OF_SAMPLES = {
    "estimate_pid": lambda *x: estimate_pid(*x, spec=PLAIN, key=K).atoms.redundancy,
    "bootstrap_pid": lambda *x: bootstrap_pid(*x, spec=PLAIN, key=K, resamples=100, level=0.9).lower.redundancy,
    "refitted": lambda *x: (
        bootstrap_pid(*x, spec=PLAIN, key=K, resamples=100, level=0.9, kind=Pairs(refit=True)).lower.redundancy
    ),
    "permutation_test": lambda *x: permutation_test(*x, spec=PLAIN, key=K, resamples=20).p_value.i_12,
    "refitted test": lambda *x: permutation_test(*x, spec=PLAIN, key=K, resamples=20, refit=True).p_value.i_12,
    "compare_pid": lambda *x: compare_pid(x, x[::-1], spec=PLAIN, key=K, resamples=50).difference.synergy,
    "posterior_pid": lambda *x: posterior_pid(*x, spec=PLAIN, key=K, draws=200).mean.synergy,
    "stream_pid": lambda *x: stream_pid([x, x], spec=PLAIN, key=K).atoms.redundancy,
    "stream_moments": lambda *x: stream_moments([x]).scatter,
    "stream_moments of one": lambda *x: stream_moments([x[0], x[1]]).scatter,
    "Moments.of": lambda *x: Moments.of(x[0]).scatter,
}
OF_FLOWS = {
    "fit_flow": lambda fit, *x: fit_flow(*x, spec=FLOW, key=K).cov,
    "transform": lambda fit, *x: fit.transform(*x)[0],
    "inverse": lambda fit, *x: fit.inverse(*x)[0],
    "log_prob": lambda fit, *x: fit.log_prob(*x),
}
MAKERS = {
    "masked": np.ma.array,
    "frame": pd.DataFrame,
    "series": lambda x: pd.Series(x[:, 0]),
    "Float64 series": lambda x: pd.Series(x[:, 0], dtype="Float64"),
    "xarray": lambda x: xr.DataArray(x[:, 0], dims="sample", coords={"sample": range(len(x))}),
    "one axis": lambda x: x[:, 0],
    "torch": lambda x: pytest.importorskip("torch").tensor(x, requires_grad=True),
}


CATEGORICAL = CategoricalSpec()
RESULTS = {
    "estimate_pid": lambda *x: estimate_pid(*x, spec=PLAIN, key=K),
    "bootstrap_pid": lambda *x: bootstrap_pid(*x, spec=PLAIN, key=K, resamples=100, level=0.9),
    "permutation_test": lambda *x: permutation_test(*x, spec=PLAIN, key=K, resamples=20),
    "compare_pid": lambda *x: compare_pid(x, x[::-1], spec=PLAIN, key=K, resamples=50),
    "posterior_pid": lambda *x: posterior_pid(*x, spec=PLAIN, key=K, draws=200),
    "pointwise_pid": lambda *x: pointwise_pid(*x, spec=PLAIN, key=K),
    "estimate_categorical_pid": lambda *x: estimate_categorical_pid(*x[:2], x[2][..., 0] > 0, key=K),
    "a comparison of answers": lambda *x: compare_pid(
        (*x[:2], x[2][..., 0] > 0), (*x[1::-1], x[2][..., 0] > 0), spec=CATEGORICAL, key=K, resamples=50
    ),
    "a test of answers": lambda *x: permutation_test(*x[:2], x[2][..., 0] > 0, spec=CATEGORICAL, key=K, resamples=20),
    "gaussian_pid": lambda *x: gaussian_pid(covariances(x[0]), DIMS),
    "compare_measures": lambda *x: compare_measures(gaussian_pid(covariances(x[0]), DIMS)),
    "normalize_shares": lambda *x: normalize_shares(gaussian_pid(covariances(x[0]), DIMS), key=K, draws=50),
    "gaussian_union": lambda *x: gaussian_union(covariances(x[0]), DIMS),
    "unique_spectrum": lambda *x: unique_spectrum(covariances(x[0]), DIMS),
    "optimal_coupling": lambda *x: optimal_coupling(covariances(x[0]), DIMS),
    "discrete_pid": lambda *x: discrete_pid(tables(x[0], 3)),
    "discrete_pid_from_pairs": lambda *x: discrete_pid_from_pairs(tables(x[0], 2), tables(x[0], 2)),
}
DIMS, LABELS = (1, 1, 1), ["first", "second"]


def covariances(like):
    """Covariances with the leading axis of an array, and its name."""
    return xr.DataArray(np.tile(np.eye(3) + 0.3, (len(like), 1, 1)), dims=("layer", "i", "j"), coords={"layer": LABELS})


def tables(like, number):
    """Uniform tables with the leading axis of an array, and its name."""
    names = ("layer", "a", "b", "c")[: number + 1]
    return xr.DataArray(np.full((len(like), *[2] * number), 0.5**number), dims=names, coords={"layer": LABELS})


@pytest.mark.fast_cases(6)
@pytest.mark.filterwarnings("ignore::RuntimeWarning", "ignore::UserWarning")
@pytest.mark.parametrize("function", RESULTS.values(), ids=RESULTS)
def test_every_result_has_the_names_of_the_leading_axes(function):
    target = np.random.default_rng(1).normal(size=(2, N, 1))
    arrays = [target + np.random.default_rng(seed).normal(size=(2, N, 1)) for seed in (2, 3)]
    given = [xr.DataArray(x, dims=("layer", "sample", "unit"), coords={"layer": LABELS}) for x in (*arrays, target)]
    assert function(*given).to_xarray()["layer"].values.tolist() == LABELS


@pytest.fixture(scope="module")
def fit(variables):
    return fit_flow(*variables, spec=FLOW, key=K)


@pytest.mark.fast_cases(1)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("function", OF_SAMPLES.values(), ids=OF_SAMPLES)
def test_every_function_reads_every_kind(function, variables):
    wanted = function(*variables)
    for name, make in MAKERS.items():
        np.testing.assert_array_equal(function(*map(make, variables)), wanted, err_msg=name)


@pytest.mark.slow
@pytest.mark.parametrize("function", OF_FLOWS.values(), ids=OF_FLOWS)
def test_flows_read_every_kind(function, variables, fit):
    wanted = function(fit, *variables)
    for name, make in MAKERS.items():
        np.testing.assert_array_equal(function(fit, *map(make, variables)), wanted, err_msg=name)


@pytest.mark.parametrize("function", OF_SAMPLES.values(), ids=OF_SAMPLES)
def test_every_function_refuses_what_is_masked(function, variables):
    first, *others = variables
    hidden = np.where(np.arange(N)[:, None] == 4, 1e20, first)
    masked = np.ma.array(hidden, mask=hidden == 1e20)
    with pytest.raises(ValueError, match="has 1 masked values"):
        function(masked, *others)


@pytest.mark.fast_cases(1)
@pytest.mark.parametrize("function", [gaussian_pid, gaussian_union, optimal_coupling, unique_spectrum])
def test_functions_of_covariances_read_every_kind(function):
    cov = np.eye(3) + 0.5
    wanted = function(cov, (1, 1, 1)).status
    labeled = pd.DataFrame(cov, index=list("abc"), columns=list("abc"))
    for value in (np.ma.array(cov), labeled, labeled.astype("Float64"), xr.DataArray(cov), cov.astype(object)):
        np.testing.assert_array_equal(function(value, (1, 1, 1)).status, wanted)
    with pytest.raises(ValueError, match="cov has 1 masked values"):
        function(np.ma.array(cov, mask=np.arange(9).reshape(3, 3) == 0), (1, 1, 1))
    with pytest.raises(TypeError, match=r"cov.*dtype.*int64"):
        function(pd.DataFrame(np.eye(3)).astype("Int64"), (1, 1, 1))


def test_a_spectrum_projects_frames(variables):
    spectrum = unique_spectrum(np.eye(3) + 0.5 * np.array([[0, 0, 1], [0, 0, 0], [1, 0, 0]]), (1, 1, 1))
    wanted = spectrum.project(variables[0], "unique_1", "source_1")
    np.testing.assert_array_equal(spectrum.project(pd.Series(variables[0][:, 0]), "unique_1", "source_1"), wanted)


# Labels of rows

PAIRED = {name: function for name, function in OF_SAMPLES.items() if "moments" not in name.lower()}
PAIRED["stream_moments"] = OF_SAMPLES["stream_moments"]


@pytest.mark.parametrize("function", PAIRED.values(), ids=PAIRED)
def test_rows_with_other_labels_are_refused(function, variables):
    first, second, third = (pd.DataFrame(x) for x in variables)
    wanted = r"source_1|variable 0|block 0"
    for other in (third.sample(frac=1, random_state=0), third.set_axis(range(1, N + 1), axis=0)):
        with pytest.raises(ValueError, match=rf"({wanted}).*different labels of their rows.*same sample"):
            function(first, second, other)
    with pytest.raises(ValueError, match="different labels of their rows"):
        function(first, variables[1], xr.DataArray(variables[2], dims=("s", "p"), coords={"s": range(1, N + 1)}))


@pytest.mark.slow
def test_conditions_and_flows_have_the_same_labels(variables, fit):
    frames = [pd.DataFrame(x) for x in variables]
    later = [frame.set_axis(range(1, N + 1), axis=0) for frame in frames]
    with pytest.raises(ValueError, match=r"intervention.*source_1.*source_1"):
        compare_pid(frames, later, spec=PLAIN, key=K, resamples=50)
    mixed = (frames[0], *later[1:])
    for function in (lambda *x: fit_flow(*x, spec=FLOW, key=K), fit.log_prob):
        with pytest.raises(ValueError, match="variable 1 and variable 0 have different labels"):
            function(*mixed)


@pytest.mark.slow
def test_labels_of_layers_and_equal_labels(variables):
    frames = [pd.DataFrame(x, index=np.arange(N)[::-1]) for x in variables]
    wanted = OF_SAMPLES["estimate_pid"](*variables)
    np.testing.assert_array_equal(OF_SAMPLES["estimate_pid"](frames[0], variables[1], frames[2]), wanted)
    layers = [frames[0], frames[0].sort_index()]
    with pytest.raises(ValueError, match=r"source_1.*source_1"):
        OF_SAMPLES["estimate_pid"](layers, frames[1], frames[2])


def test_no_library_is_imported_to_look():
    code = "import sys, numpy; from pid_jax.runtime.arrays import to_numpy; to_numpy('x', [[1.0]]); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert not {"torch", "pandas", "polars", "xarray"} & set(done.stdout.split())
