"""What Numba has no word for, in the compiler's own language.

Each is a few LLVM instructions that the compiler fits to the processor it compiles for.
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from kmgpu.kernels.cpu.lowlevel.compiled import make_array, njit

WORD = 64
_FLAGS = ("nnan", "nsz")
_U64 = ir.IntType(64)


@intrinsic
def lesser(typing_context: Any, a: Any, b: Any) -> Any:
    """The lesser of two floats of one type, neither NaN.

    Numba marks the comparison but not the choice as free of NaN, and LLVM vectorises a minimum
    over a loop only where both are.
    """
    del typing_context
    if a != b or not isinstance(a, types.Float):
        return None

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        del context, signature
        less = builder.fcmp_ordered("<", args[0], args[1], flags=_FLAGS)
        return builder.select(less, args[0], args[1], flags=_FLAGS)

    return a(a, b), generate


def _starts(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> list[Any]:
    """Where the data of the arguments that are arrays begin."""
    return [
        make_array(kind)(context, builder, value).data
        for kind, value in zip(signature.args, args, strict=True)
        if isinstance(kind, types.Array)
    ]


@intrinsic
def word_within(typing_context: Any, row: Any, path: Any, first: Any, threshold: Any) -> Any:
    """Of which of 64 entries from `first` on ``max(row - path, 0) <= threshold``: a bit for each.

    `row` and `path` are contiguous uint16 arrays, `threshold` is an uint16.
    """
    del typing_context, first, threshold
    signature = types.uint64(row, path, types.intp, types.uint16)
    vector = ir.VectorType(ir.IntType(16), WORD)

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        bounds, paths = (
            builder.load(
                builder.bitcast(builder.gep(start, [args[2]]), vector.as_pointer()), align=2
            )
            for start in _starts(context, builder, signature, args)
        )
        greater = builder.select(builder.icmp_unsigned(">", bounds, paths), bounds, paths)
        left = builder.sub(greater, paths)
        none = ir.Constant(vector, ir.Undefined)
        one = builder.insert_element(none, args[3], ir.Constant(ir.IntType(32), 0))
        everywhere = ir.Constant(ir.VectorType(ir.IntType(32), WORD), [0] * WORD)
        limits = builder.shuffle_vector(one, none, everywhere)
        return builder.bitcast(builder.icmp_unsigned("<=", left, limits), _U64)

    return signature, generate


@intrinsic
def word_above(typing_context: Any, values: Any, limits: Any, labels: Any, first: Any) -> Any:
    """Of which of 64 entries from `first` on ``values > limits[labels + 1]``: a bit for each.

    `values` and `limits` are contiguous float32 arrays, `labels` is one of int32.
    """
    del typing_context, first
    signature = types.uint64(values, limits, labels, types.intp)
    part = 16

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        value, limit, label = _starts(context, builder, signature, args)
        value, label = builder.gep(value, [args[3]]), builder.gep(label, [args[3]])
        limit = builder.gep(limit, [_U64(1)])
        vector = ir.VectorType(ir.FloatType(), part)
        word = _U64(0)
        for lo in range(0, WORD, part):
            allowed = ir.Constant(vector, ir.Undefined)
            for i in range(part):
                at = builder.sext(builder.load(builder.gep(label, [_U64(lo + i)])), _U64)
                one = builder.load(builder.gep(limit, [at]))
                allowed = builder.insert_element(allowed, one, ir.IntType(32)(i))
            start = builder.bitcast(builder.gep(value, [_U64(lo)]), vector.as_pointer())
            above = builder.fcmp_ordered(">", builder.load(start, align=4), allowed)
            bits = builder.zext(builder.bitcast(above, ir.IntType(part)), _U64)
            word = builder.or_(word, builder.shl(bits, _U64(lo)))
        return word

    return signature, generate


@intrinsic
def word_set(typing_context: Any, values: Any, first: Any) -> Any:
    """Of which of 64 entries from `first` on of contiguous uint32 are not zero: a bit for each."""
    del typing_context, first
    vector = ir.VectorType(ir.IntType(32), WORD)

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        (start,) = _starts(context, builder, signature, args)
        place = builder.bitcast(builder.gep(start, [args[1]]), vector.as_pointer())
        value = builder.load(place, align=4)
        zero = ir.Constant(vector, None)
        return builder.bitcast(builder.icmp_unsigned("!=", value, zero), _U64)

    return types.uint64(values, types.intp), generate


@intrinsic
def word_not_above(
    typing_context: Any, scores: Any, j: Any, unit: Any, offset: Any, limits: Any, least: Any
) -> Any:
    """Of which of 32 rows ``not score * unit - offset > limit``: a bit for each.

    The others lower `least`. `scores` is (k, 32) int32, of which row j counts; `limits` and `least`
    are (32,) float32.
    """
    del typing_context, j, unit, offset
    many = 32
    real = types.float32
    signature = types.uint64(scores, types.intp, real, real, limits, least)
    floats, whole = ir.VectorType(ir.FloatType(), many), ir.VectorType(ir.IntType(32), many)

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        row, limit, low = _starts(context, builder, signature, args)
        row = builder.gep(row, [builder.mul(args[1], _U64(many))])

        def everywhere(value: Any) -> Any:
            none = ir.Constant(floats, ir.Undefined)
            one = builder.insert_element(none, value, ir.IntType(32)(0))
            return builder.shuffle_vector(one, none, ir.Constant(whole, None))

        value = builder.load(builder.bitcast(row, whole.as_pointer()), align=4)
        value = builder.fmul(builder.sitofp(value, floats), everywhere(args[2]), flags=["contract"])
        value = builder.fsub(value, everywhere(args[3]), flags=["contract"])
        near = builder.fcmp_unordered(
            "<=", value, builder.load(builder.bitcast(limit, floats.as_pointer()), align=4)
        )
        place = builder.bitcast(low, floats.as_pointer())
        before = builder.load(place, align=4)
        less = builder.fcmp_ordered("<", value, before)
        counts = builder.and_(less, builder.not_(near))
        builder.store(builder.select(counts, value, before), place, align=4)
        return builder.zext(builder.bitcast(near, ir.IntType(many)), _U64)

    return signature, generate


@intrinsic
def lowest_bit(typing_context: Any, word: Any) -> Any:
    """The place of the lowest bit set in a word that is not zero."""
    del typing_context, word

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        del context, signature
        kind = ir.FunctionType(_U64, [_U64, ir.IntType(1)])
        count = builder.module.declare_intrinsic("llvm.cttz", [_U64], kind)
        return builder.call(count, [args[0], ir.Constant(ir.IntType(1), 1)])

    return types.uint64(types.uint64), generate


def fetch(builder: ir.IRBuilder, address: Any) -> None:
    """What `prefetch` does, inside another intrinsic."""
    pointer = ir.IntType(8).as_pointer()
    whole = ir.IntType(32)
    kind = ir.FunctionType(ir.VoidType(), [pointer, whole, whole, whole])
    function = builder.module.declare_intrinsic("llvm.prefetch", [pointer], kind)
    reads, keeps, data = whole(0), whole(3), whole(1)
    builder.call(function, [builder.inttoptr(address, pointer), reads, keeps, data])


@intrinsic
def prefetch(typing_context: Any, address: Any) -> Any:
    """Begin to bring the line of the cache at an address, which may be none, that is read soon."""
    del typing_context, address

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        del signature
        fetch(builder, args[0])
        return context.get_dummy_value()

    return types.void(types.uintp), generate


@njit()
def fetch_row(X: Any, i: Any) -> None:
    """Begin to bring row i of a C-contiguous array into the cache."""
    start = X[i].ctypes.data
    for line in range(0, X.shape[1] * X.itemsize, 64):
        prefetch(start + line)
