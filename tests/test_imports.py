"""Which room may import which, and what `import kmgpu` brings with it."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import kmgpu

PACKAGE = Path(kmgpu.__file__).parent
# from the bottom up: a room, a file or a folder, imports only rooms that come before it
ORDER = [
    "reading",
    "npz",
    "text_cells",
    "text_layout",
    "text_tables",
    "files",
    "host_data",
    "machine",
    "blas",
    "threads",
]
ORDER += ["arrays", "gpus", "devices", "layout", "blocks", "weights", "sparse"]
ORDER += ["validation", "kernels", "refit", "losses", "scale", "assignment", "seeding"]
ORDER += [
    "spread",
    "steps",
    "lloyd",
    "runs",
    "base",
    "estimators",
    "model_document",
    "model_io",
    "summary",
]
ORDER += ["examples", "data_io", "sweep_table", "sweep", "plotting", "images", "demo"]
ORDER += ["info", "cli"]
ORDER = ["startup", *ORDER]
# the package itself: what users import, and ``python -m kmgpu``
ABOVE_ALL = {"__init__", "__main__"}
# what the algorithm may bring in from outside: no array library but host NumPy's
ALGORITHM = {
    name: {"__future__", "collections", "dataclasses", "functools", "math", "typing", "numpy"}
    | {"kmgpu"}
    for name in ("losses", "assignment", "refit", "seeding", "spread", "scale", "steps", "lloyd")
}
# scikit-learn itself imports pandas where it is installed
ONLY_WHEN_NEEDED = {"cupy", "torch", "numba", "matplotlib", "tqdm", "PIL"}


def imports_of(path):
    """Names of the modules that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}: relative import"
            found.add(node.module)
            if node.module == "kmgpu":
                found |= {f"kmgpu.{alias.name}" for alias in node.names}
    return found


def room_of(path):
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


FILES = sorted(PACKAGE.rglob("*.py"))
ROOMS = {room_of(path) for path in FILES} - ABOVE_ALL


def rooms_in(modules):
    return {name.split(".")[1] for name in modules if name.startswith("kmgpu.")} & ROOMS


def test_every_room_has_its_place():
    assert sorted(ROOMS - set(ORDER)) == []
    assert len(FILES) > 80, "the folders are read, too"


@pytest.mark.parametrize("room", sorted(ROOMS))
def test_imports_point_one_way(room):
    below = set(ORDER[: ORDER.index(room)])
    for path in FILES:
        if room_of(path) == room:
            assert sorted(rooms_in(imports_of(path)) - {room} - below) == [], path


@pytest.mark.parametrize("room", ALGORITHM)
def test_algorithm_files_name_no_array_library(room):
    modules = imports_of(PACKAGE / f"{room}.py")
    assert {name.split(".")[0] for name in modules} <= ALGORITHM[room]
    code = ast.parse((PACKAGE / f"{room}.py").read_text(encoding="utf-8"))
    names = {node.id for node in ast.walk(code) if isinstance(node, ast.Name)}
    assert not names & {"cupy", "cp", "torch", "array_api_compat", "compat", "jax", "dask"}


def test_only_the_backend_names_the_gpu_libraries():
    for path in FILES:
        named = {"cupy", "torch"} & {name.split(".")[0] for name in imports_of(path)}
        there = path.parent == PACKAGE / "kernels" / "cuda" or room_of(path) in ("arrays", "gpus")
        assert not named or there, path


SHOWN = "import sys, kmgpu; print(*sorted(name.split('.')[0] for name in sys.modules))"


def test_importing_kmgpu_imports_no_gpu_library_and_no_extra(request):
    run = subprocess.run(
        [sys.executable, "-c", SHOWN],
        cwd=request.config.rootpath,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert "kmgpu" in run.stdout.split()
    assert not ONLY_WHEN_NEEDED & set(run.stdout.split())
