"""Which room may import which, and what `import kmgpu` brings with it."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import kmgpu

PACKAGE = Path(kmgpu.__file__).parent
# from the bottom up: a room imports only rooms that come before it
ORDER = [
    "threads",
    "arrays",
    "gpus",
    "devices",
    "blocks",
    "host_data",
    "validation",
    "kernels",
    "refit",
]
ORDER += [
    "losses",
    "assignment",
    "seeding",
    "spread",
    "scale",
    "steps",
    "lloyd",
    "runs",
    "base",
    "estimators",
]
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


def rooms_in(modules):
    return {name.split(".")[1] for name in modules if name.startswith("kmgpu.")}


@pytest.mark.parametrize("room", [name for name in ORDER if (PACKAGE / f"{name}.py").exists()])
def test_imports_point_one_way(room):
    below = set(ORDER[: ORDER.index(room)])
    assert rooms_in(imports_of(PACKAGE / f"{room}.py")) <= below


def test_rooms_that_use_the_estimators_are_imported_by_none_of_them():
    above = {path.stem for path in PACKAGE.glob("*.py")} - set(ORDER) - {"__init__", "__main__"}
    for room in ORDER:
        if (PACKAGE / f"{room}.py").exists():
            assert not rooms_in(imports_of(PACKAGE / f"{room}.py")) & above


def test_kernels_know_nothing_of_the_loop():
    for path in PACKAGE.glob("kernels/*.py"):
        assert not rooms_in(imports_of(path)) & {"lloyd", "runs", "base", "estimators"}, path.name


@pytest.mark.parametrize("room", ALGORITHM)
def test_algorithm_files_name_no_array_library(room):
    modules = imports_of(PACKAGE / f"{room}.py")
    assert {name.split(".")[0] for name in modules} <= ALGORITHM[room]
    code = ast.parse((PACKAGE / f"{room}.py").read_text(encoding="utf-8"))
    names = {node.id for node in ast.walk(code) if isinstance(node, ast.Name)}
    assert not names & {"cupy", "cp", "torch", "array_api_compat", "compat", "jax", "dask"}


def test_only_two_rooms_name_the_gpu_libraries():
    for path in PACKAGE.glob("*.py"):
        if path.stem not in ("arrays", "gpus"):
            assert not {"cupy", "torch"} & {name.split(".")[0] for name in imports_of(path)}


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
