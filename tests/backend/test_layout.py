"""The one copy of X that a fit makes, and fits of data in any layout."""

import ml_dtypes
import numpy as np
import pandas as pd
import pytest

from kmgpu import KMeans, KMedians
from kmgpu.backend.layout import arranged

BOTH = pytest.mark.parametrize("estimator", [KMeans, KMedians])
X = np.random.default_rng(0).integers(0, 50, (400, 40))


@pytest.mark.parametrize(
    ("dtype", "computed"),
    [
        ("float16", "float32"),
        (ml_dtypes.bfloat16, "float32"),
        ("float32", "float32"),
        (">f4", "float32"),
        ("float64", "float64"),
        ("bool", "float32"),
        ("uint8", "float32"),
        ("int16", "float32"),
        ("int64", "float32"),
        ("uint64", "float32"),
    ],
)
@pytest.mark.parametrize("layout", [np.ascontiguousarray, np.asfortranarray, lambda x: x[::-1]])
def test_values_are_kept(dtype, computed, layout):
    x = layout(X.astype(dtype))
    found, left = arranged(x, None)
    assert found.dtype == np.dtype(computed)
    assert found.flags.c_contiguous
    assert left is None
    np.testing.assert_array_equal(found, x.astype(computed))


@pytest.mark.parametrize("far", [2**24 + 1, -(2**24) - 1, 2**53 + 1])
def test_integers_that_float32_cannot_hold_become_float64(far):
    x = X.copy()
    x[3, 5] = far
    found, _ = arranged(x, None)
    assert found.dtype == np.float64
    assert found[3, 5] == float(far)


def test_what_lies_right_is_not_copied_and_what_does_not_fit_neither():
    for x in (X.astype("f4"), X.astype("f8")):
        assert arranged(x, 1 << 16) == (x, 1 << 16) or arranged(x, 1 << 16)[0] is x
    x = np.asfortranarray(X.astype("f4"))
    assert arranged(x, 2 * x.nbytes - 1)[0] is x
    found, left = arranged(x, 3 * x.nbytes)
    assert found is not x
    assert left == 2 * x.nbytes


@BOTH
@pytest.mark.parametrize("budget", [None, 1 << 16], ids=["copied", "block by block"])
@pytest.mark.parametrize("d", [3, 40])
def test_every_layout_has_the_fit_of_plain_rows(estimator, d, budget):
    plain = X[:, :d].astype("f4")
    expected = estimator(7, init=plain[:7], memory_budget=budget).fit(plain)
    layouts = {
        "float16": plain.astype("f2"),
        "bfloat16": plain.astype(ml_dtypes.bfloat16),
        "columns": np.asfortranarray(plain),
        "strided": np.repeat(plain, 2, axis=1)[:, ::2],
        "frame": pd.DataFrame(plain),
        "uint8": plain.astype("u1"),
        "int64": plain.astype("i8"),
        "float64": plain.astype("f8"),
    }
    for name, x in layouts.items():
        model = estimator(7, init=plain[:7], memory_budget=budget).fit(x)
        np.testing.assert_array_equal(model.labels_, expected.labels_, err_msg=name)
        np.testing.assert_array_equal(model.predict(x), model.labels_, err_msg=name)
        np.testing.assert_allclose(model.inertia_, expected.inertia_, rtol=1e-9)


@BOTH
def test_a_fit_that_fails_changes_nothing(estimator):
    bad = X.astype("f8")
    bad[5, 3] = np.nan
    fresh = estimator(3)
    with pytest.raises(ValueError, match="NaN"):
        fresh.fit(bad)
    assert vars(fresh) == vars(estimator(3))
    model = estimator(3, random_state=0).fit(pd.DataFrame(X[:, :2], columns=["a", "b"]))
    before = dict(vars(model))
    with pytest.raises(ValueError, match="NaN"):
        model.fit(bad)
    assert vars(model).keys() == before.keys()
    assert all(vars(model)[name] is value for name, value in before.items())
