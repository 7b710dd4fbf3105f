"""Every notebook of examples/ runs to its end, on few rows; what is stored is clean."""

import ast
import importlib
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


def test_notebooks_import_public_names_alone(path):
    code = "\n".join(
        line
        for cell in read(path).cells
        if cell.cell_type == "code"
        for line in cell.source.splitlines()
        if not line.startswith("%")
    )
    imported = [
        (node.module, alias.name)
        for node in ast.walk(ast.parse(code))
        if isinstance(node, ast.ImportFrom) and node.module.split(".")[0] == "kmgpu"
        for alias in node.names
    ]
    assert imported
    for module, name in imported:
        public = importlib.import_module(module).__all__
        assert name in public or (module, name) == ("kmgpu", "plotting"), f"{module}.{name}"


@pytest.mark.parametrize("there", ["wheel", "folder", "nothing"])
def test_the_cloud_notebook_finds_what_it_installs(there, tmp_path, monkeypatch):
    notebook = read(ROOT / "examples" / "cloud_gpu.ipynb")
    tree = ast.parse(notebook.cells[2].source)
    function = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    names = {"Path": Path}
    exec(compile(ast.Module(function, []), "cloud_gpu", "exec"), names)
    beside = tmp_path / "examples"
    beside.mkdir()
    monkeypatch.chdir(beside)
    if there == "wheel":
        (beside / "kmgpu-0.1.0-py3-none-any.whl").touch()
        assert names["source"]() == beside / "kmgpu-0.1.0-py3-none-any.whl"
    elif there == "folder":
        (tmp_path / "kmgpu").mkdir()
        (tmp_path / "kmgpu" / "__init__.py").touch()
        (tmp_path / "pyproject.toml").touch()
        assert names["source"]() == tmp_path
    else:
        with pytest.raises(FileNotFoundError, match="beside this notebook"):
            names["source"]()
