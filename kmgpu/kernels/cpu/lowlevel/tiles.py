"""Tiles of rows: their layout, how they are gathered, and vector instructions on them.

A tile holds 64 bytes of one feature, that is 16 rows of float32 or 8 of float64, and feature lies
after feature: an array of shape (n_features * lanes,). So one vector holds one feature of every
row of the tile, and meets one coordinate of a centre.
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from kmgpu.kernels.cpu.lowlevel.compiled import cgutils, make_array
from kmgpu.kernels.cpu.lowlevel.intrinsics import INT32, INT64, splat

TILE_BYTES = 64


@intrinsic
def lanes(typing_context: Any, array: Any) -> Any:
    """Rows of a tile of this array's dtype: 16 of float32, 8 of float64."""
    del typing_context

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        del context, builder, signature, args
        return ir.Constant(INT64, rows_of(array))

    return types.intp(array), generate


def rows_of(array: Any) -> int:
    """Rows of a tile, from Numba's type of an array of its dtype."""
    return TILE_BYTES * 8 // array.dtype.bitwidth


def _scalar(kind: Any) -> Any:
    return ir.FloatType() if kind.bitwidth == 32 else ir.DoubleType()


class Tile:
    """Emits loads, stores and constants of one tile for an intrinsic.

    Parameters
    ----------
    names : str
        Names of the intrinsic's arguments; the first one is the array of rows.
    context, builder, signature, args
        The arguments of the intrinsic's code generator.
    computing : Numba's float32 or float64, or None
        The type to compute in, no narrower than that of the rows; None: that of the rows.
    """

    def __init__(
        self,
        names: str,
        context: Any,
        builder: ir.IRBuilder,
        signature: Any,
        args: Any,
        computing: Any = None,
    ) -> None:
        self.builder = builder
        self._arrays = {
            name: make_array(kind)(context, builder, value)
            for name, kind, value in zip(names.split(), signature.args, args, strict=True)
            if isinstance(kind, types.Array)
        }
        array = signature.args[0]
        self.scalar = _scalar(computing or array.dtype)
        self.lanes = rows_of(array)
        self._rows = ir.VectorType(_scalar(array.dtype), self.lanes)
        self.floats = ir.VectorType(self.scalar, self.lanes)
        self.ints = ir.VectorType(INT32, self.lanes)
        self.infinity = ir.Constant(self.floats, [float("inf")] * self.lanes)

    def place(self, array: str, index: Any) -> Any:
        """Pointer to the index-th element of an array."""
        return self.builder.gep(self._arrays[array].data, [index])

    def element(self, array: str, index: Any) -> Any:
        return self.builder.load(self.place(array, index))

    def load(self, array: str, first: Any, kind: Any = None) -> Any:
        """The vector that begins at the element `first`."""
        kind = kind or self.floats
        place = self.builder.bitcast(self.place(array, first), kind.as_pointer())
        return self.builder.load(place, align=4)

    def load_rows(self, array: str, first: Any) -> Any:
        """One feature of every row, in the type to compute in."""
        values = self.load(array, first, self._rows)
        return values if self._rows == self.floats else self.builder.fpext(values, self.floats)

    def store(self, value: Any, array: str, first: Any) -> None:
        place = self.builder.bitcast(self.place(array, first), value.type.as_pointer())
        self.builder.store(value, place, align=4)

    def line(self, index: Any) -> Any:
        """Index of the element at which the index-th vector of an array begins."""
        return self.builder.mul(index, INT64(self.lanes))

    def shape(self, array: str, axis: int) -> Any:
        return self.builder.extract_value(self._arrays[array].shape, axis)

    def everywhere(self, scalar: Any) -> Any:
        """A vector that holds `scalar` for every row."""
        return splat(self.builder, scalar, self.lanes)

    def function(self, name: str, vector: Any) -> Any:
        """LLVM's own function of that name, of every element."""
        kind = ir.FunctionType(self.floats, [self.floats])
        full = f"llvm.{name}.v{self.lanes}{self.scalar.intrinsic_name}"
        function = cgutils.get_or_insert_function(self.builder.module, kind, full)
        return self.builder.call(function, [vector])

    def variable(self, value: Any) -> Any:
        """A variable that begins with `value`; LLVM keeps it in a register."""
        return cgutils.alloca_once_value(self.builder, value)


@intrinsic
def gather_tile(
    typing_context: Any, x: Any, rows: Any, first: Any, reference: Any, out: Any
) -> Any:
    """Transpose ``x[rows[first : first + lanes]] - reference`` into a tile.

    Parameters
    ----------
    x : ndarray of shape (n_samples, n_features), float32 or float64, C-contiguous
    rows : ndarray of shape (at least first + lanes,), int32
    first : int
    reference : ndarray of shape (n_features,), dtype of x
    out : ndarray of shape (n_features * lanes,), dtype of x, written
    """
    del typing_context, first

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        tile = Tile("x rows first reference out", context, builder, signature, args)
        d, many = tile.shape("x", 1), tile.lanes
        at = builder.zext(tile.load("rows", args[2], tile.ints), ir.VectorType(INT64, many))
        at = builder.mul(at, tile.everywhere(d))
        places = [tile.place("x", builder.extract_element(at, INT32(i))) for i in range(many)]

        def put(values: Any, q: Any) -> None:
            origin = tile.everywhere(tile.element("reference", q))
            tile.store(builder.fsub(values, origin), "out", tile.line(q))

        four = builder.and_(d, INT64(-4))
        with cgutils.for_range_slice(builder, INT64(0), four, INT64(4)) as (q, _):
            for t, values in enumerate(_transposed(tile, places, q)):
                put(values, builder.add(q, INT64(t)))
        with cgutils.for_range_slice(builder, four, d, INT64(1)) as (q, _):
            values = ir.Constant(tile.floats, ir.Undefined)
            for i, place in enumerate(places):
                value = builder.load(builder.gep(place, [q]))
                values = builder.insert_element(values, value, INT32(i))
            put(values, q)
        return context.get_dummy_value()

    return types.void(x, rows, types.intp, reference, out), generate


def _transposed(tile: Tile, places: list[Any], q: Any) -> list[Any]:
    """Features q to q + 3 of the rows that begin at `places`, one vector each."""
    builder = tile.builder
    four = ir.VectorType(tile.scalar, 4).as_pointer()
    parts = [
        builder.load(builder.bitcast(builder.gep(place, [q]), four), align=4) for place in places
    ]

    def mixed(a: Any, b: Any, order: list[int]) -> Any:
        return builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(INT32, len(order)), order))

    def joined(these: list[Any]) -> Any:
        while len(these) > 1:
            both = list(range(2 * these[0].type.count))
            these = [mixed(a, b, both) for a, b in zip(these[::2], these[1::2], strict=True)]
        return these[0]

    def blockwise(a: Any, b: Any, order: list[int]) -> Any:
        """The same choice, of four elements of a and four of b, in every block of four."""
        whole = [
            4 * g + t % 4 + tile.lanes * (t // 4) for g in range(tile.lanes // 4) for t in order
        ]
        return mixed(a, b, whole)

    r0, r1, r2, r3 = (joined(parts[t::4]) for t in range(4))
    low, high = ([0, 4, 1, 5], [2, 6, 3, 7])
    pairs = [(blockwise(r0, r1, half), blockwise(r2, r3, half)) for half in (low, high)]
    return [blockwise(a, b, half) for a, b in pairs for half in ([0, 1, 4, 5], [2, 3, 6, 7])]
