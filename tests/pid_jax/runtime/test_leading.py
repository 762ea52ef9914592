"""Names and labels of the leading axes that several arrays share."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from pid_jax.runtime.checks import check_leading_axes
from pid_jax.runtime.leading import join_axis_labels, read_axis_labels

LAYERS = np.array([0, 5])


def array(dims=("layer", "sample", "unit"), layers=LAYERS):
    return xr.DataArray(np.zeros((2, 4, 3)), dims=dims, coords={} if layers is None else {dims[0]: layers})


def test_only_arrays_of_xarray_name_their_axes():
    found = read_axis_labels(array(), 1)
    assert [*found] == ["layer"]
    np.testing.assert_array_equal(found["layer"], LAYERS)
    assert read_axis_labels(array(layers=None), 1) == {"layer": None}
    assert read_axis_labels(array(), 0) == {}
    for other in (np.zeros((2, 4, 3)), [array()], pd.DataFrame(np.zeros((4, 3))), xr.Variable(("a", "b"), [[1.0]])):
        assert read_axis_labels(other, 1) == {}


def test_one_array_is_enough_to_name_the_axes_of_all():
    plain, one = np.zeros((2, 4, 3)), array()
    named = [("source_1", plain), ("source_2", np.zeros((4, 3))), ("target", one.to_numpy())]
    found = check_leading_axes(named, (plain, one[0], one))
    assert found.shape == (2,)
    np.testing.assert_array_equal(found.labels["layer"], LAYERS)
    assert check_leading_axes(named).labels == {}


def test_labels_of_any_array_are_kept():
    one, other = read_axis_labels(array(layers=None), 1), read_axis_labels(array(), 1)
    for pair in ((one, other), (other, one)):
        joined = join_axis_labels([*zip("ab", pair, strict=True)])
        np.testing.assert_array_equal(joined["layer"], LAYERS)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (array(("depth", "sample", "unit")), r"b and a have different leading axes, \('depth',\) and \('layer',\)"),
        (array(layers=[5, 0]), "b and a have different labels of axis 'layer', such as 5 and 0 at position 0"),
        (array(layers=["0", "5"]), "different labels of axis 'layer', such as '0' and 0 at position 0"),
    ],
)
def test_axes_that_differ_are_refused(other, message):
    with pytest.raises(ValueError, match=message):
        join_axis_labels([("a", read_axis_labels(array(), 1)), ("b", read_axis_labels(other, 1))])
