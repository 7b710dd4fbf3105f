"""Which room may import which, and what `import kmgpu` brings with it."""

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# scikit-learn itself imports pandas where it is installed
ONLY_WHEN_NEEDED = {"cupy", "torch", "numba", "matplotlib", "tqdm", "PIL"}
ROOMS = "Imports between rooms point down"
GPU = "GPU libraries are named by the backend and CUDA kernels alone"
ALGORITHM = "The algorithm names no array library but host NumPy"
INSIDE = "Imports inside {} point down"
PLANTED = {
    "a folder": ("plotting/plane.py", "import kmgpu.cli", ROOMS),
    "into a folder": ("algorithm/refit.py", "import kmgpu.plotting.plane", ROOMS),
    "deep inside": ("kernels/cpu/lowdim/engine.py", "from kmgpu.algorithm import lloyd", ROOMS),
    "in a function": ("validation.py", "def _late():\n    import kmgpu.algorithm.steps", ROOMS),
    "backend": ("backend/machine.py", "import kmgpu.backend.threads", INSIDE.format("the backend")),
    "algorithm": (
        "algorithm/losses.py",
        "import kmgpu.algorithm.steps",
        INSIDE.format("the algorithm"),
    ),
    "sources": ("sources/base.py", "import kmgpu.sources.stream", INSIDE.format("the sources")),
    "files": ("io/reading.py", "import kmgpu.io.npz", INSIDE.format("files")),
    "kernels": ("kernels/compilation.py", "import kmgpu.kernels.cpu", INSIDE.format("kernels")),
    "CPU kernels": (
        "kernels/cpu/lowlevel/exact.py",
        "import kmgpu.kernels.cpu.highdim.dense",
        INSIDE.format("kernels of the CPU"),
    ),
    "a GPU library": ("kernels/cpu/lowdim/engine.py", "import cupy", GPU),
    "an array library": ("algorithm/seeding.py", "import array_api_compat.numpy", ALGORITHM),
}


def contracts(folder):
    """What import-linter says of the package in this folder."""
    code = "import sys; from importlinter.cli import lint_imports_command as run; run()"
    run = subprocess.run(
        [sys.executable, "-c", code, "--no-cache"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
    )
    return run.returncode, run.stdout + run.stderr


def test_imports_keep_the_contracts():
    code, said = contracts(ROOT)
    assert code == 0, said
    for name in (ROOMS, GPU, ALGORITHM):
        assert f"{name} KEPT" in said


@pytest.mark.slow
@pytest.mark.parametrize("planted", PLANTED)
def test_a_planted_violation_is_found(planted, tmp_path):
    file, line, broken = PLANTED[planted]
    shutil.copytree(ROOT / "kmgpu", tmp_path / "kmgpu", ignore=shutil.ignore_patterns("*.pyc"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    there = tmp_path / "kmgpu" / file
    there.write_text(f"{there.read_text()}\n{line}\n")
    code, said = contracts(tmp_path)
    assert code == 1, said
    assert f"{broken} BROKEN" in said


def test_a_new_room_needs_its_place(tmp_path):
    shutil.copytree(ROOT / "kmgpu", tmp_path / "kmgpu", ignore=shutil.ignore_patterns("*.pyc"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / "kmgpu" / "upstairs.py").write_text("")
    code, said = contracts(tmp_path)
    assert code == 1
    assert "kmgpu.upstairs" in said


def test_imports_are_absolute():
    for path in (ROOT / "kmgpu").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            assert not (isinstance(node, ast.ImportFrom) and node.level), path


SHOWN = (
    "from kmgpu import *; import sys; print(*sorted(name.split('.')[0] for name in sys.modules))"
)


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


LIGHT = """
import sys
try:
    {}
except SystemExit:
    pass
loaded = {{name.split('.')[0] for name in sys.modules}}
print(loaded & {{"numpy", "scipy", "sklearn", "pandas", "array_api_compat"}}, file=sys.stderr)
"""
USES = {
    "import": "import kmgpu; dir(kmgpu)",
    "help": "from kmgpu.cli import main; main(['--help'])",
    "version": "from kmgpu.cli import main; main(['--version'])",
}


@pytest.mark.parametrize("use", USES)
def test_kmgpu_its_help_and_its_version_import_no_array_library(use, request):
    run = subprocess.run(
        [sys.executable, "-c", LIGHT.format(USES[use])],
        cwd=request.config.rootpath,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert run.stderr == "set()\n"
