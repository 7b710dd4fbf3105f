"""A random search for fits that float64 brute force does not confirm.

    python -m tests.search --seconds 60            # with the seed of the day
    python -m tests.search --seed 1 --case 17      # one problem again
    python -m tests.search --only loss=l1,dtype=float16

Prints its seed, a line to repeat every failure with, and how often each kind of failure occurred;
the exit status is 1 if any did.
"""

from __future__ import annotations

import time
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from kmgpu import KMeans, KMedians, kernels
from tests.search.cases import Case, drawn, init_of, laid_out, rows_of, weights_of
from tests.search.checks import CHECKS, Fitted, excused, out_of_range
from tests.support.children import Child, Lost, parser_of

ESTIMATORS = {"l2": KMeans, "l1": KMedians}
SHOWN = 3  # failures of a kind
HANGS = 60  # seconds; kernels are compiled in less
# said where costs leave the range of float64
RANGE_WARNINGS = ("overflow", "underflow", "too small", "too large")


def model_of(case: Case, init: Any, **changes: Any) -> Any:
    """The estimator of a case, not fitted."""
    options: dict[str, Any] = {
        "init": init,
        "n_init": 1,
        "max_iter": case.max_iter,
        "tol": case.tol,
        "random_state": case.n,
        "algorithm": case.algorithm,
        "empty_cluster": case.empty_cluster,
        "memory_budget": case.memory_budget,
    }
    return ESTIMATORS[case.loss](case.k, **(options | changes))


def failures(case: Case, rng: np.random.Generator) -> Iterator[tuple[str, str]]:
    """``(kind, what)`` of everything that is wrong with the fits of a case."""
    x = rows_of(case, rng)
    weight, init = weights_of(case, x, rng), init_of(case, x, rng)
    given = laid_out(x, case)
    beyond = out_of_range(x, init, weight, case.loss)
    model = model_of(case, init)
    with warnings.catch_warnings(record=True) as caught, kernels.use(case.mode):
        warnings.simplefilter("always")
        try:
            model.fit(given, sample_weight=weight)
        except Exception as error:
            if not excused(error, beyond):
                yield f"error {type(error).__name__}", str(error)
            if hasattr(model, "n_features_in_"):
                yield "failed fit left traces", "n_features_in_ is set"
            return
        said = [str(one.message) for one in caught]
        if beyond and any(word in text for text in said for word in RANGE_WARNINGS):
            return
        fit = Fitted(case, x, given, weight, model)
        for name, check in CHECKS.items():
            try:
                wrong = check(fit)
            except Exception as error:
                wrong = f"{type(error).__name__}: {error}"
            if wrong:
                yield name, wrong
        yield from _weights(case, x, weight, init)
        if (laid_out(x, case) != given).sum().sum():
            yield "X was written to", ""
    odd = {f"{one.message}" for one in caught if one.category is not ConvergenceWarning}
    if odd:
        yield "warning", "; ".join(sorted(odd))


def _weights(case: Case, x: np.ndarray, weight: Any, init: Any) -> Iterator[tuple[str, str]]:
    """Equal weights are none, integers are repetition: after one step from given centres."""
    if isinstance(init, str) or case.weights not in ("equal", "integers"):
        return
    once = model_of(case, init, max_iter=1, empty_cluster="keep")
    plain = model_of(case, init, max_iter=1, empty_cluster="keep")
    once.fit(laid_out(x, case), sample_weight=weight)
    repeated = x if case.weights == "equal" else np.repeat(x, weight.astype(int), axis=0)
    if len(repeated) < case.k:
        return
    plain.fit(laid_out(repeated, case))
    ours, theirs = (np.asarray(m.cluster_centers_, np.float64) for m in (once, plain))
    eps = float(np.finfo(np.asarray(once.cluster_centers_).dtype).eps)
    rtol = eps if case.loss == "l1" else 2 * eps
    spread = 0 if case.loss == "l1" else 1e-9 * np.ptp(x.astype(np.float64), axis=0)
    off = np.abs(ours - theirs) > rtol * np.abs(theirs) + spread
    if off.any():
        j, q = np.argwhere(off)[0]
        yield f"{case.weights} weights", f"{ours[j, q]!r} where {theirs[j, q]!r} is right"


def chosen(case: Case, only: str) -> bool:
    """Whether a case is as ``name=value,…`` says."""
    wanted = [part.split("=", 1) for part in only.split(",") if part]
    return all(str(getattr(case, name)) == value for name, value in wanted)


def run(seed: int, number: int) -> tuple[Case, list[tuple[str, str]]]:
    """One numbered case of a seed and all its failures."""
    rng = np.random.default_rng([seed, number])
    case = drawn(rng)
    return case, list(failures(case, rng))


def search(seed: int, seconds: float, only: str) -> int:
    """Run cases for so long; the number that failed."""
    kinds: Counter[str] = Counter()
    first: dict[str, int] = {}
    n_cases = n_failed = 0
    for number, case, found in _results(seed, seconds, only):
        n_cases += 1
        n_failed += bool(found)
        for kind, what in found:
            key = f"{case.loss} {kind}"
            kinds[key] += 1
            first.setdefault(key, number)
            if kinds[key] <= SHOWN:
                print(f"FAILED {key}: {what}\n    {case}")
                print(f"    python -m tests.search --seed {seed} --case {number}", flush=True)
    for key, count in kinds.most_common():
        print(f"{count:5d}  {key:<40} first: --case {first[key]}")
    print(f"{n_failed} of {n_cases} cases failed (seed {seed})")
    return n_failed


def _results(seed: int, seconds: float, only: str) -> Iterator[tuple[int, Case, list[Any]]]:
    """Results of one case after the other."""
    child, end, number = Child(_found, seed), time.monotonic() + seconds, 0
    while time.monotonic() < end:
        case = drawn(np.random.default_rng([seed, number]))
        if chosen(case, only):
            try:
                yield number, case, child.ask(number, HANGS)
            except Lost as lost:
                yield number, case, [lost.args]
        number += 1


def _found(seed: int, number: int) -> list[tuple[str, str]]:
    return run(seed, number)[1]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = parser_of("tests.search", __doc__)
    parser.add_argument("--only", default="", metavar="NAME=VALUE,...", help="cases like these")
    options = parser.parse_args(arguments)
    print(f"seed {options.seed}", flush=True)
    if options.case is None:
        return int(search(options.seed, options.seconds, options.only) > 0)
    case, found = run(options.seed, options.case)
    print(case)
    for kind, what in found:
        print(f"FAILED {case.loss} {kind}: {what}")
    return int(bool(found))
