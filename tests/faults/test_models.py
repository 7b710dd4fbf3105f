"""Damaged models: an error that names the file, or the very model that was saved."""

from __future__ import annotations

import io
import json
import os
import pickle
import struct
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest

from kmgpu import KMeans, load_model, save_model
from tests.faults import samples
from tests.faults.fuzz import state
from tests.support import oracles

DOCUMENT = "kmgpu_model.npy"


@pytest.fixture
def loaded(tmp_path):
    """Load a model of this content."""

    def load(content):
        path = tmp_path / "damaged.npz"
        path.write_bytes(content)
        return load_model(path)

    return load


@pytest.fixture
def refused(loaded):
    """Assert that a model of this content is refused in one line; the line."""

    def refuse(content):
        with pytest.raises(ValueError, match=r"damaged\.npz is not a model .*save_model") as caught:
            loaded(content)
        message = str(caught.value)
        assert len(message.splitlines()) == 1
        assert len(message) < 700
        return message

    return refuse


def with_members(content, **changes):
    """The same model with other members; None leaves one out."""
    parts = samples.members(content) | {f"{name}.npy": part for name, part in changes.items()}
    return samples.archive((name, part) for name, part in parts.items() if part is not None)


def with_document(content, change):
    """The same model with a changed JSON document."""
    document = json.loads(np.load(io.BytesIO(samples.members(content)[DOCUMENT])).item())
    change(document)
    return with_members(content, kmgpu_model=samples.npy(np.array(json.dumps(document))))


