"""What an iteration takes at least on cards that nobody has timed: from operations and bytes.

    python -m benchmarks.paper                    # every bar, every card
    python -m benchmarks.paper --card H200

prints, for each kernel of an iteration, the milliseconds that its busiest resource needs at its
peak rate, and which one that is; registers and shared memory are those of NVRTC's compilation for
the card, where it is installed. No kernel is run and none reaches a peak: these are lower bounds,
to be replaced by what `python -m benchmarks.gpu` measures. Kernels that this checkout does not have
show no registers: their rows are the design's.

Instructions are counted in the machine code for sm_90 (float32 rows, unit strides), as NVRTC 13.5
makes it. Shares of rows that stay open are simulated: the larger ones, of an early iteration.
"""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, NamedTuple

from kmgpu.kernels import cuda
from kmgpu.kernels.cuda import differences, screen

LAUNCH_MS = 0.003  # between two kernels of one stream, an estimate
SELECTED_BITS = 8  # of a key, by one read of the data, without weights
# of all rows: what one product of halves leaves open, what three, what absolute differences
OPEN = {"tensor": 0.02, "split": 0.002, "screen": 0.14, "float32": 0.0004}


class Card(NamedTuple):
    """A GPU: data sheets, and CUDA's programming guide for the rates.

    Rates are those of a multiprocessor in a clock: instructions of threads (those of `half` take
    two numbers), and multiply-adds of halves with float32 sums on tensor cores.
    """

    arch: str
    processors: int
    clock: float  # GHz, boost
    bandwidth: float  # GB/s
    issue: int
    single: int
    half: int
    double: int
    tensor: int


CARDS = {
    "H200": Card("sm_90", 132, 1.98, 4800, 128, 128, 128, 64, 2048),
    "H100": Card("sm_90", 132, 1.98, 3350, 128, 128, 128, 64, 2048),
    "T4": Card("sm_75", 40, 1.59, 320, 128, 64, 64, 2, 512),
    "RTX 4090": Card("sm_89", 128, 2.52, 1008, 128, 128, 64, 2, 256),
}


@dataclass(frozen=True)
class Work:
    """What a kernel does in one iteration, over all threads.

    Attributes
    ----------
    kernel : str
        The beginning of its name expression.
    issue, single, half, double, tensor : float
        Instructions of any kind; of them those of float32, of pairs of halves and of float64;
        multiply-adds on tensor cores.
    moved : float
        Bytes from and to the memory of the card.
    """

    kernel: str
    issue: float = 0
    single: float = 0
    half: float = 0
    double: float = 0
    tensor: float = 0
    moved: float = 0

    def limits(self, card: Card) -> dict[str, float]:
        """Milliseconds by resource."""
        clocks = card.processors * card.clock * 1e6
        rates = {
            name: getattr(card, name) for name in ("issue", "single", "half", "double", "tensor")
        }
        found = {name: getattr(self, name) / rate / clocks for name, rate in rates.items()}
        return {**found, "memory": self.moved / card.bandwidth / 1e6}


class Bar(NamedTuple):
    """What issue 14 asks of an H200."""

    loss: str
    n: int
    d: int
    k: int
    most: float  # ms an iteration


BARS = (
    Bar("l2", 1_000_000, 128, 1000, 2.0),
    Bar("l2", 10_000_000, 32, 256, 2.5),
    Bar("l2", 1_000_000, 768, 4096, 25),
    Bar("l2", 100_000_000, 8, 64, 8),
    Bar("l1", 1_000_000, 128, 1000, 11),
)


