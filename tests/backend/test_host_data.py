"""Host data as users bring them: taken as scikit-learn takes them, or told why not."""

from __future__ import annotations

import datetime
import decimal
from array import array

import dask.array
import dask.dataframe
import numpy as np
import pandas as pd
import polars as pl
import pytest
import sklearn.cluster
from scipy import sparse

from kmgpu import KMeans, KMedians, lloyd
from kmgpu.plotting import plot_steps
from tests.support import oracles

X = np.round(oracles.blobs(60, 3, 3, seed=8), 3)
DAYS = np.array(["2020-01-01", "2021-01-01", "2022-01-01", "2029-01-01"], "M8[D]")[:, None]
TEXT = X.astype(str)

SAME = {
    "list": X.tolist(),
    "tuples": tuple(map(tuple, X)),
    "frame": pd.DataFrame(X, columns=list("abc")),
    "frame of objects": pd.DataFrame(X, columns=list("abc"), dtype=object),
    "nullable frame": pd.DataFrame(X, columns=list("abc"), dtype="Float64"),
    "frame of text": pd.DataFrame(TEXT, columns=list("abc")),
    "frame of text and numbers": pd.DataFrame({"a": TEXT[:, 0], "b": X[:, 1], "c": X[:, 2]}),
    "polars": pl.DataFrame(X, schema=list("abc")),
    "polars text": pl.DataFrame(TEXT, schema=list("abc")),
    "arrow": pl.DataFrame(X, schema=list("abc")).to_arrow(),
    "dask": dask.array.from_array(X, chunks=(17, 2)),
    "dask frame": dask.dataframe.from_pandas(pd.DataFrame(X, columns=list("abc")), npartitions=3),
    "text": TEXT,
    "bytes": TEXT.astype("S"),
    "lists of text": TEXT.tolist(),
    "objects": X.astype(object),
    "decimals": [[decimal.Decimal(value) for value in row] for row in TEXT],
    "an empty mask": np.ma.masked_array(X),
    "memoryview": memoryview(X),
    "sparse": sparse.coo_array(X),
    "rows": [array("d", row) for row in X],
}


@pytest.mark.parametrize("estimator", [KMeans, KMedians])
@pytest.mark.parametrize("x", SAME.values(), ids=SAME)
def test_numbers_however_they_come(estimator, x):
    same = estimator(3, init=X[:3]).fit(X)
    found = estimator(3, init=X[:3]).fit(x)
    np.testing.assert_array_equal(found.labels_, same.labels_)
    np.testing.assert_allclose(found.cluster_centers_, same.cluster_centers_, rtol=1e-14)
    np.testing.assert_array_equal(found.predict(x), same.labels_)
    if hasattr(x, "columns"):
        assert list(found.feature_names_in_) == ["a", "b", "c"]
    else:
        assert not hasattr(found, "feature_names_in_")


TIMES = {
    "days": DAYS,
    "spans": DAYS - DAYS[0],
    "frame": pd.DataFrame({"a": DAYS[:, 0].astype("M8[s]")}),
    "polars": pl.DataFrame({"a": DAYS[:, 0]}),
    "swapped bytes": DAYS.astype(">M8[D]"),
}


@pytest.mark.parametrize("x", TIMES.values(), ids=TIMES)
def test_times_are_whole_numbers_of_their_unit(x):
    ours, theirs = KMeans(2, random_state=0).fit(x), sklearn.cluster.KMeans(2, random_state=0)
    np.testing.assert_allclose(
        np.sort(ours.cluster_centers_, axis=0), np.sort(theirs.fit(x).cluster_centers_, axis=0)
    )


GAP = X.copy()
GAP[7, 1] = 1e9
RECORDS = np.array([(1.0, 2.0), (3.0, 4.0)], dtype=[("a", "f8"), ("b", "f8")])
STAMPS = pd.to_datetime(DAYS[:, 0])
REFUSED = {
    "NaT": (np.insert(DAYS, 2, "NaT", axis=0), "contains NaT: first at row 2, column 0"),
    "NaT in a frame": (pd.DataFrame({"a": [*STAMPS, None]}), "NaT: first at row 4, column 0"),
    "NaT in polars": (pl.DataFrame({"a": [DAYS[0, 0].item(), None]}), "NaT: first at row 1"),
    "times and numbers": (pd.DataFrame({"a": STAMPS, "b": [1.0, 2, 3, 4]}), "of times; convert"),
    "zones": (pd.DataFrame({"a": STAMPS.tz_localize("UTC")}), "Timestamp.* at row 0, column 0"),
    "dates": ([[datetime.datetime(2020, 1, 1)]], "datetime.* at row 0, column 0, which is no num"),
    "mask": (np.ma.masked_greater(GAP, 1e8), r"masked: first at row 7, column 1; .*X\.filled"),
    "records": (RECORDS, r"fields a, b; pass numpy\.lib\.recfunctions\.structured_to_unstruct"),
    "recarray": (RECORDS.view(np.recarray), r"fields a, b; pass numpy\.lib\.recfunctions"),
    "lazy": (pl.DataFrame(X).lazy(), r"LazyFrame.*pass X\.collect\(\)"),
    "words": ([["1", "2"], ["3", "red"]], "'red'.* at row 1, column 1, which is no number.*encod"),
    "words in a frame": (pd.DataFrame({"a": [1, 2], "b": ["1", "x"]}), "'x' at row 1, column 1"),
    "words in polars": (pl.DataFrame({"a": [1, 2], "b": ["1", "x"]}), "'x' at row 1, column 1"),
    "empty text": ([["1", ""]], "'' at row 0, column 1"),
    "none": ([[1, None], [2, 3]], "contains NaN: first at row 0, column 1"),
    "missing": (pd.DataFrame({"a": pd.array([1, None], "Int64")}), "NaN: first at row 1, column 0"),
    "text of NaN": ([["1"], ["nan"]], "contains NaN: first at row 1, column 0"),
    "ragged": ([[1, 2], [3]], "rows differ in length"),
    "a name": ("x.csv", "is of type str.*read the file first"),
    "generator": ((row for row in X), "is a generator, which can be read once.*RowBlocks"),
    "dict": ({"a": [1, 2]}, "is of type dict.*a frame"),
    "nothing": (None, "is of type NoneType"),
    "dask with NaN": (dask.array.full((9, 2), np.nan), "contains NaN: first at row 0, column 0"),
}


