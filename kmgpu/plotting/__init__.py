"""Pictures. Matplotlib is optional and imported only when one is drawn."""

from kmgpu.plotting.curves import plot_elbow, plot_history
from kmgpu.plotting.figures import new_figure, save_figure
from kmgpu.plotting.loss_curve import plot_loss_curve
from kmgpu.plotting.mean_median import animate_mean_vs_median, plot_mean_vs_median
from kmgpu.plotting.steps import animate, plot_clusters, plot_steps

__all__ = [
    "animate",
    "animate_mean_vs_median",
    "new_figure",
    "plot_clusters",
    "plot_elbow",
    "plot_history",
    "plot_loss_curve",
    "plot_mean_vs_median",
    "plot_steps",
    "save_figure",
]
