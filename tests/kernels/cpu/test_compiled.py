"""Kernels on disk, damaged, half-written, by many at once or nowhere; what is private of Numba."""

import ast
import importlib
import inspect
import os
import shutil
import subprocess
import sys
import time
import tomllib
import warnings
from pathlib import Path

import numba
import pytest
from packaging.specifiers import SpecifierSet
from packaging.version import Version

import kmgpu
from kmgpu.kernels import dispatch
from kmgpu.kernels.cpu.lowlevel import claims, compiled

PACKAGE = Path(kmgpu.__file__).parent
CACHED = """
import numpy as np
from kmgpu.kernels.cpu.lowlevel.compiled import njit

@njit(cache=True)
def total(x):
    s = np.zeros(1, x.dtype)
    for v in x:
        s[0] += v
    return s
"""
CALLS = """
import sys
import time
import numpy as np
from cached import total
for dtype in sys.argv[1:]:
    found = total(np.arange(5, dtype=dtype))
    assert found == [10] and found.dtype == dtype, (dtype, found)
print(sum(total.stats.cache_hits.values()), sum(total.stats.cache_misses.values()))
"""


@pytest.fixture
def calls(tmp_path, request):
    """``calls(*dtypes)``: hits and misses of the cache in a new process that sums such arrays."""
    (tmp_path / "cached.py").write_text(CACHED)

    def start(*dtypes, before="", **variables):
        env = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "cache"), **variables}
        env["PYTHONPATH"] = os.pathsep.join([str(tmp_path), str(request.config.rootpath)])
        return subprocess.Popen(
            [sys.executable, "-c", before + CALLS, *dtypes],
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def call(*dtypes, **options):
        process = start(*dtypes, **options)
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
        call.told = err
        return tuple(map(int, out.split()))

    call.start, call.folder = start, tmp_path / "cache"
    return call


def files(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file())


def garble(content):
    """Content that a fault may leave."""
    yield b""
    yield content[:7]
    yield content[: len(content) // 2]
    yield content[:-1]
    yield content + b"x"
    yield b"\0" * len(content)
    yield b"nonsense"
    for at in (0, 31, 32, 40, len(content) // 2, len(content) - 1):
        yield content[:at] + bytes([content[at] ^ 4]) + content[at + 1 :]


def test_a_damaged_file_is_compiled_anew_and_written_anew(tmp_path):
    """In this process: a cache file that was damaged is as good as none, then whole again."""
    file = compiled._CacheFile(tmp_path, "kernel", "stamp")
    key = ("signature", ("processor",), ("code",))
    file.save(key, {"a": 1})
    (path,) = files(tmp_path)
    whole = path.read_bytes()
    assert file.load(key) == {"a": 1}
    for content in garble(whole):
        path.write_bytes(content)
        assert file.load(key) is None, content[:50]
    file.save(key, {"a": 1})
    assert path.read_bytes() == whole
    path.unlink()
    path.mkdir()
    assert file.load(key) is None


def test_a_file_holds_for_its_signature_processor_code_and_sources_alone(tmp_path):
    file = compiled._CacheFile(tmp_path, "kernel", "stamp")
    key = ("signature", ("processor",), ("code",))
    file.save(key, 1)
    (path,) = files(tmp_path)
    others = ("other", *key[1:]), (key[0], ("other",), key[2]), (*key[:2], ("other",))
    for other in others:
        assert file.load(other) is None
        file._path(other).write_bytes(path.read_bytes())  # as a mistaken copy would
        assert file.load(other) is None
    assert compiled._CacheFile(tmp_path, "kernel", "other").load(key) is None
    file.save(key, 1)
    assert file.load(key) == 1
    file.flush()
    assert files(tmp_path) == []


def test_a_kernel_is_out_of_date_when_a_file_of_another_room_has_changed():
    from kmgpu.kernels.cpu.lowdim.nearest import nearest_rows

    made_from = nearest_rows._cache._cache_file._made_from
    for source in ("agreement", "cpu/lowlevel/exact", "cpu/lowdim/nearest"):
        assert repr(f"{source}.py") in made_from


def test_a_copy_of_kernels_and_cache_is_not_out_of_date(tmp_path):
    """As in an image, whose files get other times."""
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "a.py").write_text("1")
    shutil.copytree(tmp_path / "here", tmp_path / "there")
    os.utime(tmp_path / "there" / "a.py", (0, 0))
    stamp = compiled._stamp(tmp_path / "here")
    assert compiled._stamp(tmp_path / "there") == stamp
    (tmp_path / "there" / "a.py").write_text("2")
    assert compiled._stamp.__wrapped__(tmp_path / "there") != stamp


def test_no_kernel_is_kept_in_the_folder_of_the_package(tmp_path):
    """Uninstalling would leave it."""
    code = "from kmgpu.kernels.cpu.spread import _sums; print(_sums._cache._cache_path)"
    variables = {name: value for name, value in os.environ.items() if name != "NUMBA_CACHE_DIR"}
    variables |= {"PYTHONPATH": str(PACKAGE.parent), "XDG_CACHE_HOME": str(tmp_path)}
    run = subprocess.run(
        [sys.executable, "-c", code], env=variables, capture_output=True, text=True, check=True
    )
    assert PACKAGE not in Path(run.stdout.strip()).parents


@pytest.mark.slow
def test_a_fit_survives_a_damaged_cache(calls):
    assert calls("float32") == (0, 1)
    (path,) = files(calls.folder)
    whole = path.read_bytes()
    path.write_bytes(whole[:-9] + b"\1" + whole[-8:])
    assert calls("float32") == (0, 1)
    assert calls.told == ""
    assert calls("float32") == (1, 0)
    assert files(calls.folder) == [path]  # and nothing half-written is left


@pytest.mark.slow
def test_one_process_compiles_and_the_others_load(calls):
    processes = [calls.start("float32") for _ in range(3)]
    told = [process.communicate(timeout=300) for process in processes]
    assert all(err == "" for _, err in told)
    assert sorted(tuple(map(int, out.split())) for out, _ in told) == [(0, 1), (1, 0), (1, 0)]
    assert len(files(calls.folder)) == 1


HOLDS = """
import sys, time
from pathlib import Path
from kmgpu.kernels.cpu.lowlevel import claims
claims.take(Path(sys.argv[1]))
print("taken", flush=True)
time.sleep(60)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs flock")
def test_a_claim_ends_with_its_process_and_with_patience(tmp_path, monkeypatch):
    path = tmp_path / "kernel.nbc"
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDS, str(path)], stdout=subprocess.PIPE, text=True
    )
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "taken\n"
        monkeypatch.setattr(claims, "PATIENCE", 0.3)
        start = time.monotonic()
        claims.take(path)
        assert time.monotonic() - start >= 0.3
        claims._CLAIMED.pop(path)
        holder.kill()
    monkeypatch.setattr(claims, "PATIENCE", 30.0)
    start = time.monotonic()
    claims.take(path)
    claims.take(path)
    assert time.monotonic() - start < 5
    claims.drop(path)
    assert files(tmp_path) == []


def test_a_kernel_that_is_not_compiled_after_all_is_claimed_no_longer(monkeypatch):
    kernel = compiled.njit(cache=True)(lambda x: x + 2)
    held = []

    def interrupted(*_):
        held.extend(claims._CLAIMED)
        raise KeyboardInterrupt

    monkeypatch.setattr(kernel._compiler, "compile", interrupted)
    with pytest.raises(KeyboardInterrupt):
        kernel(1)
    assert held
    assert not claims._CLAIMED


def test_without_a_folder_to_write_a_claim_is_everyones(tmp_path):
    (tmp_path / "file").touch()
    for _ in range(2):
        claims.take(tmp_path / "file" / "kernel.nbc")


@pytest.mark.slow
def test_several_processes_fill_it_at_once(calls):
    """Each with signatures of its own, in another order."""
    dtypes = ["float32", "float64", "int64"]
    orders = [dtypes, dtypes[::-1], dtypes[1:] + dtypes[:1]]
    processes = [calls.start(*order) for order in orders]
    for process in processes:
        _, err = process.communicate(timeout=300)
        assert process.returncode == 0, err
        assert err == ""
    assert calls(*dtypes) == (3, 0)
    assert len(files(calls.folder)) == 3


FULL = """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs ulimit")
def test_a_full_disk_is_said_once(calls):
    assert calls("float32", "float64", before=FULL) == (0, 2)
    assert calls.told.count("RuntimeWarning: Compiled kernels cannot be cached") == 1
    assert str(calls.folder) in calls.told
    assert "NUMBA_CACHE_DIR" in calls.told
    assert files(calls.folder) == []
    assert calls("float32", before=FULL, PYTHONWARNINGS="error::RuntimeWarning") == (0, 1)
    assert calls.told == ""


GONE = """
import pathlib, shutil, sys
import cached
shutil.rmtree(sys.argv.pop(1))
pathlib.Path({folder!r}).write_text("a file where the folder was")
"""


@pytest.mark.slow
def test_a_folder_that_becomes_a_file(calls):
    calls("float32")
    before = GONE.format(folder=str(calls.folder))
    assert calls(str(calls.folder), "float32", "float64", before=before) == (0, 2)
    assert calls.told.count("cannot be cached") == 1


def test_without_any_folder_it_is_said_once(monkeypatch):
    monkeypatch.setattr(compiled._Places, "_locator_classes", [])
    compiled._warned.cache_clear()
    with pytest.warns(RuntimeWarning, match="in any folder that can be written.*NUMBA_CACHE_DIR"):
        assert compiled.njit(cache=True)(lambda x: 2 * x)(21) == 42
    assert compiled.njit(cache=True)(lambda x: 3 * x)(21) == 63
    compiled._warned.cache_clear()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert compiled.njit(cache=True)(lambda x: 4 * x)(21) == 84


BROKEN = {
    "OSError": ("llvmlite", "raise OSError('no libllvmlite.so')", "no libllvmlite.so", 1),
    "RuntimeError": ("numba", "raise RuntimeError('bad day')", "bad day", 1),
    "too new": (
        "",
        "import numba.core.caching as caching; del caching.FunctionCache",
        "FunctionCache",
        1,
    ),
    "not there": ("numba", "raise ModuleNotFoundError('No module named numba')", "No module", 0),
}
FIT = """
import numpy as np
from kmgpu import KMeans, KMedians, kernels
x = np.random.default_rng(0).standard_normal((500, 40))
for estimator in KMeans, KMedians:
    estimator(3, random_state=0).fit(x).predict(x)
print(kernels.describe())
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("case", "warnings_are"), [*((case, "default") for case in BROKEN), ("OSError", "error")]
)
def test_a_broken_numba_is_said_once_and_the_reference_serves(
    tmp_path, request, case, warnings_are
):
    module, text, told, times = BROKEN[case]
    if module:
        (tmp_path / module).mkdir()
        (tmp_path / module / "__init__.py").write_text(text)
    before = "" if module else text
    path = os.pathsep.join([str(tmp_path), str(request.config.rootpath)])
    done = subprocess.run(
        [sys.executable, "-W", f"{warnings_are}::RuntimeWarning", "-c", before + FIT],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("off for NumPy arrays: Numba cannot be imported")
    assert told in done.stdout
    expected = times if warnings_are == "default" else 0
    assert done.stderr.count("RuntimeWarning: kmgpu is slower now") == expected, done.stderr


def test_a_numba_that_compiles_nothing_is_not_used(monkeypatch):
    monkeypatch.setattr(numba.config, "DISABLE_JIT", True)
    assert not dispatch.numba_usable.__wrapped__().yes
    assert "NUMBA_DISABLE_JIT" in dispatch.numba_usable.__wrapped__().why


def test_running_out_of_memory_while_numba_is_imported_says_nothing_of_numba(monkeypatch):
    monkeypatch.setitem(sys.modules, "numba", None)

    def no_memory(name, *_, **__):
        raise MemoryError(name)

    monkeypatch.setattr("builtins.__import__", no_memory)
    with pytest.raises(MemoryError):
        dispatch.numba_usable.__wrapped__()


MOVED = (
    f"Numba {numba.__version__} has moved {{}}: mend kmgpu/kernels/cpu/lowlevel/compiled.py, the "
    f"one file that uses what is private of Numba; only then raise the cap in pyproject.toml."
)
# beside what it imports: attributes that it sets, calls or relies on
ATTRIBUTES = {
    "numba.core.caching": {
        "FunctionCache": ["_load_overload", "_save_overload", "_index_key", "_impl_class"],
        "CompileResultCacheImpl": [
            "_locator_classes",
            "filename_base",
            "locator",
            "reduce",
            "rebuild",
        ],
    },
    "numba.core.environment": {"Environment": ["_memo"]},
    "numba.core.event": {"Listener": ["on_start", "on_end"]},
    "numba.core.cgutils": {},
}


def imports_of(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, None) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((node.module, alias.name) for alias in node.names)


def test_what_is_private_of_numba_is_where_it_was():
    found = [
        (module, name)
        for module, name in imports_of(Path(compiled.__file__))
        if module.startswith("numba.")
    ]
    assert len(found) > 5
    for module, name in found:
        assert hasattr(importlib.import_module(module), name), MOVED.format(f"{module}.{name}")
    for module, things in ATTRIBUTES.items():
        for thing, names in things.items():
            kind = getattr(importlib.import_module(module), thing)
            for name in names:
                assert hasattr(kind, name), MOVED.format(f"{module}.{thing}.{name}")
    cache = inspect.getsource(importlib.import_module("numba.core.caching").Cache)
    for used in ("self._cache_file.load(key)", "self._cache_file.save(key, data)"):
        assert used in cache, MOVED.format(f"what a cache file is asked for ({used})")
    kernel = compiled.njit(cache=True)(lambda x: x + 1)
    assert kernel(1) == 2
    assert isinstance(kernel._cache, compiled._Cache), MOVED.format("Dispatcher._cache")


def test_no_other_file_uses_what_is_private_of_numba():
    public = {"numba", "numba.extending", "numba.types"}
    for path in PACKAGE.rglob("*.py"):
        used = {module for module, _ in imports_of(path) if module and module.startswith("numba")}
        assert path == Path(compiled.__file__) or used <= public, (path.name, used - public)


def test_numba_is_capped_at_what_is_tested():
    project = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text(encoding="utf-8"))
    (asked,) = [line for line in project["project"]["dependencies"] if line.startswith("numba")]
    allowed = SpecifierSet(asked.removeprefix("numba"))
    assert Version(numba.__version__) in allowed, "tested with a Numba that users do not get"
    major, minor = Version(numba.__version__).release[:2]
    assert f"{major}.{minor + 1}" not in allowed, "the next Numba has not been tested"
    assert asked in dispatch.INSTALL_NUMBA
