"""Results as a table and as JSON."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from math import exp, log
from pathlib import Path
from typing import Any

from benchmarks.engines import OUR_PREFIX
from benchmarks.rounds import Outcome, Task, ratio

HEADER = f"{'':20s}{'seconds':>10s}{'ratio':>9s}{'iter':>6s}{'loss':>11s}{'first':>9s}"
LAST_COLUMNS = {"cpu": f"{'peak':>9s}", "cuda": f"{'ms/iter':>10s}{'roofline':>9s}"}
SUMMARY = (
    f"{'row':24s}{'best exact peer':>20s}{'seconds':>10s}{'ours':>10s}{'ratio':>9s}{'loss':>11s}"
)


@dataclass
class Result:
    """The outcomes of one task; the first is ours.

    `least_seconds` is the roofline of one iteration, None where it is unknown.
    """

    section: str
    task: Task
    shape: tuple[int, ...]
    n_iter: int
    outcomes: list[Outcome]
    least_seconds: float | None = None

    @property
    def name(self) -> str:
        """The row, and what else tells it from the others of its section."""
        suffix = {"predict": " predict", "default": " default"}.get(self.task.do, "")
        suffix += f" t={self.task.n_threads}" if self.section == "threads" else ""
        return self.task.row.name + suffix

    @property
    def ours(self) -> Outcome:
        return self.outcomes[0]

    @property
    def best(self) -> Outcome | None:
        """The fastest exact peer."""
        timed = [
            o for o in self.outcomes[1:]
            if o.exact and o.seconds and not o.engine.startswith(OUR_PREFIX)
        ]  # fmt: skip
        return min(timed, key=lambda o: o.median or 0.0, default=None)

    @property
    def ratio(self) -> float | None:
        return ratio(self.best, self.ours) if self.best else None

    def loss_difference(self, outcome: Outcome) -> float | None:
        """Relative to the first exact peer that ran all iterations: dense Lloyd where present."""
        peers = [o for o in self.outcomes[1:] if o.exact and o.loss and not o.scaled]
        if not peers or outcome.loss is None or outcome.scaled:
            return None
        reference = next((o for o in peers if not o.engine.startswith(OUR_PREFIX)), peers[0])
        assert reference.loss is not None
        return outcome.loss / reference.loss - 1

    def roofline_share(self, outcome: Outcome) -> float | None:
        """The least time an iteration can take over the time that one took."""
        if self.least_seconds is None or outcome.median is None:
            return None
        return self.least_seconds * outcome.n_iter / outcome.median

    def record(self) -> dict[str, Any]:
        return {
            "section": self.section,
            "name": self.name,
            "loss": self.task.loss,
            "device": self.task.device,
            "n_samples": self.shape[0],
            "n_features": self.shape[1],
            "n_clusters": self.task.row.n_clusters,
            "n_iter": self.n_iter,
            "n_threads": self.task.n_threads,
            "best_exact_peer": self.best.engine if self.best else None,
            "ratio": self.ratio,
            "loss_difference": self.loss_difference(self.ours),
            "engines": [
                asdict(o)
                | {"median": o.median, "ratio": ratio(o, self.ours)}
                | {"roofline_share": self.roofline_share(o)}
                for o in self.outcomes
            ],
        }


def block(result: Result) -> str:
    """Every engine on one task."""
    n, d = result.shape
    title = (
        f"\n{result.name} ({result.task.loss}): {n:,} × {d}, k={result.task.row.n_clusters}, "
        f"{result.task.n_threads} thread(s)"
    )
    header = HEADER + LAST_COLUMNS[result.task.device]
    return "\n".join([title, header, *(_line(result, o) for o in result.outcomes)])


def _line(result: Result, outcome: Outcome) -> str:
    if outcome.why_not is not None:
        return f"{outcome.engine:20s}  absent: {outcome.why_not}"
    marks = {"approximate": not outcome.exact, outcome.note: bool(outcome.note)}
    marks["scaled"] = outcome.scaled
    marks["one call"] = len(outcome.seconds) == 1 and not outcome.scaled
    return (
        f"{outcome.engine:20s}{_number(outcome.median, '10.4g')}"
        f"{_number(ratio(outcome, result.ours), '9.2f')}{outcome.n_iter:6d}"
        f"{_number(result.loss_difference(outcome), '+11.1e')}"
        f"{_number(outcome.first_extra, '+9.2f')}{_last_columns(result, outcome)}"
        f"  {', '.join(mark for mark, true in marks.items() if true)}"
    ).rstrip()


def _last_columns(result: Result, outcome: Outcome) -> str:
    if result.task.device == "cpu":
        return _number(None if outcome.memory is None else outcome.memory / 1e6, "9.0f")
    a_step = outcome.median and 1000 * outcome.median / max(1, outcome.n_iter)
    return _number(a_step, "10.4g") + _number(result.roofline_share(outcome), "9.0%")


def _number(value: float | None, form: str) -> str:
    width = int(form.lstrip("+").partition(".")[0])
    return f"{'–':>{width}s}" if value is None else f"{value:{form}}"


def summary(results: list[Result]) -> str:
    """One line a task, and the geometric mean of the ratios."""
    lines = ["", SUMMARY]
    for result in results:
        best = result.best
        lines.append(
            f"{f'{result.name} ({result.task.loss})':24s}{best.engine if best else '–':>20s}"
            f"{_number(best.median if best else None, '10.4g')}"
            f"{_number(result.ours.median, '10.4g')}{_number(result.ratio, '9.2f')}"
            f"{_number(result.loss_difference(result.ours), '+11.1e')}"
        )
    mean = geometric_mean(results)
    if mean is not None:
        lines.append(f"{'geometric mean':64s}{mean:9.2f}")
    return "\n".join(lines)


def geometric_mean(results: list[Result]) -> float | None:
    """Of the ratios there are."""
    logs = [log(result.ratio) for result in results if result.ratio]
    return exp(sum(logs) / len(logs)) if logs else None


def write_json(results: list[Result], machine: dict[str, str], path: Path) -> None:
    """Everything measured, with the machine it was measured on."""
    content = {
        "machine": machine,
        "geometric_mean": geometric_mean(results),
        "results": [result.record() for result in results],
    }
    path.write_text(json.dumps(content, indent=1) + "\n")
