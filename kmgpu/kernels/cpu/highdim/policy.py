"""When to prune, to screen or to compute all distances, and when to keep those as bounds."""

from functools import cache

import llvmlite.binding as llvm
import numpy as np

# Nanoseconds of a product of floats in a dense pass, and of bytes, on processors that have that.
_FLOATS = {"avx512f": 0.016}
_BYTES = {"avx512vnni": 0.0035, "avx2": 0.0085}
_LEAST_SCORES = 600.0  # nanoseconds a row of scores, below which stored bounds do not pay
_HOPED = 4.0  # distances a row that scores are hoped to leave
LEAST_DENSE = 125.0  # nanoseconds a row of a dense pass, below which bounds do not pay
_STORE_FREELY = 256  # features that make storing bounds cheap against the product


class Policy:
    """Decides from counted shares, never from clocks, so that results repeat.

    `algorithm` is "auto", or "dense" or "elkan" for no bounds or for bounds whatever they cost;
    neither screens.

    Costs are nanoseconds a row of one thread, measured once on one machine; only their ratios
    matter.
    """

    def __init__(self, n_clusters: int, n_features: int, algorithm: str) -> None:
        self._k, self._d, self._algorithm = n_clusters, n_features, algorithm
        self._failures = 0
        self._passed = _HOPED
        self._vain, self._rest = 0, 0
        # initial centres are rows: their first means lie too far from them
        self._pause = 3 if self.screens() else 1

    def stores(self) -> bool:
        """Return whether the next dense pass shall store bounds; pauses grow as they fail."""
        if self._algorithm != "auto":
            return self._algorithm == "elkan"
        stores = self._pause == 0 and self._dense_cost() >= LEAST_DENSE
        if self.screens():
            stores &= self._scores_cost() >= _LEAST_SCORES
        self.skips()
        return stores

    def skips(self) -> None:
        """Note that a dense pass was saved."""
        self._pause = max(0, self._pause - 1)

    def screens(self) -> bool:
        """Return whether scores of bytes, and what they leave, cost less than a dense pass."""
        dense = self._dense_cost()
        cheaper = self._screen_cost() < 0.9 * dense
        return self._algorithm == "auto" and dense >= LEAST_DENSE and cheaper

    def screened(self, passed: float) -> None:
        """Note how many distances a row needed after its scores."""
        self._passed = passed

    def sampled(self, passed: float) -> bool:
        """Note the same of a sample; return whether it pays, and pause ever longer if not."""
        self._passed = passed
        if self.screens():
            return True
        self._vain += 1
        self._rest = 4**self._vain
        return False

    def computed(self) -> None:
        """Note a dense pass."""
        self._rest -= 1
        if self._rest == 0:
            self._passed = _HOPED

    def _screen_cost(self) -> float:
        return self._scores_cost() + self._passed * (20 + 0.14 * self._d)

    def _scores_cost(self) -> float:
        return 30 + 0.2 * self._d + self._k * (0.15 + byte_product() * self._d)

    def _dense_cost(self) -> float:
        return self._k * (0.5 + float_product() * self._d)

    def prunes(self, active: float, passed: float) -> bool:
        """Return whether pruning costs less than a dense pass.

        Takes, for the mean row, the chance that its bounds must be read, and the centres that pass
        them.
        """
        if self._algorithm == "elkan":
            return True
        k, d = self._k, self._d
        pruned = 20 + active * (0.2 * k + 0.15 * d) + passed * (15 + 0.06 * d)
        dense = self._dense_cost()
        # a dense pass renews all bounds, pruning some, scores none
        if pruned < min(0.75 * dense, 1.5 * self._screen_cost() if self.screens() else np.inf):
            self._failures = 0
            return True
        self._failures += 1
        if self.screens():
            self._pause = 4 * self._failures
            return False
        hopeless = pruned > 2 * dense
        base = 2 if d >= _STORE_FREELY else 4
        self._pause = base ** max(0, self._failures if hopeless else self._failures - 1) - 1
        return False


def float_product() -> float:
    """Return what one of a dense pass costs on this processor."""
    return _lowest_cost(_FLOATS, 0.025)


def byte_product() -> float:
    """Return what one of bytes costs on this processor."""
    return _lowest_cost(_BYTES, np.inf)


def _lowest_cost(costs: dict[str, float], elsewhere: float) -> float:
    return min((cost for name, cost in costs.items() if _features().get(name)), default=elsewhere)


@cache
def _features() -> dict[str, bool]:
    return llvm.get_host_cpu_features()