def up(number: int, unit: int) -> int:
    """The next multiple of `unit`."""
    return -(-number // unit) * unit


def tensor(bar: Bar, card: Card) -> Iterator[Work]:
    """Squared distances on tensor cores: one product, then three for the rows left open."""
    del card
    n, k, width = bar.n, up(bar.k, 64), max(16, up(bar.d, 16))
    kernel = f"nearest_tensor<float, {width}, " if width <= 256 else "nearest_wide<float, "
    for share, products, split in ((1.0, 1, "false"), (OPEN["tensor"], 3, "true")):
        scores = share * n * k
        multiplied = scores * width * products
        yield Work(
            kernel + split,
            issue=5 * scores + multiplied / 64,
            tensor=multiplied,
            moved=share * n * (4 * bar.d + 8),
        )
    yield settle(bar, OPEN["split"])


def settle(bar: Bar, share: float) -> Work:
    """Open rows by the costs that decide: all centres in float32, few in float64."""
    pairs = share * bar.n * bar.k * bar.d
    name = "Manhattan" if bar.loss == "l1" else "Squared"
    return Work(
        f"settle<float, {name}",
        issue=5.5 * pairs,
        single=3 * pairs,
        moved=share * bar.n * 4 * bar.d,
    )


def by_differences(bar: Bar, share: float = 1) -> Work:
    """`kmgpu.kernels.cuda.differences` on a share of the rows."""
    n, name = share * bar.n, "Manhattan" if bar.loss == "l1" else "Squared"
    moved = n * (4 * bar.d + 12)
    if bar.d <= max(differences.NARROW):
        width = min(width for width in differences.NARROW if width >= bar.d)
        scores = n * up(bar.k, 4)
        issue = scores * (2 * width + 6.25) + 12 * n * bar.d
        return Work(
            f"nearest_narrow<float, {name}, {width},", issue, 2 * scores * width, moved=moved
        )
    scores = n * up(bar.k, differences.WIDE[1])
    features = up(bar.d, 4)
    issue = scores * (features * (2.09 + 0.17) + 6.2)
    return Work(
        f"nearest_tiled<float, {name}, {differences.WIDE[0]}",
        issue,
        2 * scores * features,
        moved=moved,
    )


def by_halves(bar: Bar) -> Work:
    """`kmgpu.kernels.cuda.screen`."""
    scores, features = bar.n * up(bar.k, screen.SHAPE[1]), up(bar.d, 4)
    return Work(
        "nearest_screened<float",
        issue=scores * (features * (0.875 + 0.13) + 7.1),
        half=0.75 * scores * features,
        tensor=8 * scores * features / 2,  # a fragment's 16 x 8 x 16 adds up 32 x 4 pairs
        moved=bar.n * (4 * bar.d + 12),
    )


def absolute(bar: Bar, card: Card) -> Iterator[Work]:
    """Absolute differences: halves where the card is fast at them, else float32 alone."""
    if int(card.arch[3:]) in screen.CAPABILITIES:
        yield by_halves(bar)
        yield by_differences(bar, OPEN["screen"])
    else:
        yield by_differences(bar)
    yield Work("list_open<Manhattan", moved=12.0 * bar.n)
    yield settle(bar, OPEN["float32"])


def grouping(bar: Bar) -> Iterator[Work]:
    """A stable counting sort of the labels."""
    yield Work("count_labels<false", issue=30.0 * bar.n, moved=8.0 * bar.n)
    yield Work("add_counts<")
    yield Work("place_rows<false", issue=30.0 * bar.n, moved=12.0 * bar.n)


def means(bar: Bar) -> Iterator[Work]:
    """Means and losses by one read."""
    numbers = bar.n * bar.d
    read = 4.0 * numbers + 8.0 * bar.n
    yield Work("sum_chunks<float, false", issue=10 * numbers, double=4 * numbers, moved=read)
    yield Work("finish_means<float, false", moved=8.0 * bar.k * bar.d)


def medians(bar: Bar) -> Iterator[Work]:
    """Medians by selection, a read for each digit; losses by one more."""
    numbers, digits = bar.n * bar.d, 32 // SELECTED_BITS
    order = 8.0 * bar.n * -(-bar.d // 32)
    read = 4.0 * numbers + order
    yield Work("count_digits<float, false", issue=12 * digits * numbers, moved=digits * read)
    yield Work("add_losses<float, false", issue=8 * numbers, double=4 * numbers, moved=read)


def preparing(bar: Bar, card: Card) -> Iterator[Work]:
    """The centres as rankings read them; little beside the launches."""
    numbers = bar.k * bar.d
    name = "Manhattan" if bar.loss == "l1" else "Squared"
    yield Work("choose_origin<float", moved=8.0 * numbers)
    yield Work(f"shift_centers<float, {name}", moved=12.0 * numbers)
    if bar.loss == "l2":
        yield Work("pack_centers<float", moved=12.0 * numbers)
    elif int(card.arch[3:]) in screen.CAPABILITIES:
        yield Work("pack_halves<", moved=6.0 * numbers)


def iteration(bar: Bar, card: Card) -> list[Work]:
    """Every kernel of one iteration."""
    rank: Callable[[Bar, Card], Iterator[Work]] = tensor if bar.loss == "l2" else absolute
    refit = means if bar.loss == "l2" else medians
    return [*preparing(bar, card), *rank(bar, card), *grouping(bar), *refit(bar)]


def compiled(kernels: Sequence[str], arch: str) -> dict[str, Any]:
    """What NVRTC makes of the kernels that this checkout has, by the names given."""
    try:
        nvrtc = importlib.import_module("tests.gpuless.nvrtc")
        nvrtc.nvrtc_library()
    except RuntimeError:
        return {}
    found = {}
    for source in cuda.SOURCES:
        named = zip(source.name_expressions, source.threads, strict=True)
        wanted = {
            name: (full, threads)
            for full, threads in named
            for name in kernels
            if full.startswith(name)
        }
        if wanted:
            names, threads = zip(*wanted.values(), strict=True)
            chosen = source._replace(name_expressions=names, threads=threads)
            rows, _ = nvrtc.check(files(cuda), [chosen], [arch])
            found.update(zip(wanted, rows, strict=True))
    return found


def table(bar: Bar, name: str) -> Iterator[str]:
    """Lines of text for one bar on one card."""
    card = CARDS[name]
    works = iteration(bar, card)
    known = compiled([work.kernel for work in works], card.arch)
    total = LAUNCH_MS * len(works)
    yield f"{name}: {bar.loss}, {bar.n:,} x {bar.d}, k={bar.k}"
    built = f"{'registers':>9} {'shared':>7} {'occupancy':>9}"
    yield f"  {'kernel':<40} {'ms':>8}  {'bound by':<8} {built}"
    for work in works:
        limits = work.limits(card)
        bound = max(limits, key=lambda resource: limits[resource])
        total += limits[bound]
        row = known.get(work.kernel)
        built = f"{row.registers:>9} {row.shared:>7} {row.occupancy:>9.0%}" if row else f"{'-':>9}"
        yield f"  {work.kernel:<40} {limits[bound]:8.3f}  {bound:<8} {built}"
    asked = f", the bar is {bar.most:g}" if name == "H200" else ""
    yield f"  {'in all, launches among it':<40} {total:8.3f}{asked}"


def main(argv: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--card", choices=CARDS, nargs="+", default=list(CARDS))
    args = parser.parse_args(argv)
    for name in args.card:
        for bar in BARS:
            print(*table(bar, name), "", sep="\n")


if __name__ == "__main__":
    main()
