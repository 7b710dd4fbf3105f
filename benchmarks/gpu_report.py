"""What `benchmarks.gpu` found, as JSON and as tables that a person reads."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.compare import NOT_A_GPU

PARTS = ("cases", "seeding", "uploads", "auto", "peers")
SHOWN_KERNELS = 8
ABOUT = ("name", "compute_capability", "driver", "runtime", "cupy", "kmgpu", "date", "processor")


def write(found: dict[str, Any], stem: Path) -> None:
    """Write both files; what was there under that name is replaced."""
    stem.with_suffix(".json").write_text(json.dumps(found, indent=1) + "\n")
    stem.with_suffix(".md").write_text("\n".join(_lines(found)) + "\n")


def _lines(found: dict[str, Any]) -> Iterator[str]:
    machine = found["machine"]
    yield f"# kmgpu on {machine['name']}"
    if machine["emulated"]:
        yield f"\n**{NOT_A_GPU}**"
    yield "\n" + ", ".join(f"{key} {machine[key]}" for key in ABOUT if key in machine)
    yield from _cases(found["cases"])
    yield from _kernels(found["cases"])
    yield from _open(found["cases"])
    yield from _others(found)
    yield from _peers(found["peers"])
    if found["left_out"]:
        yield "\n## Left out\n"
        yield from (f"- {line}" for line in found["left_out"])


def _cases(cases: list[dict[str, Any]]) -> Iterator[str]:
    """`loss` is the mean cost of some rows by brute force; labels are compared with float64's."""
    yield "\n## Iterations (milliseconds)\n"
    yield from _header(
        "case", "an iteration", "in a fit", "bar", "roofline", "share", "loss", "wrong labels"
    )
    for case in cases:
        least, taken = case["roofline_ms"], case["ms_an_iteration"]
        share = "–" if not least else f"{least / taken:.0%}"
        wrong = f"{case['wrong_labels']} of {case['rows_checked']}"
        if case["predict_differs"]:
            wrong += f"; predict differs in {case['predict_differs']}"
        yield _row(
            case["name"],
            *map(_number, (taken, case["ms_an_iteration_of_a_fit"], case["bar_ms"], least)),
            share,
            f"{case['loss_of_some']:.6g}",
            wrong,
        )
    yield "\nA first fit, compilation and loading of kernels among it: " + "; ".join(
        f"{case['name']} {case['first_fit_ms']:.0f}" for case in cases[:3]
    )


def _kernels(cases: list[dict[str, Any]]) -> Iterator[str]:
    yield "\n## Kernels (milliseconds, launches)\n"
    for case in cases:
        own = case["kernels_ms"]
        rest = case["kernels_in_ms"] - sum(taken for taken, _ in own.values())
        yield f"{case['name']}: {case['kernels_in_ms']:.4g} in all, {rest:.4g} not in our kernels\n"
        yield from _header("kernel", "ms", "launches")
        for name, (taken, count) in list(own.items())[:SHOWN_KERNELS]:
            yield _row(f"`{name}`", _number(taken), count)
        yield ""


def _open(cases: list[dict[str, Any]]) -> Iterator[str]:
    yield "## Rows that a stage leaves open, by assignment\n"
    yield from _header("case", "stage", "shares")
    for case in cases:
        stages = dict.fromkeys(name for shares in case["open_shares"] for name in shares)
        for stage in stages:
            shares = (f"{shares.get(stage, 0):.3%}" for shares in case["open_shares"])
            yield _row(case["name"], f"`{stage}`", ", ".join(shares))


def _others(found: dict[str, Any]) -> Iterator[str]:
    yield "\n## Seeding, uploads, device='auto'\n"
    for seeding in found["seeding"]:
        yield f"- greedy k-means++, {seeding['name']}: {seeding['ms']:.4g} ms"
    for upload in found["uploads"]:
        ways = ((name, rate) for name, rate in upload.items() if name != "bytes")
        told = ", ".join(f"{name} {rate:.3g} GB/s" for name, rate in ways)
        yield f"- from the host, {upload['bytes'] / 1e9:.3g} GB: {told}"
    yield ""
    names = ("cpu", "cpu by estimate", "cuda", "cuda by estimate")
    yield from _header("fit from the host (seconds)", *names)
    for case in found["auto"]:
        yield _row(case["name"], *(_number(case[name]) for name in names))


def _peers(peers: list[dict[str, Any] | None]) -> Iterator[str]:
    yield "\n## Beside peers\n"
    yield from _header("row", "engine", "ms an iteration", "time over ours", "loss over ours")
    for result in filter(None, peers):
        ours = result["engines"][0]
        for engine in result["engines"]:
            name = engine["engine"] + ("" if engine["exact"] else " (approximate)")
            taken, loss = engine["why_not"], "–"
            if engine["median"] is not None:
                taken = _number(1000 * engine["median"] / max(1, engine["n_iter"]))
            if engine["loss"] and ours["loss"]:
                loss = f"{engine['loss'] / ours['loss'] - 1:+.1e}"
            row = f"{result['name']} ({result['loss']})"
            yield _row(row, name, taken, _number(engine["ratio"]), loss)


def _header(*names: str) -> Iterator[str]:
    yield _row(*names)
    yield _row(*("---" for _ in names))


def _row(*cells: Any) -> str:
    return f"| {' | '.join(map(str, cells))} |"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}"