def flipped(content, bits):
    """For each bit, what the content is with that bit flipped."""
    damaged = bytearray(content)
    for bit in bits:
        damaged[bit // 8] ^= 1 << bit % 8
        yield bit, bytes(damaged)
        damaged[bit // 8] ^= 1 << bit % 8


def assert_flips_are_met(tmp_path, bits):
    content, path = samples.model(), tmp_path / "damaged.npz"
    path.write_bytes(content)
    intact = state(load_model(path))
    n_refused = 0
    for bit, damaged in flipped(content, bits):
        path.write_bytes(damaged)
        try:
            found = state(load_model(path))
        except ValueError as error:
            found = str(error)
            n_refused += 1
        assert found == intact or str(path) in found, f"bit {bit}"
    assert n_refused > len(bits) / 3


@pytest.mark.slow
def test_flips_in_the_directory_and_some_before(tmp_path):
    content = samples.model()
    start = 8 * content.index(b"PK\1\2")
    assert_flips_are_met(tmp_path, [*range(0, start, 29), *range(start, 8 * len(content))])


@pytest.mark.slow
def test_a_flip_of_many_bits_is_an_error_or_changes_nothing(tmp_path):
    """One bit in eleven, which are all eight of a byte in turn."""
    assert_flips_are_met(tmp_path, range(0, 8 * len(samples.model()), 11))


def test_a_model_is_refused_wherever_it_is_cut(refused):
    content = samples.model()
    directory = content.index(b"PK\1\2")
    for length in (*range(0, directory, 11), *range(directory, len(content))):
        refused(content[:length])


@pytest.mark.parametrize("what", [b"x", bytes(100), b"PK\5\6", "itself"])
@pytest.mark.parametrize("where", ["before", "after"])
def test_bytes_before_or_after_change_nothing_or_are_refused(loaded, what, where):
    content = samples.model()
    more = content if what == "itself" else what
    intact = state(loaded(content))
    try:
        found = state(loaded(more + content if where == "before" else content + more))
    except ValueError as error:
        found = str(error)
    assert found == intact or "is not a model" in found


def test_members_that_have_changed_places(refused):
    parts = samples.members(samples.named_model())
    for one in parts:
        for other in parts:
            if one < other:
                changed = parts | {one: parts[other], other: parts[one]}
                refused(samples.archive(changed.items()))


def test_a_member_that_is_there_twice(refused):
    parts = list(samples.members(samples.model()).items())
    for part in parts:
        assert "twice" in refused(samples.archive([*parts, part]))
        assert "twice" in refused(samples.archive([part, *parts]))


def test_a_member_that_the_directory_has_lost(refused):
    content = samples.model()
    entry = content.rindex(b"PK\1\2")
    # its extra field swallows the entry after it
    before = content.rindex(b"PK\1\2", 0, entry)
    length = struct.pack("<H", content.index(b"PK\5\6") - entry)
    damaged = content[: before + 30] + length + content[before + 32 :]
    refused(damaged)


@pytest.mark.parametrize(
    "name", ["more.npy", "../labels_.npy", "/labels_.npy", "labels_", "init.npy/x", "init.NPY", ""]
)
def test_unknown_members(refused, name):
    parts = list(samples.members(samples.model()).items())
    message = refused(samples.archive([*parts, (name, samples.npy(np.zeros(3)))]))
    assert "which is no part of a model" in message


@pytest.mark.parametrize("packing", ["deflated", "bzip2", "lzma"])
def test_a_small_file_takes_little_memory(refused, packing):
    bomb = samples.npy(np.zeros(10_000_000, np.int32))
    parts = samples.members(samples.model()) | {"labels_.npy": bomb}
    content = samples.archive(parts.items(), samples.PACKINGS[packing])
    assert len(content) < 1 << 20
    tracemalloc.start()
    try:
        assert "compressed" in refused(content)
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("field", [20, 24])
@pytest.mark.parametrize("size", [0, 1, 10**6, 2**31, 2**32 - 2])
def test_sizes_that_the_directory_lies_about(refused, field, size):
    content = samples.model()
    for name in (b"cluster_centers_.npy", b"labels_.npy", b"init.npy"):
        entry = content.rindex(name) - 46
        at = entry + field
        refused(content[:at] + struct.pack("<I", size) + content[at + 4 :])


def test_zip64(loaded):
    parts = samples.members(samples.model())
    content = samples.archive(parts.items(), force_zip64=True)
    assert state(loaded(content)) == state(loaded(samples.model()))


def test_encrypted_members(refused):
    content = bytearray(samples.model())
    for sign, at in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        content[content.index(sign) + at] |= 1
    assert "encrypted" in refused(bytes(content))


@pytest.mark.parametrize(
    ("descr", "order", "shape"),
    [
        ("'<f8'", "False", "(1, 10000000000000000000000)"),
        ("'<f8'", "False", "(100000, 100000)"),
        ("'<f8'", "False", "(-1, -1)"),
        ("'<f8'", "False", "(True, True)"),
        ("'<f8'", "False", "(1,)"),
        ("'<f8'", "False", "()"),
        ("'<f8'", "False", "(0, 1)"),
        ("'<f8'", "False", "1"),
        ("'<f8'", "7", "(1, 1)"),
        ("'<f2'", "False", "(1, 4)"),
        ("'|O'", "False", "(1, 1)"),
        ("'<U2'", "False", "(1, 1)"),
        ("[('a', '<f8')]", "False", "(1, 1)"),
        ("'<f8'", "False", "(" * 300 + ")" * 300),
        ("-" * 8000 + "1", "False", "(1, 1)"),
        ("__import__('os')", "False", "(1, 1)"),
    ],
)
def test_headers_of_arrays(refused, descr, order, shape):
    text = f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}\n".encode()
    data = b"\x93NUMPY\1\0" + struct.pack("<H", len(text)) + text + struct.pack("<d", 2.5)
    refused(with_members(samples.model(), cluster_centers_=data))


@pytest.mark.parametrize("version", [b"\1\0", b"\2\0", b"\3\0", b"\0\0", b"\xff\xff"])
@pytest.mark.parametrize("length", [0, 1, 2**16 - 1, 2**31, 2**32 - 1])
def test_lengths_of_headers(refused, version, length):
    intact = samples.members(samples.model())["cluster_centers_.npy"]
    wide = version > b"\1\0"
    packed = struct.pack("<I" if wide else "<H", length if wide else min(length, 2**16 - 1))
    refused(with_members(samples.model(), cluster_centers_=intact[:6] + version + packed))
    refused(
        with_members(samples.model(), cluster_centers_=intact[:6] + version + packed + intact[10:])
    )


class Trap:
    """Unpickling one of these fails the test."""

    def __reduce__(self):
        return pytest.fail, ("unpickled",)


def test_nothing_is_unpickled(refused):
    objects = samples.written(
        lambda file: np.save(file, np.array([[Trap()]], object), allow_pickle=True)
    )
    for name in ("kmgpu_model", "cluster_centers_", "labels_", "init"):
        for content in (objects, pickle.dumps(Trap())):
            refused(with_members(samples.model(), **{name: content}))


ARRAYS = {
    "NaN centres": ("cluster_centers_", np.full((3, 2), np.nan)),
    "an infinite centre": ("cluster_centers_", np.array([[1, 2], [np.inf, 2], [3, 4]])),
    "few centres": ("cluster_centers_", np.zeros((2, 2))),
    "many features": ("cluster_centers_", np.zeros((3, 4))),
    "flat centres": ("cluster_centers_", np.zeros(6)),
    "whole centres": ("cluster_centers_", np.zeros((3, 2), int)),
    "half centres": ("cluster_centers_", np.zeros((3, 2), np.float16)),
    "complex centres": ("cluster_centers_", np.zeros((3, 2), complex)),
    "no centres": ("cluster_centers_", np.zeros((0, 2))),
    "a label too high": ("labels_", np.array([0, 1, 3], np.int32)),
    "a negative label": ("labels_", np.array([0, 1, -1], np.int32)),
    "broken labels": ("labels_", np.array([0, 1, 0.5])),
    "wide labels": ("labels_", np.array([0, 1, 2], np.int64)),
    "labels in rows": ("labels_", np.zeros((3, 1), np.int32)),
    "no labels": ("labels_", np.zeros(0, np.int32)),
    "one label": ("labels_", np.array(0, np.int32)),
    "NaN init": ("init", np.full((3, 2), np.nan)),
    "init of another shape": ("init", np.zeros((2, 2))),
    "init beside its name": ("init", np.zeros((3, 2))),
}


@pytest.mark.parametrize(("name", "array"), ARRAYS.values(), ids=ARRAYS)
def test_arrays_that_no_fit_leaves(refused, name, array):
    message = refused(with_members(samples.named_model(), **{name: samples.npy(array)}))
    assert name in message


BAD = {
    "n_clusters": [0, -1, 4, 3.0, True, None, "3", 2**70, [3]],
    "init": ["", "kmeans++", 3, None, [[1.0]], {}],
    "n_init": [0, "many", 1.5, None, True],
    "max_iter": [0, -5, 1.5, None, "300"],
    "tol": [-1, float("nan"), "0", None, True],
    "random_state": [-1, 1.5, "0", [1]],
    "algorithm": ["", "hamerly", None, 1, ["lloyd"]],
    "empty_cluster": ["drop", None, 0],
    "device": ["gpu", "cuda:", "cuda:x", 0, ["cpu"]],
    "memory_budget": [0, -1, 1.5e9, "1 GB", True],
    "verbose": [[], {}],
    "inertia_": ["oops", -1.0, 1, 2**70, float("nan"), float("inf"), None, True, []],
    "n_iter_": [0, -1, 1.5, "1", None, True],
    "converged_": [0, 1, "yes", None],
    "n_relocated_": [-1, 0.5, None],
    "n_features_in_": [0, 1, 3, 2.0, None, "2"],
    "_n_features_out": [0, 2, None],
    "_n_init": [0, None, "auto"],
}


@pytest.mark.parametrize("name", BAD)
def test_values_that_no_fit_accepts_or_leaves(refused, name):
    where = "scalars" if name.endswith("_") or name.startswith("_") else "parameters"
    for value in BAD[name]:
        content = with_document(
            samples.named_model(), lambda text, value=value: text[where].update({name: value})
        )
        assert name in refused(content) or name in ("n_clusters", "n_features_in_")


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text["history"].append("assign"),
        lambda text: text["history"].append(["init", 1, 1.0, 0.0, 0, 0]),
        lambda text: text["history"].append(["assign", 0, 1.0, 0.0, 0, 0]),
        lambda text: text["history"].append(["assign", 1, float("nan"), 0.0, 0, 0]),
        lambda text: text["history"].append(["assign", 1, 1.0, -1.0, 0, 0]),
        lambda text: text["history"].append(["assign", 1, 1.0, 0.0, "0", 0]),
        lambda text: text["history"].append(["assign", 1, 1.0, 0.0, 0, 0, 0]),
        lambda text: text.update(history={}),
        lambda text: text.update(history=None),
        lambda text: text.update(feature_names="ab"),
        lambda text: text.update(feature_names=["länge"]),
        lambda text: text.update(feature_names=["länge", 2]),
        lambda text: text.update({"class": ["KMeans"]}),
        lambda text: text.update({"class": "Mine"}),
        lambda text: text.update(scalars=[]),
        lambda text: text["scalars"].update(__class__="x"),
        lambda text: text["parameters"].update(colour=1),
        *(lambda text, key=key: text.pop(key) for key in ("class", "scalars", "history")),
    ],
)
def test_documents_that_no_fit_leaves(refused, change):
    assert "document" in refused(with_document(samples.named_model(), change))


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        "[" * 100_000 + "]" * 100_000,
        '{"version":' * 100_000,
        '{"version": 1',
        '{"version": 1}',
        "null",
        '"version"',
        "1" * 5000,
        "",
        "\0",
    ],
)
def test_texts_that_are_no_document(refused, text):
    refused(with_members(samples.model(), kmgpu_model=samples.npy(np.array(text))))


