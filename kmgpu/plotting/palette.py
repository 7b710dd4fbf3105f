"""How a cluster looks: a colour and a marker that no other of the first 70 clusters has."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

# Okabe and Ito's colours for all kinds of colour vision (https://jfly.uni-koeln.de/color), less
# black, and wine, indigo and olive of Paul Tol's muted scheme (https://sronpersonalpages.nl/~pault),
# in the order that keeps the first seven, and any two of one marker, furthest apart
COLOURS = ["#0072b2", "#d55e00", "#f0e442", "#56b4e9", "#882255", "#332288", "#cc79a7"]
COLOURS += ["#e69f00", "#009e73", "#999933"]
# 7 markers and 10 colours have no common factor: 70 pairs before the first repeats
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
NO_CLUSTER = "#8c8c8c"
TINT = 0.82


class Look(NamedTuple):
    """The colour and the marker of a cluster's points and centre."""

    colour: str
    marker: str


def look(cluster: int) -> Look:
    """The look of the cluster of that index."""
    return Look(COLOURS[cluster % len(COLOURS)], MARKERS[cluster % len(MARKERS)])


def rgb(colour: str) -> np.ndarray:
    """The three channels of a ``#rrggbb`` colour, in [0, 1]."""
    return np.array([int(colour[at : at + 2], 16) for at in (1, 3, 5)]) / 255


def tints(n_clusters: int) -> np.ndarray:
    """The light background of every cluster's region, (n_clusters, 3) in [0, 1]."""
    colours = np.array([rgb(look(cluster).colour) for cluster in range(n_clusters)])
    return TINT + (1 - TINT) * colours
