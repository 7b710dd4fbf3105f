"""Integer scores of a block of rows, in vector code written out because LLVM does not find it.

Sums of four products of bytes are one instruction where the processor has AVX-512 VNNI (vpdpbusd),
three on AVX2 (vpmaddubsw, vpmaddwd and the addition), and elsewhere what LLVM makes of generic
ones. Sums of two products of int16 (L1) are a pattern that LLVM does find.
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
from kmgpu.kernels.cpu.lowlevel.intrinsics import fetch

POINTS = 4
TILE = 16
# L2: vpmaddubsw adds two products of codes from 0 to 127 and factors in int16. What is added to
# codes to make them so is taken off again: `start`.
SHIFT = 64
MOST_CODE, MOST_FACTOR = 63, 127
# L1: codes are compared with factors in 128ths of a step.
MOST_CODE_L1 = 127
FRACTION_BITS = 7

# LLVM assembles the instructions where it makes machine code, also of what is out of the cache.
llvm.initialize_native_asmparser()

_BYTE, _SHORT, _INT = (ir.IntType(bits) for bits in (8, 16, 32))

Builder = Any
Value = Any
# (builder, total, codes, factor, step): the total and what a group of features adds to it.
Accumulate = Callable[[Builder, Value, Value, Value, Value], Value]


def features_a_group(is_l1: bool) -> int:
    """How many features of a row lie side by side: as many as their factors fill four bytes."""
    return 2 if is_l1 else 4


def _load(builder: Builder, base: Value, offset: Value, kind: Any) -> Value:
    address = builder.inttoptr(builder.add(base, offset), kind.as_pointer())
    return builder.load(address, align=1)


def _load_everywhere(builder: Builder, base: Value, offset: Value, lanes: int) -> Value:
    """Four bytes in every lane."""
    kind = ir.VectorType(_INT, lanes)
    undefined = ir.Constant(kind, ir.Undefined)
    one = builder.insert_element(undefined, _load(builder, base, offset, _INT), _INT(0))
    return builder.shuffle_vector(one, undefined, ir.Constant(kind, None))


def _add_neighbours(builder: Builder, x: Value) -> Value:
    half = x.type.count // 2
    even, odd = (
        builder.shuffle_vector(
            x,
            ir.Constant(x.type, ir.Undefined),
            ir.Constant(ir.VectorType(_INT, half), list(range(start, 2 * half, 2))),
        )
        for start in (0, 1)
    )
    return builder.add(even, odd)


def _add_pair_products(builder: Builder, total: Value, x: Value, y: Value) -> Value:
    """Total (L,) int32 plus the sums of neighbouring products of x and y (2 L,) int16."""
    kind = ir.VectorType(_INT, 2 * total.type.count)
    product = builder.mul(builder.sext(x, kind), builder.sext(y, kind))
    return builder.add(total, _add_neighbours(builder, product))


def _instruction(builder: Builder, text: str, kind: Any, constraints: str, *args: Value) -> Value:
    function = ir.FunctionType(kind, [arg.type for arg in args])
    return builder.asm(function, text, constraints, args, False)


def _products_vnni(builder, total, codes, factor, step):
    del step
    text = "vpdpbusd $3, $2, $0"
    return _instruction(builder, text, total.type, "=v,0,v,v", total, codes, factor)


def _products_avx2(builder, total, codes, factor, step):
    del step
    shorts = ir.VectorType(_SHORT, 2 * total.type.count)
    text = "vpmaddubsw $2, $1, $0"
    pairs = _instruction(builder, text, shorts, "=x,x,x", codes, factor)
    ones = ir.Constant(shorts, [1] * shorts.count)
    text = "vpmaddwd $2, $1, $0"
    return builder.add(total, _instruction(builder, text, total.type, "=x,x,x", pairs, ones))


def _products_anywhere(builder, total, codes, factor, step):
    del step
    kinds = [ir.VectorType(kind, 4 * total.type.count) for kind in (_BYTE, _SHORT, _INT)]
    x, y = (
        builder.sext(builder.sext(builder.bitcast(part, kinds[0]), kinds[1]), kinds[2])
        for part in (codes, factor)
    )
    pairs = _add_neighbours(builder, builder.mul(x, y))
    return builder.add(total, _add_neighbours(builder, pairs))


def _differences(builder, total, codes, factor, step):
    shorts = ir.VectorType(_SHORT, 2 * total.type.count)
    shift = ir.Constant(shorts, [FRACTION_BITS] * shorts.count)
    zero = ir.Constant(shorts, None)
    known = builder.shl(builder.sext(codes, shorts), shift)
    apart = builder.sub(known, builder.bitcast(factor, shorts))
    negative = builder.icmp_signed("<", apart, zero)
    apart = builder.select(negative, builder.sub(zero, apart), apart)
    return _add_pair_products(builder, total, apart, builder.bitcast(step, shorts))


def _way(features: str, is_l1: bool) -> tuple[int, Accumulate]:
    """Lanes of a vector, and what accumulates, for a processor with those features of LLVM's.

    Two vectors by POINTS points leave half of the registers for everything else.
    """
    wide = "+avx512bw" in features
    if is_l1:
        return (16 if wide else 8), _differences
    if wide and "+avx512vnni" in features:
        return 16, _products_vnni
    return 8, _products_avx2 if "+avx2" in features else _products_anywhere


def _tile_function(is_l1: bool, *, fetches: bool) -> Callable[..., Any]:
    """Intrinsic (codes, factors, steps, start, n_groups, out, width): POINTS by two tiles.

    Arrays are given by their addresses; `fetches`: the two tiles that follow are two streams far
    apart, and on their way into the cache meanwhile; `width` is the length of a row of `out`.
    """
    group = features_a_group(is_l1)

    def codegen(context, builder, signature, args):
        codes, factors, steps, start, n_groups, out, width = args
        lanes, accumulate = _way(context.codegen().magic_tuple()[2], is_l1)
        word = codes.type
        sums_kind = ir.VectorType(_INT, lanes)
        codes_kind = ir.VectorType(_BYTE, lanes * group) if is_l1 else sums_kind
        line = word(TILE * group)
        stride = builder.mul(n_groups, word(2 * TILE * group))
        begin = [_load_everywhere(builder, start, word(4 * t), lanes) for t in range(POINTS)]
        for part in range(0, 2 * TILE, 2 * lanes):
            firsts = (part, part + lanes)
            tiles = [builder.mul(n_groups, builder.mul(line, word(r // TILE))) for r in firsts]
            sums = [[cgutils.alloca_once_value(builder, b) for _ in firsts] for b in begin]
            with cgutils.for_range(builder, n_groups) as loop:
                at, four = builder.mul(loop.index, line), builder.shl(loop.index, word(2))
                places = [
                    builder.add(builder.add(tile, at), word(r % TILE * group))
                    for tile, r in zip(tiles, firsts, strict=True)
                ]
                known = [_load(builder, codes, place, codes_kind) for place in places]
                for place in places if fetches else ():
                    fetch(builder, builder.add(codes, builder.add(place, stride)))
                step = _load_everywhere(builder, steps, four, lanes) if is_l1 else None
                for t in range(POINTS):
                    place = builder.add(builder.mul(n_groups, word(4 * t)), four)
                    factor = _load_everywhere(builder, factors, place, lanes)
                    for total, x in zip(sums[t], known, strict=True):
                        new = accumulate(builder, builder.load(total), x, factor, step)
                        builder.store(new, total)
            for t in range(POINTS):
                row = builder.add(out, builder.mul(width, word(4 * t)))
                for total, r in zip(sums[t], firsts, strict=True):
                    place = builder.add(row, word(4 * r))
                    address = builder.inttoptr(place, sums_kind.as_pointer())
                    builder.store(builder.load(total), address, align=4)
        return context.get_dummy_value()

    def typed(typing_context, codes, factors, steps, start, n_groups, out, width):
        return types.void(*[types.uintp] * 7), codegen

    return intrinsic(typed)


_tiles_l1 = _tile_function(True, fetches=True)
_first_tiles_l2 = _tile_function(False, fetches=True)
_tiles_l2 = _tile_function(False, fetches=False)


@njit(nogil=True, cache=True)
def integer_scores(codes, factors, starts, steps, is_l1, out):
    """Sums of (code - SHIFT) * factor (L2), or of step * abs(128 * code - factor) (L1).

    Sums must fit in int32, and 128 * code - factor in int16.

    Parameters
    ----------
    codes : (tiles, g, features_a_group * TILE) int8
        An even number of tiles of TILE rows each: their features in g groups, those of a row side
        by side. C-contiguous, as all of these. L2: 0 to 127.
    factors : (t4, 4 g) int8
        Of a multiple of POINTS points. L1: the bytes of int16. L2: to MOST_FACTOR and its negative.
    starts : (t4,) int32
        What sums begin with: 0 (L1), or what SHIFT added to codes makes of them, negated (L2).
    steps : (features,) int16
        L1 only.
    is_l1 : bool
    out : (t4, TILE * tiles) int32, output
    """
    n_groups = np.uintp(codes.shape[1])
    s = np.uintp(steps.ctypes.data)
    b = np.uintp(starts.ctypes.data)
    width = np.uintp(out.shape[1])
    for r in range(0, codes.shape[0], 2):
        c = np.uintp(codes[r].ctypes.data)
        for t in range(0, factors.shape[0], POINTS):
            f = np.uintp(factors[t].ctypes.data)
            o = np.uintp(out[t].ctypes.data + 4 * TILE * r)
            if is_l1:
                _tiles_l1(c, f, s, b + np.uintp(4 * t), n_groups, o, width)
            elif t == 0:
                _first_tiles_l2(c, f, s, b, n_groups, o, width)
            else:
                _tiles_l2(c, f, s, b + np.uintp(4 * t), n_groups, o, width)
