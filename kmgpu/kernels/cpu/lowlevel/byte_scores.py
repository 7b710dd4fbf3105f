"""Byte scores: sums over the features of rows and points that are stored as small integers.

Rows are codes of one byte a feature, points are factors (see `seeding.sketch` for what a score
proves). Features go in feature groups, whose factors fill four bytes: four features for L2, two for
L1. A tile is 16 rows here, and feature group lies after feature group.

The vector code is written out because LLVM does not find it: a sum of four products of bytes is one
instruction where the processor has AVX-512 VNNI (vpdpbusd), three on AVX2 (vpmaddubsw, vpmaddwd and
an addition), and generic code elsewhere. Sums of two products of int16 (L1) LLVM does find.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import llvmlite.binding as llvm
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from kmgpu.kernels.cpu.lowlevel.compiled import cgutils, njit
from kmgpu.kernels.cpu.lowlevel.intrinsics import INT8, INT16, INT32, fetch, splat

POINTS = 4  # that share the loaded codes
TILE = 16  # rows
# L2: vpmaddubsw adds two products in int16, so codes go from 0 to 127. SHIFT makes them so; the
# starts of the sums take it off again.
SHIFT = 64
MOST_CODE, MOST_FACTOR = 63, 127
# L1: codes are compared with factors in 128ths of a code.
MOST_CODE_L1 = 127
FRACTION_BITS = 7

# LLVM needs its assembler also where machine code comes out of the cache
llvm.initialize_native_asmparser()

Builder = Any
Value = Any
# (builder, total, codes, factor, quantum) -> the total after one feature group
Accumulate = Callable[[Builder, Value, Value, Value, Value], Value]


def feature_group_size(squared: bool) -> int:
    """Features of a feature group: their factors fill four bytes."""
    return 4 if squared else 2


def _load(builder: Builder, base: Value, offset: Value, kind: Any) -> Value:
    address = builder.inttoptr(builder.add(base, offset), kind.as_pointer())
    return builder.load(address, align=1)


def _load_everywhere(builder: Builder, base: Value, offset: Value, lanes: int) -> Value:
    """Four bytes in every lane."""
    return splat(builder, _load(builder, base, offset, INT32), lanes)


def _add_neighbours(builder: Builder, x: Value) -> Value:
    half = x.type.count // 2
    even, odd = (
        builder.shuffle_vector(
            x,
            ir.Constant(x.type, ir.Undefined),
            ir.Constant(ir.VectorType(INT32, half), list(range(start, 2 * half, 2))),
        )
        for start in (0, 1)
    )
    return builder.add(even, odd)


def _add_pair_products(builder: Builder, total: Value, x: Value, y: Value) -> Value:
    """Total (L,) int32 plus the sums of neighbouring products of x and y, (2 L,) int16."""
    kind = ir.VectorType(INT32, 2 * total.type.count)
    product = builder.mul(builder.sext(x, kind), builder.sext(y, kind))
    return builder.add(total, _add_neighbours(builder, product))


def _instruction(builder: Builder, text: str, kind: Any, constraints: str, *args: Value) -> Value:
    function = ir.FunctionType(kind, [arg.type for arg in args])
    return builder.asm(function, text, constraints, args, False)


def _products_vnni(builder, total, codes, factor, quantum):
    del quantum
    text = "vpdpbusd $3, $2, $0"
    return _instruction(builder, text, total.type, "=v,0,v,v", total, codes, factor)


def _products_avx2(builder, total, codes, factor, quantum):
    del quantum
    shorts = ir.VectorType(INT16, 2 * total.type.count)
    text = "vpmaddubsw $2, $1, $0"
    pairs = _instruction(builder, text, shorts, "=x,x,x", codes, factor)
    ones = ir.Constant(shorts, [1] * shorts.count)
    text = "vpmaddwd $2, $1, $0"
    return builder.add(total, _instruction(builder, text, total.type, "=x,x,x", pairs, ones))


def _products_anywhere(builder, total, codes, factor, quantum):
    del quantum
    kinds = [ir.VectorType(kind, 4 * total.type.count) for kind in (INT8, INT16, INT32)]
    x, y = (
        builder.sext(builder.sext(builder.bitcast(part, kinds[0]), kinds[1]), kinds[2])
        for part in (codes, factor)
    )
    pairs = _add_neighbours(builder, builder.mul(x, y))
    return builder.add(total, _add_neighbours(builder, pairs))


def _differences(builder, total, codes, factor, quantum):
    shorts = ir.VectorType(INT16, 2 * total.type.count)
    shift = ir.Constant(shorts, [FRACTION_BITS] * shorts.count)
    zero = ir.Constant(shorts, None)
    known = builder.shl(builder.sext(codes, shorts), shift)
    apart = builder.sub(known, builder.bitcast(factor, shorts))
    negative = builder.icmp_signed("<", apart, zero)
    apart = builder.select(negative, builder.sub(zero, apart), apart)
    return _add_pair_products(builder, total, apart, builder.bitcast(quantum, shorts))


def _way(features: str, squared: bool) -> tuple[int, Accumulate]:
    """Lanes of a vector, and what accumulates, on a processor with those features (LLVM's names).

    Two vectors by POINTS points leave half of the registers for everything else.
    """
    wide = "+avx512bw" in features
    if not squared:
        return (16 if wide else 8), _differences
    if wide and "+avx512vnni" in features:
        return 16, _products_vnni
    return 8, _products_avx2 if "+avx2" in features else _products_anywhere


def _tile_function(squared: bool, *, fetches: bool) -> Callable[..., Any]:
    """Make the intrinsic (codes, factors, quanta, start, n_feature_groups, out, width).

    It writes the byte scores of two tiles at POINTS points. Arrays are given by their addresses;
    `width` is the length of a row of `out`. With `fetches` it also asks for the cache lines of the
    next two tiles: those are two streams, too far apart for the processor to foresee.
    """
    size = feature_group_size(squared)

    def codegen(context, builder, signature, args):
        codes, factors, quanta, start, n_feature_groups, out, width = args
        lanes, accumulate = _way(context.codegen().magic_tuple()[2], squared)
        uintp = codes.type
        sums_kind = ir.VectorType(INT32, lanes)
        codes_kind = sums_kind if squared else ir.VectorType(INT8, lanes * size)
        line = uintp(TILE * size)
        stride = builder.mul(n_feature_groups, uintp(2 * TILE * size))
        begin = [_load_everywhere(builder, start, uintp(4 * t), lanes) for t in range(POINTS)]
        for part in range(0, 2 * TILE, 2 * lanes):
            firsts = (part, part + lanes)
            tiles = [
                builder.mul(n_feature_groups, builder.mul(line, uintp(r // TILE))) for r in firsts
            ]
            sums = [[cgutils.alloca_once_value(builder, b) for _ in firsts] for b in begin]
            with cgutils.for_range(builder, n_feature_groups) as loop:
                at, four = builder.mul(loop.index, line), builder.shl(loop.index, uintp(2))
                places = [
                    builder.add(builder.add(tile, at), uintp(r % TILE * size))
                    for tile, r in zip(tiles, firsts, strict=True)
                ]
                known = [_load(builder, codes, place, codes_kind) for place in places]
                for place in places if fetches else ():
                    fetch(builder, builder.add(codes, builder.add(place, stride)))
                quantum = None if squared else _load_everywhere(builder, quanta, four, lanes)
                for t in range(POINTS):
                    place = builder.add(builder.mul(n_feature_groups, uintp(4 * t)), four)
                    factor = _load_everywhere(builder, factors, place, lanes)
                    for total, x in zip(sums[t], known, strict=True):
                        new = accumulate(builder, builder.load(total), x, factor, quantum)
                        builder.store(new, total)
            for t in range(POINTS):
                row = builder.add(out, builder.mul(width, uintp(4 * t)))
                for total, r in zip(sums[t], firsts, strict=True):
                    place = builder.add(row, uintp(4 * r))
                    address = builder.inttoptr(place, sums_kind.as_pointer())
                    builder.store(builder.load(total), address, align=4)
        return context.get_dummy_value()

    def typed(typing_context, codes, factors, quanta, start, n_feature_groups, out, width):
        return types.void(*[types.uintp] * 7), codegen

    return intrinsic(typed)


_tiles_l1 = _tile_function(False, fetches=True)
_first_tiles_l2 = _tile_function(True, fetches=True)
_tiles_l2 = _tile_function(True, fetches=False)


@njit(nogil=True, cache=True)
def byte_scores(codes, factors, starts, quanta, squared, out):
    """Sums of ``(code - SHIFT) * factor`` (L2), or of ``quantum * |128 * code - factor|`` (L1).

    Sums must fit in int32, and ``128 * code - factor`` in int16. Arrays are C-contiguous.

    Parameters
    ----------
    codes : ndarray of shape (n_tiles, g, feature_group_size * TILE), int8
        n_tiles is even, g is the number of feature groups; in one of them the features of a row lie
        side by side. L2: from 0 to 127.
    factors : ndarray of shape (t, 4 g), int8
        t is a multiple of POINTS. L1: the bytes of int16. L2: from -MOST_FACTOR to MOST_FACTOR.
    starts : ndarray of shape (t,), int32
        What sums begin with: 0 (L1), or ``-SHIFT`` times the sum of the factors (L2).
    quanta : ndarray of shape (2 g,), int16
        Used for L1 only.
    squared : bool
        L2, or else L1.
    out : ndarray of shape (t, TILE * n_tiles), int32, written
    """
    n_feature_groups = np.uintp(codes.shape[1])
    s = np.uintp(quanta.ctypes.data)
    b = np.uintp(starts.ctypes.data)
    width = np.uintp(out.shape[1])
    for r in range(0, codes.shape[0], 2):
        c = np.uintp(codes[r].ctypes.data)
        for t in range(0, factors.shape[0], POINTS):
            f = np.uintp(factors[t].ctypes.data)
            o = np.uintp(out[t].ctypes.data + 4 * TILE * r)
            if not squared:
                _tiles_l1(c, f, s, b + np.uintp(4 * t), n_feature_groups, o, width)
            elif t == 0:
                _first_tiles_l2(c, f, s, b, n_feature_groups, o, width)
            else:
                _tiles_l2(c, f, s, b + np.uintp(4 * t), n_feature_groups, o, width)
