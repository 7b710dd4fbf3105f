"""Namespaces, devices, blocks of rows, and the way to the host."""

import numpy as np
import pytest
from scipy import sparse

from kmgpu.backend import arrays

X = np.arange(12.0).reshape(4, 3)


def home(backend):
    return arrays.place_of(backend.asarray(X))


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "uint8", "bool"])
def test_there_and_back(backend, dtype):
    host = (X % 3).astype(dtype)
    there = arrays.asarray(host, home(backend))
    assert arrays.place_of(there) == home(backend)
    np.testing.assert_array_equal(backend.to_numpy(there), host)
    back = arrays.to_host(there)
    assert back.dtype == dtype
    np.testing.assert_array_equal(back, host)


def test_an_array_that_is_there_is_returned_itself(backend):
    x = backend.asarray(X)
    assert arrays.asarray(x, home(backend)) is x
    assert arrays.asarray(x, home(backend), backend.xp.float32).dtype == backend.xp.float32


@pytest.mark.parametrize(
    "host",
    [
        X.astype(">f8"),
        X[::-1, ::-2],
        np.asfortranarray(X),
        np.broadcast_to(X[:1], (4, 3)),
        X.tolist(),
    ],
    ids=["big-endian", "negative strides", "columns", "zero strides, read-only", "list"],
)
def test_host_data_of_any_layout_arrives(backend, host):
    there = arrays.asarray(host, home(backend), backend.xp.float64)
    np.testing.assert_array_equal(backend.to_numpy(there), np.asarray(host, np.float64))


def test_is_array(backend):
    assert arrays.is_array(backend.asarray(X))
    assert arrays.is_array(sparse.csr_matrix(X))
    assert not arrays.is_array(X.tolist())


@pytest.mark.parametrize(
    ("dtype", "computed"),
    [("float16", "float32"), ("float32", "float32"), ("float64", "float64")]
    + [(dtype, "float64") for dtype in ("int8", "uint8", "int64", "bool")],
)
@pytest.mark.never(backend="strict", dtype="float16")
def test_compute_dtype(backend, dtype, computed):
    x = backend.asarray(X.astype(dtype))
    assert arrays.compute_dtype(x) == getattr(backend.xp, computed)
    assert arrays.is_floating(x) == dtype.startswith("float")


def test_rows_and_columns(backend):
    x = backend.asarray(X)
    f8 = backend.xp.float64
    np.testing.assert_array_equal(backend.to_numpy(arrays.rows(x, 1, 3, f8)), X[1:3])
    np.testing.assert_array_equal(backend.to_numpy(arrays.column(x, 2, f8)), X[:, 2])
    taken = arrays.take_rows(x, backend.asarray(np.array([3, 0, 3])), backend.xp.float32)
    assert taken.dtype == backend.xp.float32
    np.testing.assert_array_equal(backend.to_numpy(taken), X[[3, 0, 3]])


def test_rows_of_a_sparse_matrix_are_dense():
    x = sparse.csr_matrix(np.where(X > 4, X, 0))
    np.testing.assert_array_equal(arrays.rows(x, 1, 3, np.float32), x.toarray()[1:3])
    np.testing.assert_array_equal(arrays.column(x, 1, np.float64), x.toarray()[:, 1])
    np.testing.assert_array_equal(arrays.take_rows(x, [2, 0], np.float64), x.toarray()[[2, 0]])


def test_rows_of_the_wanted_dtype_are_a_view():
    assert np.shares_memory(arrays.rows(X, 1, 3, np.float64), X)
    assert np.shares_memory(arrays.column(X, 1, np.float64), X)