@pytest.mark.parametrize("version", [0, 3, -1, 1.0, True, None, "1", [1], 2**70, "x" * 10_000])
def test_unknown_versions(loaded, version):
    content = with_document(samples.model(), lambda text: text.update(version=version))
    with pytest.raises(ValueError, match=r"damaged\.npz is a model of .* versions 1 to 2"):
        loaded(content)


@pytest.mark.parametrize("content", [b"", b"\0", b"a,b\n1,2\n", b"PK\5\6" + bytes(18)])
def test_files_of_something_else(refused, content):
    refused(content)


def test_only_regular_files_are_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe.npz")
    (tmp_path / "folder.npz").mkdir()
    (tmp_path / "zero.npz").symlink_to("/dev/zero")
    for path in (
        tmp_path / "pipe.npz",
        tmp_path / "folder.npz",
        tmp_path / "zero.npz",
        "/dev/null",
    ):
        with pytest.raises(ValueError, match=f"{path} is not a model .* not a regular file"):
            load_model(path)


def test_links_are_followed(tmp_path):
    (tmp_path / "m.npz").write_bytes(samples.model())
    (tmp_path / "link.npz").symlink_to("m.npz")
    assert state(load_model(tmp_path / "link.npz")) == state(load_model(tmp_path / "m.npz"))
    (tmp_path / "round.npz").symlink_to("round.npz")
    with pytest.raises(OSError, match=r"round\.npz cannot be read: .*the link should point to"):
        load_model(tmp_path / "round.npz")
    (tmp_path / "lost.npz").symlink_to("nowhere.npz")
    with pytest.raises(FileNotFoundError, match=r"lost\.npz: there is no such file"):
        load_model(tmp_path / "lost.npz")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (PermissionError(13, "Permission denied"), r"Permission denied; let it be read"),
        (OSError(24, "Too many open files"), r"Too many open files; close some files"),
        (OSError(5, "Input/output error"), r"Input/output error; look after the disk"),
    ],
)
def test_what_the_system_refuses_is_not_called_damage(tmp_path, monkeypatch, error, said):
    def fails(*_):
        raise error

    path = tmp_path / "m.npz"
    path.write_bytes(samples.model())
    monkeypatch.setattr(Path, "open", fails)
    with pytest.raises(type(error), match=rf"m\.npz cannot be read: {said}"):
        load_model(path)


