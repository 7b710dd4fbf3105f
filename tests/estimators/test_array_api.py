"""scikit-learn's array API: its tag, its own checks of it, and its pipelines."""

from importlib.util import find_spec
from unittest import SkipTest

import numpy as np
import pytest
import sklearn
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler
from sklearn.utils import get_tags
from sklearn.utils.estimator_checks import (
    check_array_api_input_and_values,
    estimator_checks_generator,
)

from kmgpu import KMeans, KMedians, SphericalKMeans
from tests.support import oracles

ALL = pytest.mark.parametrize("estimator", [KMeans, KMedians, SphericalKMeans])
LIBRARIES = [
    name for name in ("numpy", "array_api_strict", "torch") if name == "numpy" or find_spec(name)
]
# it asks for an error where ours computes: test_rows_of_another_library_are_welcome
STRICTER = "check_array_api_same_namespace"
X = oracles.blobs(120, 3, 4, seed=40)


@pytest.fixture
def dispatched(monkeypatch):
    """scikit-learn asks for this variable, though SciPy reads it when it is imported."""
    monkeypatch.setenv("SCIPY_ARRAY_API", "1")
    with sklearn.config_context(array_api_dispatch=True):
        yield


@ALL
def test_the_tag(estimator):
    assert get_tags(estimator()).array_api_support is True


@ALL
def test_the_checks_of_scikit_learn(dispatched, estimator):
    passed = []
    for model, check in estimator_checks_generator(estimator()):
        if "array_api" not in check.func.__name__ or check.func.__name__ == STRICTER:
            continue
        try:
            check(model)
        except SkipTest:
            continue
        passed.append(str(check.keywords))
    for name in LIBRARIES:
        assert any(f"'{name}'" in text for text in passed), (name, passed)


@ALL
@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_values_are_those_of_numpy(dispatched, estimator, library, dtype):
    name = estimator.__name__
    check_array_api_input_and_values(name, estimator(2), library, dtype_name=dtype)


@ALL
@pytest.mark.only("numpy", "torch", "cupy")  # the scaler selects by masks, which ours never does
def test_in_a_pipeline(backend, dispatched, estimator):
    with sklearn.config_context(array_api_dispatch=False):
        expected = make_pipeline(MinMaxScaler((1, 2)), estimator(4, random_state=0)).fit(X)
    given = backend.asarray(X)
    found = make_pipeline(MinMaxScaler((1, 2)), estimator(4, random_state=0)).fit(given)
    labels = found.predict(given)
    assert type(labels) is type(found[-1].labels_) is type(given)
    np.testing.assert_array_equal(backend.to_numpy(labels), expected[-1].labels_)
    distances = backend.to_numpy(found.transform(given))
    np.testing.assert_allclose(distances, expected.transform(X), atol=1e-12)


@ALL
def test_rows_of_another_library_are_welcome(backend, dispatched, estimator):
    """What is fitted on a GPU predicts NumPy's rows: results are where the rows are."""
    model = estimator(4, random_state=0).fit(backend.asarray(X))
    labels = model.predict(X)
    assert type(labels) is np.ndarray
    np.testing.assert_array_equal(labels, backend.to_numpy(model.labels_))
