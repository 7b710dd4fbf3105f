"""Files of vectors: mapped as they are, and every header believed only if the rest agrees."""

import numpy as np
import pytest

from kmgpu import KMeans, open_data
from kmgpu.io import vectors
from tests.support import oracles

DTYPES = {"f": np.float32, "u8": np.uint8, "i8": np.int8, "b": np.uint8, "i": np.int32}
X = (10 * oracles.blobs(60, 5, 3, seed=2)).clip(0, 120)


def bins(path, x):
    """As big-ann-benchmarks writes them."""
    path.write_bytes(np.array(x.shape, "<i4").tobytes() + x.tobytes())
    return path


def vecs(path, x):
    """As the TEXMEX corpora are written."""
    rows = (np.array([len(row)], "<i4").tobytes() + row.tobytes() for row in x)
    path.write_bytes(b"".join(rows))
    return path


def written(tmp_path, ending):
    kind = ending.removesuffix("bin").removesuffix("vecs")
    x = X.astype(DTYPES[kind])
    return x, (bins if ending.endswith("bin") else vecs)(tmp_path / f"x.{ending.upper()}", x)


@pytest.mark.parametrize("ending", ["fbin", "u8bin", "i8bin", "fvecs", "bvecs", "ivecs"])
def test_they_are_mapped_read_only_and_fitted(tmp_path, ending):
    x, path = written(tmp_path, ending)
    found = open_data(path)
    assert isinstance(found, np.memmap)
    assert not found.flags.writeable
    assert found.dtype == x.dtype
    np.testing.assert_array_equal(found, x)
    model = KMeans(3, init=x[:3].astype(float)).fit(found)
    np.testing.assert_array_equal(model.labels_, KMeans(3, init=x[:3].astype(float)).fit(x).labels_)


@pytest.mark.parametrize("ending", ["fbin", "u8bin"])
@pytest.mark.parametrize("change", ["longer", "shorter", "n", "d", "negative", "empty", "zero"])
def test_a_header_that_does_not_agree_with_the_size_is_refused(tmp_path, ending, change):
    _, path = written(tmp_path, ending)
    content = path.read_bytes()
    header = lambda *numbers: np.array(numbers, "<i4").tobytes() + content[8:]  # noqa: E731
    path.write_bytes(
        {
            "longer": content + b"\0",
            "shorter": content[:-1],
            "n": header(61, 5),
            "d": header(60, 6),
            "negative": header(-60, -5),
            "zero": header(0, 5)[:8],
            "empty": content[:5],
        }[change]
    )
    said = "fewer than a header" if change == "empty" else r"its header says .* take another copy"
    with pytest.raises(ValueError, match=rf"x\.{ending.upper()}.*{said}") as caught:
        open_data(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("ending", ["fvecs", "bvecs", "ivecs"])
def test_every_row_must_have_the_length_of_the_first(tmp_path, ending, monkeypatch):
    x, path = written(tmp_path, ending)
    content = path.read_bytes()
    step = len(content) // len(x)
    monkeypatch.setattr(vectors, "AT_A_TIME", 16)
    for row in (1, 15, 16, 59):
        changed = bytearray(content)
        changed[row * step] += 1
        path.write_bytes(changed)
        with pytest.raises(ValueError, match=f"row {row} says that it has 6 numbers where row 0"):
            open_data(path)
    for damaged in (content[:-1], b"\0\0\0\0" + content[4:], b"\xff" * 4 + content[4:]):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match="its first row says"):
            open_data(path)
    path.write_bytes(b"")
    with pytest.raises(ValueError, match="fewer than a header"):
        open_data(path)
