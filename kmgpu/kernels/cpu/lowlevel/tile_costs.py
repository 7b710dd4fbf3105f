"""Costs of a tile of rows at many centres: Numba intrinsics made of vector instructions.

Four centres at a time share the loaded rows, and everything between loading a tile and storing its
result stays in registers. Numba's loops over arrays would not do: LLVM would first have to prove
that no two arrays overlap, and would compile several times longer.

The loss is an argument named `l1`: None for squared Euclidean costs, True for Manhattan costs. Its
value does not matter, its type does: Numba compiles one version for None and one for a bool, each
without a branch on the loss. `l1_of` makes it from the boolean `squared` that all else uses. In the
same way `pieces` and `exact` are None for no and True for yes.
"""

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from kmgpu.kernels.cpu.lowlevel.compiled import cgutils
from kmgpu.kernels.cpu.lowlevel.intrinsics import INT32, INT64, lesser_of
from kmgpu.kernels.cpu.lowlevel.tiles import Tile

CENTERS = 4  # that share the loaded rows
FUSED = ("contract",)
_PIECE = 32  # features of one sum
_FAST = ("nnan", "nsz")


def l1_of(squared: bool) -> bool | None:
    """The argument `l1` of the intrinsics; see the module's docstring."""
    return None if squared else True


def costs_to(
    tile: Tile,
    j: Any,
    squared: bool,
    *,
    count: int = CENTERS,
    pieces: bool = False,
    fused: tuple[str, ...] = FUSED,
) -> list[Any]:
    """Emit the costs of "rows" at the `count` centres from j on, one vector each.

    A cost is one sum over the features or, if `pieces`, a sum of sums of 32 features each. Squares
    are added without being rounded first, unless `fused` is empty.
    """
    builder, d = tile.builder, tile.shape("centers", 1)
    zero = ir.Constant(tile.floats, None)
    coordinates = [
        tile.place("centers", builder.mul(builder.add(j, INT64(t)), d)) for t in range(count)
    ]

    def add_up(begin: Any, stop: Any) -> list[Any]:
        sums = [tile.variable(zero) for _ in range(count)]
        # LLVM cannot see this step: it would unroll the loop until registers run out
        step = builder.asm(ir.FunctionType(INT64, [INT64]), "", "=r,0", [INT64(1)], False)
        with cgutils.for_range_slice(builder, begin, stop, step) as (q, _):
            x = tile.load_rows("rows", tile.line(q))
            for center, total in zip(coordinates, sums, strict=True):
                at = tile.everywhere(builder.load(builder.gep(center, [q])))
                apart = builder.fsub(x, at)
                term = (
                    builder.fmul(apart, apart, flags=fused)
                    if squared
                    else tile.function("fabs", apart)
                )
                builder.store(builder.fadd(term, builder.load(total), flags=fused), total)
        return [builder.load(total) for total in sums]

    if not pieces:
        return add_up(INT64(0), d)
    totals = [tile.variable(zero) for _ in range(count)]
    with cgutils.for_range_slice(builder, INT64(0), d, INT64(_PIECE)) as (first, _):
        end = builder.add(first, INT64(_PIECE))
        end = builder.select(builder.icmp_signed("<", end, d), end, d)
        for total, part in zip(totals, add_up(first, end), strict=True):
            builder.store(builder.fadd(builder.load(total), part), total)
    return [builder.load(total) for total in totals]


class _Nearest:
    """Keeps, for every row of a tile, the nearest and second nearest of the centres met so far."""

    def __init__(self, tile: Tile) -> None:
        self._tile = tile
        self._best, self._second = tile.variable(tile.infinity), tile.variable(tile.infinity)
        self._arg = tile.variable(ir.Constant(tile.ints, None))

    def meet(self, cost: Any, j: Any) -> None:
        builder = self._tile.builder
        best, second, arg = self.found()
        less = builder.fcmp_ordered("<", cost, best, flags=_FAST)
        worse = builder.select(less, best, cost, flags=_FAST)
        here = self._tile.everywhere(builder.trunc(j, INT32))
        builder.store(lesser_of(builder, worse, second), self._second)
        builder.store(builder.select(less, cost, best, flags=_FAST), self._best)
        builder.store(builder.select(less, here, arg), self._arg)

    def found(self) -> tuple[Any, Any, Any]:
        """Costs of the nearest and of the second nearest; and the nearest, the lowest of equals."""
        load = self._tile.builder.load
        return load(self._best), load(self._second), load(self._arg)


