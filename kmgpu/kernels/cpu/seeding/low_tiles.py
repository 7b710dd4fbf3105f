"""What seeding does with a tile of rows, in vector instructions: Numba intrinsics.

Rows of float32 are read as they are and computed with in the precision of the points.
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from kmgpu.kernels.cpu.lowlevel.compiled import cgutils
from kmgpu.kernels.cpu.lowlevel.tile_costs import CENTERS, costs_to, lesser
from kmgpu.kernels.cpu.lowlevel.tiles import INT, WORD, Tile

_FUSED = ("contract",)


@intrinsic
def gains_tile(
    typing_context: Any,
    rows: Any,
    points: Any,
    l1: Any,
    present: Any,
    weight: Any,
    shrink: Any,
    tiny: Any,
    wins: Any,
    gains: Any,
) -> Any:
    """Which points win rows of a tile, and what they gain by it.

    Parameters
    ----------
    rows : ndarray of shape (n_features * lanes,), float
    points : ndarray of shape (t, n_features), float; t at most 32
    l1 : None or True
        L2 or L1, by its type.
    present, weight : ndarrays of shape (at least lanes,), dtype of points
        Costs of rows, and their weights.
    shrink, tiny : floats of the dtype of points
    wins : ndarray of shape (at least lanes,), uint32, written
        Bit t: ``shrink * cost at point t <= present + tiny``.
    gains : ndarray of shape (t * lanes,), dtype of points
        ``weight * max(present - cost, 0)`` is added.
    """
    del typing_context, shrink, tiny
    scalar = points.dtype
    signature = types.void(rows, points, l1, present, weight, scalar, scalar, wins, gains)

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        names = "rows centers l1 present weight shrink tiny wins gains"
        tile = Tile(names, context, builder, signature, args, computing=scalar)
        is_l1, n_points = signature.args[2] != types.none, tile.shape("centers", 0)
        present, weight = tile.load("present", WORD(0)), tile.load("weight", WORD(0))
        shrink, tiny = tile.everywhere(args[5]), tile.everywhere(args[6])
        reach = builder.fadd(present, tiny)
        none = ir.Constant(tile.floats, None)
        won = tile.variable(ir.Constant(tile.ints, None))

        def meet(j: Any, count: int) -> None:
            for t, cost in enumerate(costs_to(tile, j, is_l1, count=count)):
                trial = builder.add(j, WORD(t))
                near = builder.fcmp_ordered("<=", builder.fmul(cost, shrink), reach)
                bit = tile.everywhere(builder.shl(INT(1), builder.trunc(trial, INT)))
                bits = builder.select(near, bit, ir.Constant(tile.ints, None))
                builder.store(builder.or_(builder.load(won), bits), won)
                less = builder.fsub(present, cost)
                gain = builder.select(builder.fcmp_ordered(">", less, none), less, none)
                at = tile.line(trial)
                gain = builder.fmul(gain, weight, flags=_FUSED)
                tile.store(builder.fadd(gain, tile.load("gains", at), flags=_FUSED), "gains", at)

        # few sums at a time wait for each other: one or two that are left join the last four
        left = builder.and_(n_points, WORD(CENTERS - 1))
        fours = builder.sub(n_points, left)
        joins = builder.icmp_unsigned("<", left, WORD(3))
        joins = builder.and_(joins, builder.icmp_signed(">=", fours, WORD(CENTERS)))
        done = builder.select(joins, builder.sub(fours, WORD(CENTERS)), fours)
        with cgutils.for_range_slice(builder, WORD(0), done, WORD(CENTERS)) as (j, _):
            meet(j, CENTERS)
        rest = builder.sub(n_points, done)
        for count in range(1, CENTERS + 3):
            with builder.if_then(builder.icmp_signed("==", rest, WORD(count))):
                meet(done, count)
        tile.store(builder.load(won), "wins", WORD(0))
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def lower_tile(
    typing_context: Any,
    rows: Any,
    point: Any,
    l1: Any,
    closest: Any,
    fresh: Any,
) -> Any:
    """Lower the costs of a tile of rows to those at a point.

    Parameters
    ----------
    rows, l1
        As in `gains_tile`.
    point : ndarray of shape (1, n_features), float64
    closest : ndarray of shape (at least lanes,), float64, updated
    fresh : bool
        Whether it holds no costs yet.
    """
    del typing_context, fresh
    signature = types.void(rows, point, l1, closest, types.boolean)

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        names = "rows centers l1 closest fresh"
        tile = Tile(names, context, builder, signature, args, computing=point.dtype)
        is_l1 = signature.args[2] != types.none
        (cost,) = costs_to(tile, WORD(0), is_l1, count=1)
        lower = lesser(builder, cost, tile.load("closest", WORD(0)))
        tile.store(builder.select(args[4], cost, lower), "closest", WORD(0))
        return context.get_dummy_value()

    return signature, generate
