"""Small operations that Numba cannot express, written as LLVM instructions.

LLVM fits each of them to the processor that it compiles for. A mask is a 64-bit number that holds
one answer, yes or no, in each bit; `lowest_bit` finds the first yes.
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from kmgpu.kernels.cpu.lowlevel.compiled import make_array, njit

BITS = 64  # of a mask
INT8, INT16, INT32, INT64 = (ir.IntType(bits) for bits in (8, 16, 32, 64))
_FLAGS = ("nnan", "nsz")


def splat(builder: ir.IRBuilder, scalar: Any, lanes: int) -> Any:
    """A vector of `lanes` elements that are all `scalar`."""
    undefined = ir.Constant(ir.VectorType(scalar.type, lanes), ir.Undefined)
    one = builder.insert_element(undefined, scalar, INT32(0))
    return builder.shuffle_vector(one, undefined, ir.Constant(ir.VectorType(INT32, lanes), None))


def lesser_of(builder: ir.IRBuilder, a: Any, b: Any) -> Any:
    """The lesser of two floats, or of two vectors element by element, free of NaN."""
    return builder.select(builder.fcmp_ordered("<", a, b, flags=_FLAGS), a, b, flags=_FLAGS)


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
        return lesser_of(builder, *args)

    return a(a, b), generate


def _starts(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> list[Any]:
    """Pointers to the data of those arguments that are arrays."""
    return [
        make_array(kind)(context, builder, value).data
        for kind, value in zip(signature.args, args, strict=True)
        if isinstance(kind, types.Array)
    ]


@intrinsic
def mask_within(typing_context: Any, row: Any, path: Any, first: Any, threshold: Any) -> Any:
    """A mask: bit i is set if ``max(row[first + i] - path[first + i], 0) <= threshold``.

    Parameters
    ----------
    row, path : ndarrays of shape (at least first + 64,), uint16, contiguous
    first : int
    threshold : uint16
    """
    del typing_context, first, threshold
    signature = types.uint64(row, path, types.intp, types.uint16)
    vector = ir.VectorType(INT16, BITS)

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        bounds, paths = (
            builder.load(
                builder.bitcast(builder.gep(start, [args[2]]), vector.as_pointer()), align=2
            )
            for start in _starts(context, builder, signature, args)
        )
        greater = builder.select(builder.icmp_unsigned(">", bounds, paths), bounds, paths)
        left = builder.sub(greater, paths)
        limits = splat(builder, args[3], BITS)
        return builder.bitcast(builder.icmp_unsigned("<=", left, limits), INT64)

    return signature, generate


@intrinsic
def mask_above(typing_context: Any, values: Any, limits: Any, labels: Any, first: Any) -> Any:
    """A mask: bit i is set if ``values[first + i] > limits[labels[first + i] + 1]``.

    Parameters
    ----------
    values : ndarray of shape (at least first + 64,), float32, contiguous
    limits : ndarray of shape (k + 1,), float32, contiguous
    labels : ndarray of shape (at least first + 64,), int32, contiguous
        From -1 to k - 1.
    first : int
    """
    del typing_context, first
    signature = types.uint64(values, limits, labels, types.intp)
    part = 16

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        value, limit, label = _starts(context, builder, signature, args)
        value, label = builder.gep(value, [args[3]]), builder.gep(label, [args[3]])
        limit = builder.gep(limit, [INT64(1)])
        vector = ir.VectorType(ir.FloatType(), part)
        mask = INT64(0)
        for lo in range(0, BITS, part):
            allowed = ir.Constant(vector, ir.Undefined)
            for i in range(part):
                at = builder.sext(builder.load(builder.gep(label, [INT64(lo + i)])), INT64)
                one = builder.load(builder.gep(limit, [at]))
                allowed = builder.insert_element(allowed, one, INT32(i))
            start = builder.bitcast(builder.gep(value, [INT64(lo)]), vector.as_pointer())
            above = builder.fcmp_ordered(">", builder.load(start, align=4), allowed)
            bits = builder.zext(builder.bitcast(above, ir.IntType(part)), INT64)
            mask = builder.or_(mask, builder.shl(bits, INT64(lo)))
        return mask

    return signature, generate


@intrinsic
def mask_set(typing_context: Any, values: Any, first: Any) -> Any:
    """A mask: bit i is set if ``values[first + i]`` is not zero (uint32, contiguous)."""
    del typing_context, first
    vector = ir.VectorType(INT32, BITS)

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        (start,) = _starts(context, builder, signature, args)
        place = builder.bitcast(builder.gep(start, [args[1]]), vector.as_pointer())
        value = builder.load(place, align=4)
        zero = ir.Constant(vector, None)
        return builder.bitcast(builder.icmp_unsigned("!=", value, zero), INT64)

    return types.uint64(values, types.intp), generate


@intrinsic
def mask_not_above(
    typing_context: Any, sums: Any, j: Any, unit: Any, offset: Any, limits: Any, least: Any
) -> Any:
    """A mask of 32 rows: bit i is set unless ``sums[j, i] * unit - offset > limits[i]``.

    Parameters
    ----------
    sums : ndarray of shape (k, 32), int32, contiguous
        Byte scores of 32 rows.
    j : int
        The centre.
    unit, offset : float32
    limits : ndarray of shape (32,), float32
    least : ndarray of shape (32,), float32, updated
        The least ``sums * unit - offset`` so far of those that set no bit.
    """
    del typing_context, j, unit, offset
    many = 32
    real = types.float32
    signature = types.uint64(sums, types.intp, real, real, limits, least)
    floats, whole = ir.VectorType(ir.FloatType(), many), ir.VectorType(INT32, many)

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        row, limit, low = _starts(context, builder, signature, args)
        row = builder.gep(row, [builder.mul(args[1], INT64(many))])
        unit, offset = splat(builder, args[2], many), splat(builder, args[3], many)
        value = builder.load(builder.bitcast(row, whole.as_pointer()), align=4)
        value = builder.fmul(builder.sitofp(value, floats), unit, flags=["contract"])
        value = builder.fsub(value, offset, flags=["contract"])
        near = builder.fcmp_unordered(
            "<=", value, builder.load(builder.bitcast(limit, floats.as_pointer()), align=4)
        )
        place = builder.bitcast(low, floats.as_pointer())
        before = builder.load(place, align=4)
        less = builder.fcmp_ordered("<", value, before)
        counts = builder.and_(less, builder.not_(near))
        builder.store(builder.select(counts, value, before), place, align=4)
        return builder.zext(builder.bitcast(near, ir.IntType(many)), INT64)

    return signature, generate


@intrinsic
def lowest_bit(typing_context: Any, mask: Any) -> Any:
    """The number of the lowest bit that is set in a mask (uint64), which must not be zero."""
    del typing_context, mask

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        del context, signature
        kind = ir.FunctionType(INT64, [INT64, ir.IntType(1)])
        count = builder.module.declare_intrinsic("llvm.cttz", [INT64], kind)
        return builder.call(count, [args[0], ir.Constant(ir.IntType(1), 1)])

    return types.uint64(types.uint64), generate


def fetch(builder: ir.IRBuilder, address: Any) -> None:
    """Emit the instruction of `prefetch` inside another intrinsic."""
    pointer = INT8.as_pointer()
    kind = ir.FunctionType(ir.VoidType(), [pointer, INT32, INT32, INT32])
    function = builder.module.declare_intrinsic("llvm.prefetch", [pointer], kind)
    reads, keeps, data = INT32(0), INT32(3), INT32(1)
    builder.call(function, [builder.inttoptr(address, pointer), reads, keeps, data])


@intrinsic
def prefetch(typing_context: Any, address: Any) -> Any:
    """Ask for the cache line at an address that is read soon; any address is allowed."""
    del typing_context, address

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        del signature
        fetch(builder, args[0])
        return context.get_dummy_value()

    return types.void(types.uintp), generate


@njit()
def fetch_row(X: Any, i: Any) -> None:
    """Ask for the cache lines of row i of a C-contiguous array."""
    start = X[i].ctypes.data
    for line in range(0, X.shape[1] * X.itemsize, 64):
        prefetch(start + line)
