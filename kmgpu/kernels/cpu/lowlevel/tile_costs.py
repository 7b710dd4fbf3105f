"""Distances of a tile of rows to many centres, in vector instructions: Numba intrinsics.

Four centres at a time share what is loaded, and everything between loading a tile and storing its
result stays in registers. What a loop over arrays would say leaves the compiler to prove that no
two of them overlap; this it need not prove, and it compiles in a fraction of the time.
"""

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from kmgpu.kernels.cpu.lowlevel.compiled import cgutils
from kmgpu.kernels.cpu.lowlevel.tiles import INT, WORD, Tile

CENTERS = 4
_PIECE = 32
_FAST = ("nnan", "nsz")
_FUSED = ("contract",)


def costs_to(
    tile: Tile,
    j: Any,
    l1: bool,
    *,
    count: int = CENTERS,
    pieces: bool = False,
    fused: tuple[str, ...] = _FUSED,
) -> list[Any]:
    """Costs of "rows" to `count` of the "centers", from j on.

    A sum over the features, or a sum of such sums (`pieces`), of products that are not rounded
    before they are added (`fused`).
    """
    builder, d = tile.builder, tile.shape("centers", 1)
    zero = ir.Constant(tile.floats, None)
    coordinates = [
        tile.place("centers", builder.mul(builder.add(j, WORD(t)), d)) for t in range(count)
    ]

    def add_up(begin: Any, stop: Any) -> list[Any]:
        sums = [tile.variable(zero) for _ in range(count)]
        # a step that the compiler does not know: unrolled, this needs more registers than there are
        step = builder.asm(ir.FunctionType(WORD, [WORD]), "", "=r,0", [WORD(1)], False)
        with cgutils.for_range_slice(builder, begin, stop, step) as (q, _):
            x = tile.load_rows("rows", tile.line(q))
            for center, total in zip(coordinates, sums, strict=True):
                at = tile.everywhere(builder.load(builder.gep(center, [q])))
                apart = builder.fsub(x, at)
                term = (
                    tile.function("fabs", apart) if l1 else builder.fmul(apart, apart, flags=fused)
                )
                builder.store(builder.fadd(term, builder.load(total), flags=fused), total)
        return [builder.load(total) for total in sums]

    if not pieces:
        return add_up(WORD(0), d)
    totals = [tile.variable(zero) for _ in range(count)]
    with cgutils.for_range_slice(builder, WORD(0), d, WORD(_PIECE)) as (first, _):
        end = builder.add(first, WORD(_PIECE))
        end = builder.select(builder.icmp_signed("<", end, d), end, d)
        for total, part in zip(totals, add_up(first, end), strict=True):
            builder.store(builder.fadd(builder.load(total), part), total)
    return [builder.load(total) for total in totals]


class _Nearest:
    """Nearest and second nearest of the centres that every row of a tile has met in turn."""

    def __init__(self, tile: Tile) -> None:
        self._tile = tile
        self._best, self._second = tile.variable(tile.infinity), tile.variable(tile.infinity)
        self._arg = tile.variable(ir.Constant(tile.ints, None))

    def meet(self, cost: Any, j: Any) -> None:
        builder = self._tile.builder
        best, second, arg = self.found()
        less = builder.fcmp_ordered("<", cost, best, flags=_FAST)
        worse = builder.select(less, best, cost, flags=_FAST)
        here = self._tile.everywhere(builder.trunc(j, INT))
        builder.store(lesser(builder, worse, second), self._second)
        builder.store(builder.select(less, cost, best, flags=_FAST), self._best)
        builder.store(builder.select(less, here, arg), self._arg)

    def found(self) -> tuple[Any, Any, Any]:
        """Costs of the nearest and of the second nearest; and the nearest, the lowest of equals."""
        load = self._tile.builder.load
        return load(self._best), load(self._second), load(self._arg)


def lesser(builder: ir.IRBuilder, a: Any, b: Any) -> Any:
    """The lesser of two vectors free of NaN."""
    return builder.select(builder.fcmp_ordered("<", a, b, flags=_FAST), a, b, flags=_FAST)


def _nearest(
    tile: Tile, l1: bool, *, keep: Callable[[Any, Any], None] | None = None, **how: Any
) -> tuple[Any, Any, Any]:
    """What `_Nearest` finds among "centers"; ``keep(cost, j)`` hears of every one."""
    nearest, builder = _Nearest(tile), tile.builder
    groups = cgutils.for_range_slice(builder, WORD(0), tile.shape("centers", 0), WORD(CENTERS))
    with groups as (j, _):
        for t, cost in enumerate(costs_to(tile, j, l1, **how)):
            center = builder.add(j, WORD(t))
            nearest.meet(cost, center)
            if keep:
                keep(cost, center)
    return nearest.found()


