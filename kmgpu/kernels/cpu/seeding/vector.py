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

# A tile of 4 points by 16 rows keeps its sums in 8 of the 16 registers of 256 bits that most have.
POINTS = 4
TILE = 16
# L1: codes are compared with factors in 128ths of a step.
FRACTION_BITS = 7

_BYTE, _SHORT, _INT = (ir.IntType(bits) for bits in (8, 16, 32))
_BYTES = ir.VectorType(_BYTE, 2 * TILE)
_SHORTS = ir.VectorType(_SHORT, 2 * TILE)
_PRODUCTS = ir.VectorType(_INT, 2 * TILE)
_INTS = ir.VectorType(_INT, TILE)


def _load(builder, base, offset, kind):
    address = builder.inttoptr(builder.add(base, offset), kind.as_pointer())
    return builder.load(address, align=1)


def _load_pair(builder, base, offset):
    """A pair of int16, repeated TILE times."""
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
            product, undefined, ir.Constant(_INTS, list(range(start, 2 * TILE, 2)))
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
        zero = ir.Constant(_INTS, None)
        sums = [cgutils.alloca_once_value(builder, zero) for _ in range(POINTS)]
        with cgutils.for_range(builder, builder.lshr(n_features, word(1))) as loop:
            four = builder.mul(loop.index, word(4))
            line = builder.mul(loop.index, word(2 * TILE))
            shift = ir.Constant(_SHORTS, [FRACTION_BITS if is_l1 else 0] * (2 * TILE))
            x = builder.shl(builder.sext(_load(builder, codes, line, _BYTES), _SHORTS), shift)
            step = _load_pair(builder, steps, four) if is_l1 else None
            for t in range(POINTS):
                line = builder.mul(n_features, word(2 * t))
                factor = _load_pair(builder, factors, builder.add(line, four))
                left, right = x, factor
                if is_l1:
                    left, right = _absolute(builder, builder.sub(x, factor)), step
                total = _add_pair_products(builder, builder.load(sums[t]), left, right)
                builder.store(total, sums[t])
        for t in range(POINTS):
            at = builder.inttoptr(builder.add(out, word(4 * t * ROWS)), _INTS.as_pointer())
            builder.store(builder.load(sums[t]), at, align=4)
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
    codes : (ROWS / TILE, d2 / 2, 2 * TILE) int8
        TILE rows after another: their features in pairs, the two of a row side by side.
        C-contiguous, as all of these.
    factors : (t4, d2) int16
        Of a multiple of POINTS points.
    steps : (d2,) int16
    is_l1 : bool
    out : (t4, ROWS) int32, output
    """
    n_features = np.uintp(factors.shape[1])
    s = np.uintp(steps.ctypes.data)
    for r in range(codes.shape[0]):
        c = np.uintp(codes[r].ctypes.data)
        for t in range(0, factors.shape[0], POINTS):
            f = np.uintp(factors[t].ctypes.data)
            o = np.uintp(out[t].ctypes.data + 4 * TILE * r)
            if is_l1:
                _tile_l1(c, f, s, n_features, o)
            else:
                _tile_l2(c, f, s, n_features, o)