def test_too_little_memory_is_not_called_damage(tmp_path, monkeypatch):
    def fails(*_, **__):
        raise MemoryError

    path = tmp_path / "m.npz"
    path.write_bytes(samples.model())
    monkeypatch.setattr(np, "empty", fails)
    with pytest.raises(MemoryError, match=r"m\.npz cannot be read: it needs more memory"):
        load_model(path)


@pytest.mark.parametrize(
    "change",
    [
        {"tol": -1.0},
        {"n_clusters": 5},
        {"max_iter": 0},
        {"inertia_": float("nan")},
        {"cluster_centers_": np.full((3, 3), np.nan)},
        {"labels_": np.array([7], np.int32)},
        {"n_iter_": "many"},
    ],
)
def test_what_could_not_be_loaded_is_not_saved(tmp_path, change):
    path = tmp_path / "m.npz"
    model = KMeans(3, random_state=0).fit(oracles.blobs())
    save_model(model, path)
    before = path.read_bytes()
    for name, value in change.items():
        setattr(model, name, value)
    with pytest.raises(ValueError, match=f"the estimator cannot be saved: .*{next(iter(change))}"):
        save_model(model, path, labels=True)
    assert path.read_bytes() == before


def test_every_byte_order_and_layout_is_loaded(loaded):
    content = samples.named_model()
    parts = samples.members(content)
    centers = np.load(io.BytesIO(parts["cluster_centers_.npy"]))
    labels = np.load(io.BytesIO(parts["labels_.npy"]))
    turned = with_members(
        content,
        cluster_centers_=samples.npy(np.asfortranarray(centers.astype(">f8"))),
        labels_=samples.npy(labels.astype(">i4")),
    )
    model = loaded(turned)
    np.testing.assert_array_equal(model.cluster_centers_, centers)
    np.testing.assert_array_equal(model.labels_, labels)
    assert model.cluster_centers_.dtype.isnative
    assert model.labels_.dtype.isnative


def test_a_model_is_an_archive_without_compression():
    with zipfile.ZipFile(io.BytesIO(samples.model())) as archive:
        assert {member.compress_type for member in archive.infolist()} == {zipfile.ZIP_STORED}