@intrinsic
def nearest_tile(
    typing_context: Any,
    rows: Any,
    centers: Any,
    l1: Any,
    pieces: Any,
    exact: Any,
    up: Any,
    down: Any,
    tiny: Any,
    gap: Any,
    arg: Any,
) -> Any:
    """Nearest centre of every row of a tile, and how much farther the second nearest is.

    Parameters
    ----------
    rows : ndarray of shape (n_features * lanes,), float
    centers : ndarray of shape (k, n_features), float, C-contiguous
        k a multiple of four. Computed in their dtype, which is no narrower than that of rows.
    l1 : None or True
        L2 or L1, by its type.
    pieces : None or True
        By its type: whether a cost is a sum of sums.
    exact : None or True
        By its type: whether costs are those of `exact`, bit for bit (of float64 centres).
    up, down, tiny : float, dtype of centers
    gap : ndarray of shape (lanes,), dtype of centers, written
        ``second * down - nearest * up - tiny``, in distances.
    arg : ndarray of shape (lanes,), int32, written
        The nearest; the lowest of equal ones.
    """
    del typing_context, up, down, tiny
    signature = types.void(rows, centers, l1, pieces, exact, *[centers.dtype] * 3, gap, arg)

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        names = "rows centers l1 pieces exact up down tiny gap arg"
        tile = Tile(names, context, builder, signature, args, centers.dtype)
        is_l1, in_pieces, is_exact = (kind != types.none for kind in signature.args[2:5])
        fused = () if is_exact else _FUSED
        near, far, least = _nearest(tile, is_l1, pieces=in_pieces, fused=fused)
        if not is_l1:
            near, far = (tile.function("sqrt", v) for v in (near, far))
        up, down, tiny = (tile.everywhere(v) for v in args[5:8])
        certain = builder.fsub(builder.fmul(far, down), builder.fmul(near, up))
        tile.store(builder.fsub(certain, tiny), "gap", WORD(0))
        tile.store(least, "arg", WORD(0))
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def costs_tile(
    typing_context: Any, rows: Any, centers: Any, l1: Any, costs: Any, best: Any, arg: Any
) -> Any:
    """Costs of every row of a tile to every centre.

    Parameters
    ----------
    rows, centers, l1
        As in `nearest_tile`.
    costs : ndarray of shape (k * lanes,), dtype of rows, written
        Centre after centre.
    best : ndarray of shape (lanes,), dtype of rows, written
        The least.
    arg : ndarray of shape (lanes,), int32, written
        Whose it is; the lowest of equal ones.
    """
    del typing_context

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        tile = Tile("rows centers l1 costs best arg", context, builder, signature, args)

        def keep(cost: Any, j: Any) -> None:
            tile.store(cost, "costs", tile.line(j))

        is_l1 = signature.args[2] != types.none
        near, _, least = _nearest(tile, is_l1, pieces=True, keep=keep)
        tile.store(near, "best", WORD(0))
        tile.store(least, "arg", WORD(0))
        return context.get_dummy_value()

    return types.void(rows, centers, l1, costs, best, arg), generate


@intrinsic
def least_but(typing_context: Any, costs: Any, first: Any, last: Any, arg: Any, least: Any) -> Any:
    """Least cost of every row to centres first to last - 1, its own left out.

    Parameters
    ----------
    costs : ndarray of shape (k * lanes,), float
    first, last : int
    arg : ndarray of shape (lanes,), int32
        The centre of every row.
    least : ndarray of shape (lanes,), dtype of costs, written
    """
    del typing_context, first, last
    signature = types.void(costs, types.intp, types.intp, arg, least)

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        tile = Tile("costs first last arg least", context, builder, signature, args)
        own = tile.load("arg", WORD(0), tile.ints)
        found = tile.variable(tile.infinity)
        with cgutils.for_range_slice(builder, args[1], args[2], WORD(1)) as (j, _):
            other = builder.icmp_signed("!=", own, tile.everywhere(builder.trunc(j, INT)))
            v = builder.select(other, tile.load("costs", tile.line(j)), tile.infinity)
            builder.store(lesser(builder, v, builder.load(found)), found)
        tile.store(builder.load(found), "least", WORD(0))
        return context.get_dummy_value()

    return signature, generate
