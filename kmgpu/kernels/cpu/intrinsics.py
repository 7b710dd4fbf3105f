"""What Numba has no word for, in the compiler's own language.

Each is a few LLVM instructions that the compiler fits to the processor it compiles for.
"""

from typing import Any

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic
from numba.np.arrayobj import make_array

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


@intrinsic
def word_within(typing_context: Any, row: Any, path: Any, first: Any, threshold: Any) -> Any:
    """Of which of 64 entries from `first` on ``max(row - path, 0) <= threshold``: a bit for each.

    `row` and `path` are contiguous uint16 arrays, `threshold` is an uint16.
    """
    del typing_context, first, threshold
    signature = types.uint64(row, path, types.intp, types.uint16)
    vector = ir.VectorType(ir.IntType(16), WORD)

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        def load(place: int) -> Any:
            array = make_array(signature.args[place])(context, builder, args[place])
            start = builder.gep(array.data, [args[2]])
            return builder.load(builder.bitcast(start, vector.as_pointer()), align=2)

        bounds, paths = load(0), load(1)
        greater = builder.select(builder.icmp_unsigned(">", bounds, paths), bounds, paths)
        left = builder.sub(greater, paths)
        none = ir.Constant(vector, ir.Undefined)
        one = builder.insert_element(none, args[3], ir.Constant(ir.IntType(32), 0))
        everywhere = ir.Constant(ir.VectorType(ir.IntType(32), WORD), [0] * WORD)
        limits = builder.shuffle_vector(one, none, everywhere)
        return builder.bitcast(builder.icmp_unsigned("<=", left, limits), _U64)

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
