"""Arrays of other libraries: taken over without a copy, and given back as what they were."""

from types import ModuleType, SimpleNamespace

import ml_dtypes
import numpy as np
import pytest

from kmgpu import KMeans, KMedians, lloyd
from kmgpu.backend import arrays, devices
from tests.support import fake_cupy, oracles

X = oracles.blobs(120, 3, 4, seed=8, spread=3)
BOTH = pytest.mark.parametrize("estimator", [KMeans, KMedians])


class Shown:
    """Memory that another library shows through one protocol alone."""

    def __init__(self, array, protocol):
        self._array, self._protocol = array, protocol

    def __getattr__(self, name):
        if name not in self._protocol:
            raise AttributeError(name)
        return getattr(self._array, name)

    @property
    def shape(self):
        return self._array.shape


CUDA_ARRAY_INTERFACE = ("__cuda_array_interface__",)
DLPACK = ("__dlpack__", "__dlpack_device__")


class Foreign:
    """An array of a GPU library of its own: a namespace, a device, DLPack, and little else."""

    def __init__(self, array):
        self.array = array
        self.device = SimpleNamespace(type="cuda", index=0)
        self.dtype, self.shape, self.ndim = array.dtype, array.shape, array.ndim

    def __array_namespace__(self, api_version=None):
        return FOREIGN

    def __dlpack__(self, **kwargs):
        return self.array.__dlpack__(**kwargs)

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()

    def to_device(self, device, stream=None):
        return self


def from_dlpack(x):
    import cupy

    return Foreign(cupy.from_dlpack(x))


FOREIGN = ModuleType("foreign")
FOREIGN.from_dlpack = from_dlpack


class Seen:
    """An `init` that records the data it is shown."""

    def __init__(self):
        self.x = None

    def __call__(self, x, n_clusters, random_state):
        self.x = x
        return x[:n_clusters]


@BOTH
@pytest.mark.parametrize("protocol", [CUDA_ARRAY_INTERFACE, DLPACK], ids=["interface", "dlpack"])
def test_gpu_memory_of_no_library_becomes_cupys(cupy, estimator, protocol):
    x = cupy.asarray(X)
    shown, seen = Shown(x, protocol), Seen()
    adopted = arrays.adopted(shown)
    assert type(adopted) is type(x)
    assert adopted.data.ptr == x.data.ptr
    model = estimator(4, init=seen, n_init=1).fit(shown)
    assert seen.x.data.ptr == x.data.ptr
    expected = estimator(4, init=Seen(), n_init=1).fit(x)
    for given in (model.labels_, model.cluster_centers_, model.predict(shown)):
        assert type(given) is type(x)
    np.testing.assert_array_equal(model.labels_.get(), expected.labels_.get())
    weights = Shown(cupy.asarray(np.arange(120.0)), protocol)
    weighted = estimator(4, init=X[:4]).fit(shown, sample_weight=weights)
    plain = estimator(4, init=X[:4]).fit(x, sample_weight=np.arange(120.0))
    assert weighted.inertia_ == plain.inertia_
    assert [step.loss for step in lloyd(shown, Shown(x[:4], protocol))] == [
        step.loss for step in lloyd(x, x[:4])
    ]


@BOTH
def test_host_memory_of_no_library_becomes_numpys(estimator):
    shown = Shown(X, DLPACK)
    assert np.shares_memory(arrays.adopted(shown), X)
    model = estimator(4, init=X[:4]).fit(shown)
    assert isinstance(model.labels_, np.ndarray)
    np.testing.assert_array_equal(model.labels_, estimator(4, init=X[:4]).fit(X).labels_)


def test_gpu_memory_without_cupy_says_what_is_missing(monkeypatch):
    fake_cupy.remove(monkeypatch)
    with pytest.raises(ImportError, match="a Shown in GPU memory needs CuPy"):
        KMeans(2).fit(Shown(SimpleNamespace(__cuda_array_interface__={}), CUDA_ARRAY_INTERFACE))


@BOTH
def test_a_frame_on_a_gpu_is_gathered_by_its_own_method(cupy, estimator):
    x = cupy.asarray(X)

    class Frame:
        shape = x.shape

        def to_cupy(self):
            return x

    model = estimator(4, random_state=0).fit(Frame())
    assert type(model.labels_) is type(x)
    assert type(model.predict(Frame())) is type(x)