@pytest.mark.parametrize(("x", "said"), REFUSED.values(), ids=REFUSED)
def test_what_holds_no_numbers_is_told_where_and_what_to_do(x, said):
    with pytest.raises((ValueError, TypeError), match=rf"X .*{said}"):
        KMeans(1).fit(x)


@pytest.mark.parametrize(
    "x", [np.ma.masked_greater(GAP, 1e8), pl.DataFrame(X).lazy(), [["1", "2", "red"]], RECORDS]
)
def test_every_door_asks_alike(x):
    model = KMeans(2, random_state=0).fit(X)
    for call in (model.predict, model.transform, model.score, lambda x: lloyd(x, X[:2])):
        with pytest.raises((ValueError, TypeError), match=r"X (is|holds) "):
            call(x)


CENTERS = {
    "csr": sparse.csr_matrix(X[:3]),
    "coo": sparse.coo_array(X[:3]),
    "frame": pd.DataFrame(X[:3]),
    "polars": pl.DataFrame(X[:3]),
    "dask": dask.array.from_array(X[:3]),
    "text": TEXT[:3],
    "list": X[:3].tolist(),
}


@pytest.mark.parametrize("init", CENTERS.values(), ids=CENTERS)
@pytest.mark.parametrize("make", [np.asarray, sparse.csr_array])
def test_initial_centres_however_they_come(init, make):
    expected = KMeans(3, init=X[:3]).fit(X).labels_
    np.testing.assert_array_equal(KMeans(3, init=init).fit(make(X)).labels_, expected)
    drawn = KMeans(3, init=lambda x, k, random_state: init).fit(make(X))
    np.testing.assert_array_equal(drawn.labels_, expected)
    *_, last = lloyd(make(X), init)
    np.testing.assert_array_equal(last.labels, expected)


def test_sparse_centres_are_drawn():
    pytest.importorskip("matplotlib")
    assert plot_steps(X, init=sparse.csr_matrix(X[:3])).axes


WEIGHTS = np.arange(60) % 3


@pytest.mark.parametrize(
    "weight",
    [
        WEIGHTS.tolist(),
        pd.Series(WEIGHTS),
        pl.Series(WEIGHTS),
        dask.array.from_array(WEIGHTS),
        WEIGHTS.astype(str),
        np.ma.masked_array(WEIGHTS),
    ],
    ids=lambda weight: type(weight).__name__,
)
def test_weights_however_they_come(weight):
    same = KMeans(3, init=X[:3]).fit(X, sample_weight=WEIGHTS)
    found = KMeans(3, init=X[:3]).fit(X, sample_weight=weight)
    np.testing.assert_array_equal(found.cluster_centers_, same.cluster_centers_)


@pytest.mark.parametrize(
    ("weight", "said"),
    [
        (np.ma.masked_equal(WEIGHTS, 2), r"sample_weight is masked: first at row 2; "),
        (WEIGHTS * 1j, "sample_weight has dtype complex128; pass real numbers"),
        (WEIGHTS.astype("M8[s]"), r"sample_weight has dtype datetime64\[s\]"),
        (["1"] * 59 + ["x"], "sample_weight holds .*'x'.* at row 59, which is no number"),
        (pl.DataFrame({"w": WEIGHTS}).lazy(), r"pass sample_weight\.collect\(\)"),
    ],
)
def test_weights_that_are_none(weight, said):
    with pytest.raises((ValueError, TypeError), match=said):
        KMeans(3).fit(X, sample_weight=weight)
    with pytest.raises((ValueError, TypeError), match=r"init (is|has|holds) "):
        KMeans(3, init=weight).fit(X)
