"""Which pass comes next: pruned, screened or dense; and whether a dense pass stores bounds."""

from functools import cache

import llvmlite.binding as llvm
import numpy as np

# nanoseconds of a product of floats, and of bytes, on processors with these instructions
_FLOATS = {"avx512f": 0.021}
_BYTES = {"avx512vnni": 0.0069, "avx2": 0.02}
# distances a row that byte scores leave, before any have been counted
_HOPED = 4.0
# nanoseconds of a row in a dense pass, below which neither bounds nor a sketch pay
LEAST_DENSE = 250.0
# the same, below which a sketch beats stored bounds
_LEAST_STORED = 4000.0
# features from which storing bounds costs little beside the product
_STORE_FREELY = 256


class Policy:
    """Decides from counts, never from clocks, so that results repeat.

    Costs are nanoseconds a row on one thread, measured once on one machine; only their ratios
    matter.

    Parameters
    ----------
    n_clusters, n_features : int
    algorithm : {"auto", "dense", "elkan"}
        "dense": dense passes only. "elkan": stored bounds always. Neither screens.
    """

    def __init__(self, n_clusters: int, n_features: int, algorithm: str) -> None:
        self._k, self._d, self._algorithm = n_clusters, n_features, algorithm
        self._failures = 0
        self._passed = _HOPED
        self._vain, self._rest = 0, 0
        # centres jump in the first iteration, so bounds stored before it are useless
        self._pause = 3 if self.screens() else 1

    def stores(self) -> bool:
        """Return whether the next dense pass stores bounds; not in the pause after a failure."""
        if self._algorithm != "auto":
            return self._algorithm == "elkan"
        least = _LEAST_STORED if self.screens() else LEAST_DENSE
        stores = self._pause == 0 and self._dense_cost() >= least
        self.skips()
        return stores

    def skips(self) -> None:
        """Note an iteration without a dense pass."""
        self._pause = max(0, self._pause - 1)

    def screens(self) -> bool:
        """Return whether byte scores, and measuring what they leave, beat a dense pass."""
        dense = self._dense_cost()
        # what byte scores leave falls from one iteration to the next
        cheaper = self._screen_cost() < 1.1 * dense
        return self._algorithm == "auto" and dense >= LEAST_DENSE and cheaper

    def screened(self, passed: float) -> None:
        """Note how many distances a row needed after its byte scores."""
        self._passed = passed

    def sampled(self, passed: float) -> bool:
        """Note the same of a sample; return whether screening pays. Each failure pauses longer."""
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
        return self._byte_scores_cost() + self._passed * (100 + 0.11 * self._d)

    def _byte_scores_cost(self) -> float:
        return 180 + 0.91 * self._d + self._k * (0.23 + byte_product() * self._d)

    def _dense_cost(self) -> float:
        return 58 + 0.84 * self._d + self._k * (0.78 + float_product() * self._d)

    def prunes(self, active: float, passed: float) -> bool:
        """Return whether pruning costs less than another pass.

        Parameters
        ----------
        active : float
            Share of rows whose bounds must be read.
        passed : float
            Centres a row that its bounds leave open.
        """
        if self._algorithm == "elkan":
            return True
        k, d = self._k, self._d
        pruned = 110 + active * (0.59 * k + 1.8 * d) + passed * (46 + 0.044 * d)
        dense = self._dense_cost()
        # margins: a dense pass renews all bounds, a pruned one some, a screened one none
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
    """Return the nanoseconds of a product of floats on this processor."""
    return _lowest_cost(_FLOATS, 0.029)


def byte_product() -> float:
    """Return the nanoseconds of a product of bytes on this processor."""
    return _lowest_cost(_BYTES, np.inf)


def _lowest_cost(costs: dict[str, float], elsewhere: float) -> float:
    return min((cost for name, cost in costs.items() if _features().get(name)), default=elsewhere)


@cache
def _features() -> dict[str, bool]:
    return llvm.get_host_cpu_features()
