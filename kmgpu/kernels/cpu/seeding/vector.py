"""Integer scores of a block of rows, in vector code written out because LLVM does not find it.

The instructions are LLVM's generic ones on vectors, so any processor runs them. Sums of two
neighbouring int16 products are the pattern that LLVM turns into one instruction on x86: pmaddwd,
or vpdpwssd with the addition.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from kmgpu.kernels.cpu.compiled import njit
from kmgpu.kernels.cpu.seeding.blocks import ROWS

# A tile of 4 points by 64 rows keeps its sums in 16 registers of 512 bits.
POINTS = 4
_LANES = 16
_GROUPS = 4
# L1: codes are compared with factors in 128ths of a step.
FRACTION_BITS = 7

_BYTE, _SHORT, _INT = (ir.IntType(bits) for bits in (8, 16, 32))
_BYTES = ir.VectorType(_BYTE, 2 * _LANES)
_SHORTS = ir.VectorType(_SHORT, 2 * _LANES)
_PRODUCTS = ir.VectorType(_INT, 2 * _LANES)
_INTS = ir.VectorType(_INT, _LANES)


def _load(builder, base, offset, kind):
    address = builder.inttoptr(builder.add(base, offset), kind.as_pointer())
    return builder.load(address, align=1)


def _load_pair(builder, base, offset):
    """A pair of int16, repeated _LANES times."""
    undefined = ir.Constant(_INTS, ir.Undefined)
    pair = builder.insert_element(undefined, _load(builder, base, offset, _INT), _INT(0))
    return builder.bitcast(
        builder.shuffle_vector(pair, undefined, ir.Constant(_INTS, None)), _SHORTS
    )


def _add_pair_products(builder, total, x, y):
    """Total (L,) int32 plus the sums of neighbouring products of x and y (2 L,) int16."""
    product = builder.mul(builder.sext(x, _PRODUCTS), builder.sext(y, _PRODUCTS))
    undefined = ir.Constant(_PRODUCTS, ir.Undefined)
    even, odd = (
        builder.shuffle_vector(
            product, undefined, ir.Constant(_INTS, list(range(start, 2 * _LANES, 2)))
        )
        for start in (0, 1)
    )
    return builder.add(total, builder.add(even, odd))


def _absolute(builder, x):
    zero = ir.Constant(_SHORTS, None)
    return builder.select(builder.icmp_signed("<", x, zero), builder.sub(zero, x), x)


def _tile_function(is_l1: bool) -> Callable:
    """Intrinsic (codes, factors, steps, n_features, out): addresses, features padded to pairs."""

    def codegen(context, builder, signature, args):
        codes, factors, steps, n_features, out = args
        word = codes.type
        sums = [
            [cgutils.alloca_once(builder, _INTS) for _ in range(_GROUPS)] for _ in range(POINTS)
        ]
        for line in sums:
            for total in line:
                builder.store(ir.Constant(_INTS, None), total)
        with cgutils.for_range(builder, builder.lshr(n_features, word(1))) as loop:
            four = builder.mul(loop.index, word(4))
            lines = builder.mul(loop.index, word(2 * ROWS))
            shift = ir.Constant(_SHORTS, [FRACTION_BITS if is_l1 else 0] * (2 * _LANES))
            x = [
                builder.shl(builder.sext(_load(builder, codes, at, _BYTES), _SHORTS), shift)
                for at in (builder.add(lines, word(2 * _LANES * g)) for g in range(_GROUPS))
            ]
            step = _load_pair(builder, steps, four) if is_l1 else None
            for t in range(POINTS):
                line = builder.mul(n_features, word(2 * t))
                factor = _load_pair(builder, factors, builder.add(line, four))
                for g in range(_GROUPS):
                    left, right = x[g], factor
                    if is_l1:
                        left, right = _absolute(builder, builder.sub(x[g], factor)), step
                    total = builder.load(sums[t][g])
                    total = _add_pair_products(builder, total, left, right)
                    builder.store(total, sums[t][g])
        for t in range(POINTS):
            for g in range(_GROUPS):
                at = builder.add(out, word(4 * (t * ROWS + g * _LANES)))
                at = builder.inttoptr(at, _INTS.as_pointer())
                builder.store(builder.load(sums[t][g]), at, align=4)
        return context.get_dummy_value()

    def typed(typing_context, codes, factors, steps, n_features, out):
        return types.void(*[types.uintp] * 5), codegen

    return intrinsic(typed)


_tile_l1 = _tile_function(True)
_tile_l2 = _tile_function(False)


@njit(nogil=True, cache=True)
def integer_scores(codes, factors, steps, is_l1, out):
    """Sums of code * factor (L2), or of step * abs(128 * code - factor) (L1), over features.

    Sums must fit in int32, and 128 * code - factor in int16.

    Parameters
    ----------
    codes : (d2 / 2, 2 * ROWS) int8
        Features in pairs, the two of a row side by side; C-contiguous, as all of these.
    factors : (t4, d2) int16
        Of a multiple of POINTS points.
    steps : (d2,) int16
    is_l1 : bool
    out : (t4, ROWS) int32, output
    """
    n_features = np.uintp(factors.shape[1])
    for t in range(0, factors.shape[0], POINTS):
        f = np.uintp(factors[t].ctypes.data)
        for r in range(0, ROWS, _LANES * _GROUPS):
            c = np.uintp(codes.ctypes.data + 2 * r)
            s = np.uintp(steps.ctypes.data)
            o = np.uintp(out[t].ctypes.data + 4 * r)
            if is_l1:
                _tile_l1(c, f, s, n_features, o)
            else:
                _tile_l2(c, f, s, n_features, o)
