"""Pictures. Matplotlib is optional and imported only when one is drawn."""

from kmgpu.plotting.clusters import plot_clusters as plot_clusters
from kmgpu.plotting.elbow import plot_elbow as plot_elbow
from kmgpu.plotting.figures import INSTALL_PLOT as INSTALL_PLOT
from kmgpu.plotting.figures import new_figure as new_figure
from kmgpu.plotting.figures import require_matplotlib as require_matplotlib
from kmgpu.plotting.figures import save_figure as save_figure
from kmgpu.plotting.history import draw_history as draw_history
from kmgpu.plotting.history import plot_history as plot_history
from kmgpu.plotting.loss_curve import plot_loss_curve as plot_loss_curve
from kmgpu.plotting.mean_median import animate_mean_vs_median as animate_mean_vs_median
from kmgpu.plotting.mean_median import plot_mean_vs_median as plot_mean_vs_median
from kmgpu.plotting.photo import colours_of as colours_of
from kmgpu.plotting.photo import demo_figure as demo_figure
from kmgpu.plotting.photo import draw_palette as draw_palette
from kmgpu.plotting.photo import quantised as quantised
from kmgpu.plotting.steps import animate as animate
from kmgpu.plotting.steps import plot_steps as plot_steps
