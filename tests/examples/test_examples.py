"""Every notebook of examples/ runs to its end, on few rows; what is stored is clean."""

import os
from pathlib import Path

import nbclient
import nbformat
import pytest

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "examples").glob("*.ipynb"))
# how the notebooks that are made for large data are told to take few
FEW_ROWS = "4000"
LARGEST = 2 << 20
# of whoever ran it last
TRACES = ("/home/", "/root/", "/Users/", "/tmp/", "site-packages", "Traceback")


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def path(request):
    return request.param


def read(path):
    return nbformat.read(path, as_version=4)


def test_there_is_one_for_the_cloud():
    assert "cloud_gpu" in [path.stem for path in NOTEBOOKS]


@pytest.mark.slow
def test_a_notebook_runs_to_its_end(path, monkeypatch, tmp_path):
    """On the CPU alone, in an empty folder."""
    monkeypatch.setenv("KMGPU_EXAMPLE_ROWS", FEW_ROWS)
    before = os.environ.get("PYTHONPATH")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), *([before] if before else [])]))
    notebook = read(path)
    client = nbclient.NotebookClient(
        notebook,
        timeout=600,
        kernel_name="python3",
        resources={"metadata": {"path": str(tmp_path)}},
    )
    client.execute()
    shown = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    assert any("image/png" in output.get("data", {}) for output in shown), "no picture"


def test_what_is_stored_is_small_and_tells_nothing_of_a_machine(path):
    text = path.read_text(encoding="utf-8")
    assert len(text) < LARGEST
    assert not [trace for trace in TRACES if trace in text]
    nbformat.validate(read(path))


def test_the_cloud_notebook_is_stored_without_outputs():
    """Its times are those of whoever runs it."""
    notebook = read(ROOT / "examples" / "cloud_gpu.ipynb")
    assert not [cell for cell in notebook.cells if cell.get("outputs")]
