"""Pictures of README.md and of the site; ``python docs/pictures.py`` draws those kept in git."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from kmgpu import demo, kernels, plotting, sweep
from kmgpu.plotting.examples import load_example

DOCS = Path(__file__).parent
STEPS = {"init": "random", "random_state": 3}


def ratios() -> None:
    """The last column of benchmarks.csv as bars, ratios.png."""
    with (DOCS / "benchmarks.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    figure = plotting.new_figure(8, 3)
    axes = figure.subplots()
    bars = axes.barh(
        [row["data"] for row in rows], [float(row["ratio"]) for row in rows], color="#0072b2"
    )
    axes.bar_label(bars, [f"{row['ratio']}×" for row in rows], padding=3)
    axes.axvline(1, color="black", linewidth=1)
    axes.invert_yaxis()
    axes.margins(x=0.1)
    figure.suptitle("The fastest exact peer takes so many times as long as kmgpu", fontsize=12)
    axes.set_xlabel("the same iterations on 2 cores of an AMD EPYC (Zen 5), float32, 2026-11-26")
    plotting.save_figure(figure, DOCS / "ratios.png")


def hero() -> None:
    """What ``kmgpu demo`` draws, demo.jpg."""
    photo = demo.load_photo()
    fits, _ = demo.fit_colours(photo, device="cpu", progress=False)
    figure = demo.demo_figure(photo, fits)
    figure.savefig(DOCS / "demo.jpg", dpi=120, pil_kwargs={"quality": 85})


def moving() -> None:
    """k-means step by step, steps.gif."""
    film = plotting.animate(load_example("blobs"), 5, max_frames=16, **STEPS)
    film.save(DOCS / "steps.gif")


def site(folder: Path) -> None:
    """Draw what the pages of the site show; the reference computes, so nothing is compiled."""
    folder.mkdir(exist_ok=True)
    blobs, x = load_example("blobs"), np.array([1.0, 2, 3, 4, 10])
    with kernels.use("reference"):
        figures = {
            "steps": plotting.plot_steps(blobs, 5, m=4, **STEPS),
            "loss_l2": plotting.plot_loss_curve(x, "l2"),
            "loss_l1": plotting.plot_loss_curve(x, "l1"),
            "elbow": plotting.plot_elbow(sweep(blobs, range(1, 11), random_state=0)),
        }
    for name, figure in figures.items():
        plotting.save_figure(figure, folder / f"{name}.png")


if __name__ == "__main__":
    ratios()
    hero()
    moving()
