"""What seeding does with a tile of rows: Numba intrinsics made of vector instructions.

float32 rows may meet float64 points: all is then computed in float64.
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from kmgpu.kernels.cpu.lowlevel.compiled import cgutils
from kmgpu.kernels.cpu.lowlevel.intrinsics import INT32, INT64, lesser_of
from kmgpu.kernels.cpu.lowlevel.tile_costs import CENTERS, FUSED, costs_to
from kmgpu.kernels.cpu.lowlevel.tiles import Tile


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
    rows : ndarray of shape (n_features * lanes,), float32 or float64
    points : ndarray of shape (t, n_features), float32 or float64
        t is at most 32. No narrower than rows.
    l1 : None or True
        See `lowlevel.tile_costs`.
    present, weight : ndarrays of shape (at least lanes,), dtype of points
        Costs of rows so far, and their weights.
    shrink, tiny : floats of the dtype of points
    wins : ndarray of shape (at least lanes,), uint32, written
        Bit t is set if ``shrink * cost at point t <= present + tiny``.
    gains : ndarray of shape (t * lanes,), dtype of points
        ``weight * max(present - cost, 0)`` is added.
    """
    del typing_context, shrink, tiny
    scalar = points.dtype
    signature = types.void(rows, points, l1, present, weight, scalar, scalar, wins, gains)

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        names = "rows centers l1 present weight shrink tiny wins gains"
        tile = Tile(names, context, builder, signature, args, computing=scalar)
        squared, n_points = signature.args[2] == types.none, tile.shape("centers", 0)
        present, weight = tile.load("present", INT64(0)), tile.load("weight", INT64(0))
        shrink, tiny = tile.everywhere(args[5]), tile.everywhere(args[6])
        reach = builder.fadd(present, tiny)
        none = ir.Constant(tile.floats, None)
        won = tile.variable(ir.Constant(tile.ints, None))

        def meet(j: Any, count: int) -> None:
            for t, cost in enumerate(costs_to(tile, j, squared, count=count)):
                trial = builder.add(j, INT64(t))
                near = builder.fcmp_ordered("<=", builder.fmul(cost, shrink), reach)
                bit = tile.everywhere(builder.shl(INT32(1), builder.trunc(trial, INT32)))
                bits = builder.select(near, bit, ir.Constant(tile.ints, None))
                builder.store(builder.or_(builder.load(won), bits), won)
                less = builder.fsub(present, cost)
                gain = builder.select(builder.fcmp_ordered(">", less, none), less, none)
                at = tile.line(trial)
                gain = builder.fmul(gain, weight, flags=FUSED)
                tile.store(builder.fadd(gain, tile.load("gains", at), flags=FUSED), "gains", at)

        # one or two sums alone would wait for their additions: they join the last four
        left = builder.and_(n_points, INT64(CENTERS - 1))
        fours = builder.sub(n_points, left)
        joins = builder.icmp_unsigned("<", left, INT64(3))
        joins = builder.and_(joins, builder.icmp_signed(">=", fours, INT64(CENTERS)))
        done = builder.select(joins, builder.sub(fours, INT64(CENTERS)), fours)
        with cgutils.for_range_slice(builder, INT64(0), done, INT64(CENTERS)) as (j, _):
            meet(j, CENTERS)
        rest = builder.sub(n_points, done)
        for count in range(1, CENTERS + 3):
            with builder.if_then(builder.icmp_signed("==", rest, INT64(count))):
                meet(done, count)
        tile.store(builder.load(won), "wins", INT64(0))
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
    """Lower the costs of a tile of rows to those at a point, where these are less.

    Parameters
    ----------
    rows, l1
        As in `gains_tile`.
    point : ndarray of shape (1, n_features), float64
    closest : ndarray of shape (at least lanes,), float64, updated
    fresh : bool
        Whether `closest` holds no costs yet.
    """
    del typing_context, fresh
    signature = types.void(rows, point, l1, closest, types.boolean)

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        names = "rows centers l1 closest fresh"
        tile = Tile(names, context, builder, signature, args, computing=point.dtype)
        squared = signature.args[2] == types.none
        (cost,) = costs_to(tile, INT64(0), squared, count=1)
        lower = lesser_of(builder, cost, tile.load("closest", INT64(0)))
        tile.store(builder.select(args[4], cost, lower), "closest", INT64(0))
        return context.get_dummy_value()

    return signature, generate
