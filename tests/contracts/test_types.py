"""What a user's ``mypy --strict`` says of code that uses kmgpu."""

import subprocess
import sys
from pathlib import Path

import pytest

import kmgpu

ROOT = Path(__file__).parents[2]
# what no annotation of the public functions names, and takes mypy longest
UNREAD = "dask.*,distributed.*,numba.*,pandas.*,pyarrow.*,scipy.*,torch.*,zarr.*"
SETTINGS = f"""
[mypy]
strict = true
mypy_path = {ROOT}
[mypy-kmgpu.*]
follow_imports = silent
[mypy-sklearn.*,{UNREAD}]
ignore_missing_imports = true
[mypy-{UNREAD}]
follow_imports = skip
"""
USE = """
import numpy as np

import kmgpu
from kmgpu import KMeans, KMedians, RowBlocks, Sweep, kernels, load_model, lloyd, plotting
from kmgpu import save_model, sweep

X = np.zeros((10, 2))
model: KMeans = KMeans(n_clusters=2, random_state=0).fit(X)
loss: float = model.inertia_
steps: int = model.n_iter_
KMedians(2, device="auto").fit(RowBlocks([X])).predict(X)
found: Sweep = sweep(X, range(1, 3))
knee: int | None = found.knee
for step in lloyd(X, X[:2]):
    kind: str = step.kind
save_model(model, "model.npz")
load_model("model.npz").transform(X)
with kernels.use("reference"):
    plotting.save_figure(plotting.plot_clusters(model, X), "clusters.png")
kmgpu.set_num_threads(None)
"""
WRONG = {
    "KMeans(n_cluster=2)": "n_cluster",
    "kmgpu.KMeens": "KMeens",
    "text: str = model.n_iter_": "Incompatible types",
}


def test_the_package_says_that_it_is_typed():
    assert (Path(kmgpu.__file__).parent / "py.typed").exists()


@pytest.mark.slow
def test_right_use_is_accepted_and_wrong_use_is_not(tmp_path):
    """Of one file: errors are those of its last lines, one each, and there are no others."""
    pytest.importorskip("mypy")
    (tmp_path / "mypy.ini").write_text(SETTINGS)
    (tmp_path / "use.py").write_text(USE + "\n".join(WRONG))
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "use.py"],
        cwd=tmp_path, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    errors = [line for line in done.stdout.splitlines() if ": error: " in line]
    first = USE.count("\n") + 1
    for number, (error, said) in enumerate(zip(errors, WRONG.values(), strict=True), first):
        assert error.startswith(f"use.py:{number}: "), done.stdout
        assert said in error