@BOTH
def test_another_gpu_library_computes_through_cupy_and_gets_its_own_back(cupy, estimator):
    x = cupy.asarray(X)
    foreign, seen = Foreign(x), Seen()
    model = estimator(4, init=seen, n_init=1).fit(foreign)
    assert type(seen.x) is type(x)
    assert seen.x.data.ptr == x.data.ptr
    expected = estimator(4, init=Seen(), n_init=1).fit(x)
    made = (model.labels_, model.cluster_centers_, model.predict(foreign), model.transform(foreign))
    for given in made:
        assert type(given) is Foreign
    np.testing.assert_array_equal(model.labels_.array.get(), expected.labels_.get())
    assert model.score(foreign) == expected.score(x)
    last = list(lloyd(foreign, foreign))[-1]
    assert type(last.labels) is type(last.centers) is Foreign
    on_host = estimator(4, init=X[:4], device="cpu")
    assert on_host.fit(x).device_ == "cpu"
    assert type(on_host.labels_) is type(x)


def test_results_are_handed_over_without_a_copy(cupy):
    x = cupy.asarray(X)
    there = arrays.asarray(x, arrays.place_of(Foreign(x)))
    assert type(there) is Foreign
    assert there.array.data.ptr == x.data.ptr
    back = arrays.asarray(there, arrays.place_of(x))
    assert back.data.ptr == x.data.ptr


def test_a_dtype_that_cupy_does_not_take_stays_with_its_library(cupy):
    class Refusing(Foreign):
        def __dlpack__(self, **kwargs):
            raise BufferError

    foreign = Refusing(cupy.asarray(X))
    assert devices.borrowed(foreign) is foreign


def test_jax_computes_in_numpy_as_it_has_no_float64():
    """What `borrowed` asks of JAX, on the real one where it is installed."""
    jnp = pytest.importorskip("jax.numpy")
    x = jnp.asarray(X.astype(np.float32))
    assert type(devices.borrowed(x)) is np.ndarray
    model = KMeans(4, init=X[:4]).fit(x)
    assert type(model.labels_) is type(x)
    assert type(model.cluster_centers_) is type(x)
    expected = KMeans(4, init=X[:4]).fit(X.astype(np.float32))
    assert model.inertia_ == expected.inertia_
    np.testing.assert_array_equal(np.asarray(model.predict(x)), expected.labels_)


@BOTH
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.only("numpy", "torch", "cupy")
@pytest.mark.never(backend="cupy", dtype="bfloat16")
def test_narrow_floats_are_read_as_they_are(backend, estimator, dtype):
    """What comes out is what the same numbers, widened before, give."""
    wide = X.astype(np.float16 if dtype == "float16" else ml_dtypes.bfloat16).astype(np.float32)
    if backend.name == "torch":
        x = backend.asarray(wide).to(getattr(backend.xp, dtype))
    elif dtype == "float16":
        x = backend.asarray(wide.astype(np.float16))
    else:
        x = wide.astype(ml_dtypes.bfloat16)
    assert arrays.is_floating(x)
    assert arrays.compute_dtype(x) == backend.xp.float32
    model = estimator(4, init=x[:4], tol=0).fit(x)
    expected = estimator(4, init=wide[:4], tol=0).fit(wide)
    assert model.inertia_ == pytest.approx(expected.inertia_, rel=1e-6)
    np.testing.assert_array_equal(backend.to_numpy(model.labels_), expected.labels_)
    np.testing.assert_allclose(
        backend.to_numpy(model.cluster_centers_), expected.cluster_centers_, rtol=1e-6
    )
    assert model.cluster_centers_.dtype == backend.xp.float32
    np.testing.assert_array_equal(backend.to_numpy(model.predict(x)), expected.labels_)
    seeded = estimator(4, random_state=0).fit(x)
    np.testing.assert_array_equal(
        backend.to_numpy(seeded.labels_), estimator(4, random_state=0).fit(wide).labels_
    )


@BOTH
@pytest.mark.only("numpy", "torch")
def test_bfloat16_that_is_not_finite_is_named(backend, estimator):
    x = X.astype(np.float32)
    x[7, 1] = np.nan
    x = x.astype(ml_dtypes.bfloat16) if backend.name == "numpy" else backend.asarray(x).bfloat16()
    with pytest.raises(ValueError, match="NaN: first at row 7, column 1"):
        estimator(2).fit(x)


def test_a_dtype_of_eight_bits_is_refused_by_name():
    with pytest.raises(ValueError, match="float8_e5m2"):
        KMeans(2).fit(X.astype(ml_dtypes.float8_e5m2))
