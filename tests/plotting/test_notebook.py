"""What a notebook shows: estimators, progress bars, tables and pictures, in a real kernel."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import kmgpu
from kmgpu import KMeans, KMedians

PACKAGE = str(Path(kmgpu.__file__).parents[1])
CELLS = [
    f"import sys; sys.path.insert(0, {PACKAGE!r})",
    "import numpy as np\n"
    "from kmgpu import KMeans, plotting, sweep\n"
    "X = np.random.default_rng(0).normal(size=(50, 2))",
    "KMeans(2, random_state=0, progress=True).fit(X)",
    "sweep(X, [2, 3, 4], random_state=0, progress=True)",
    "plotting.plot_loss_curve(X[:, 0], 'l1')",
]


@pytest.mark.parametrize("estimator", [KMeans, KMedians])
def test_an_estimator_shows_scikit_learns_html(estimator):
    fitted = estimator(3, random_state=7).fit(np.arange(12.0)[:, None])
    for model in (estimator(3, random_state=7), fitted):
        bundle = model._repr_mimebundle_()
        html = bundle["text/html"]
        assert "sk-top-container" in html
        assert "sk-top-container" in model._repr_html_()
        assert estimator.__name__ in html
        for value in ("n_clusters", "random_state", ">3<", ">7<"):
            assert value in html
        assert bundle["text/plain"] == f"{estimator.__name__}(n_clusters=3, random_state=7)"
    assert ">Fitted<" in fitted._repr_html_()
    assert ">Not fitted<" in estimator()._repr_html_()
    html = make_pipeline(StandardScaler(), estimator(2))._repr_html_()
    assert "StandardScaler" in html
    assert estimator.__name__ in html


@pytest.fixture(scope="module")
def outputs():
    """What every cell showed: media types -> data, one dict an output."""
    nbclient = pytest.importorskip("nbclient")
    nbformat = pytest.importorskip("nbformat")
    for needed in ("ipykernel", "ipywidgets", "matplotlib"):
        pytest.importorskip(needed)
    cells = [nbformat.v4.new_code_cell(source) for source in CELLS]
    notebook = nbformat.v4.new_notebook(cells=cells)
    nbclient.NotebookClient(notebook, timeout=300, kernel_name="python3").execute()
    return [[output.get("data", output) for output in cell.outputs] for cell in notebook.cells]


@pytest.mark.slow
def test_progress_bars_are_widgets(outputs):
    for shown in outputs[2:4]:
        assert "application/vnd.jupyter.widget-view+json" in shown[0]
        assert "name" not in shown[0], f"a bar of text on {shown[0].get('name')}"


@pytest.mark.slow
def test_the_value_of_a_cell_is_shown(outputs):
    assert "<style>" in outputs[2][-1]["text/html"]
    assert outputs[3][-1]["text/html"].startswith("<table>")
    assert "knee" in outputs[3][-1]["text/plain"]
    assert outputs[4][-1]["image/png"]