def _nearest(
    tile: Tile, squared: bool, *, keep: Callable[[Any, Any], None] | None = None, **how: Any
) -> tuple[Any, Any, Any]:
    """Emit the search of all "centers": `_Nearest.found`. ``keep(cost, j)`` is told every cost."""
    nearest, builder = _Nearest(tile), tile.builder
    fours = cgutils.for_range_slice(builder, INT64(0), tile.shape("centers", 0), INT64(CENTERS))
    with fours as (j, _):
        for t, cost in enumerate(costs_to(tile, j, squared, **how)):
            center = builder.add(j, INT64(t))
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
    rows : ndarray of shape (n_features * lanes,), float32 or float64
    centers : ndarray of shape (k, n_features), float32 or float64, C-contiguous
        k is a multiple of four. Costs are computed in this dtype, no narrower than that of rows.
    l1 : None or True
        None: squared Euclidean costs; True: Manhattan costs.
    pieces : None or True
        True: a cost is a sum of sums of 32 features.
    exact : None or True
        True: costs are those of `exact.exact_cost`, bit for bit (float64 centres).
    up, down, tiny : float, dtype of centers
    gap : ndarray of shape (lanes,), dtype of centers, written
        ``second * down - nearest * up - tiny``, in distances.
    arg : ndarray of shape (lanes,), int32, written
        The nearest; the lowest index of equal ones.
    """
    del typing_context, up, down, tiny
    signature = types.void(rows, centers, l1, pieces, exact, *[centers.dtype] * 3, gap, arg)

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        names = "rows centers l1 pieces exact up down tiny gap arg"
        tile = Tile(names, context, builder, signature, args, centers.dtype)
        squared = signature.args[2] == types.none
        in_pieces, is_exact = (kind != types.none for kind in signature.args[3:5])
        fused = () if is_exact else FUSED
        near, far, least = _nearest(tile, squared, pieces=in_pieces, fused=fused)
        if squared:
            near, far = (tile.function("sqrt", v) for v in (near, far))
        up, down, tiny = (tile.everywhere(v) for v in args[5:8])
        certain = builder.fsub(builder.fmul(far, down), builder.fmul(near, up))
        tile.store(builder.fsub(certain, tiny), "gap", INT64(0))
        tile.store(least, "arg", INT64(0))
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def costs_tile(
    typing_context: Any, rows: Any, centers: Any, l1: Any, costs: Any, best: Any, arg: Any
) -> Any:
    """Costs of every row of a tile at every centre.

    Parameters
    ----------
    rows, centers, l1
        As in `nearest_tile`.
    costs : ndarray of shape (k * lanes,), dtype of rows, written
        Centre after centre.
    best : ndarray of shape (lanes,), dtype of rows, written
        The least cost of every row.
    arg : ndarray of shape (lanes,), int32, written
        The centre of that cost; the lowest index of equal ones.
    """
    del typing_context

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        tile = Tile("rows centers l1 costs best arg", context, builder, signature, args)

        def keep(cost: Any, j: Any) -> None:
            tile.store(cost, "costs", tile.line(j))

        squared = signature.args[2] == types.none
        near, _, least = _nearest(tile, squared, pieces=True, keep=keep)
        tile.store(near, "best", INT64(0))
        tile.store(least, "arg", INT64(0))
        return context.get_dummy_value()

    return types.void(rows, centers, l1, costs, best, arg), generate


@intrinsic
def least_but(typing_context: Any, costs: Any, first: Any, last: Any, arg: Any, least: Any) -> Any:
    """Least cost of every row at centres first to last - 1, its own centre left out.

    Parameters
    ----------
    costs : ndarray of shape (k * lanes,), float32 or float64
        As `costs_tile` writes them.
    first, last : int
    arg : ndarray of shape (lanes,), int32
        The centre of every row.
    least : ndarray of shape (lanes,), dtype of costs, written
    """
    del typing_context, first, last
    signature = types.void(costs, types.intp, types.intp, arg, least)

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        tile = Tile("costs first last arg least", context, builder, signature, args)
        own = tile.load("arg", INT64(0), tile.ints)
        found = tile.variable(tile.infinity)
        with cgutils.for_range_slice(builder, args[1], args[2], INT64(1)) as (j, _):
            other = builder.icmp_signed("!=", own, tile.everywhere(builder.trunc(j, INT32)))
            v = builder.select(other, tile.load("costs", tile.line(j)), tile.infinity)
            builder.store(lesser_of(builder, v, builder.load(found)), found)
        tile.store(builder.load(found), "least", INT64(0))
        return context.get_dummy_value()

    return signature, generate
