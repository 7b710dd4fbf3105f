"""Distances of a tile of rows to many centres, in vector instructions: Numba intrinsics.

A tile is 64 bytes of rows, stored one feature after the other, so that a vector holds one feature
of every row and meets one coordinate of a centre. Four centres at a time share what is loaded,
and everything between loading a tile and storing its result stays in registers. What a loop over
arrays would say leaves the compiler to prove that no two of them overlap; this it need not prove,
and it compiles in a fraction of the time.
"""

from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

TILE_BYTES = 64
CENTERS = 4
PIECE = 32
_FAST = ("nnan", "nsz")
_FUSED = ("contract",)
_INT = ir.IntType(32)
_WORD = ir.IntType(64)


@intrinsic
def lanes(typing_context: Any, array: Any) -> Any:
    """Rows of a tile of this array's dtype: 16 of float32, 8 of float64."""
    del typing_context

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        del context, builder, signature, args
        return ir.Constant(_WORD, _lanes(array))

    return types.intp(array), generate


def _lanes(array: Any) -> int:
    return TILE_BYTES * 8 // array.dtype.bitwidth


class _Tile:
    """Vectors of one tile: loads, stores and constants for a floating dtype of numba's."""

    def __init__(self, builder: ir.IRBuilder, context: Any, signature: Any, args: Any) -> None:
        # loading it takes a while, and kernels out of the cache do without
        from numba.np.arrayobj import make_array

        self.builder = builder
        self.arrays = [
            make_array(kind)(context, builder, value) if isinstance(kind, types.Array) else value
            for kind, value in zip(signature.args, args, strict=True)
        ]
        array = signature.args[0]
        self.scalar = ir.FloatType() if array.dtype.bitwidth == 32 else ir.DoubleType()
        self.lanes = _lanes(array)
        self.floats = ir.VectorType(self.scalar, self.lanes)
        self.ints = ir.VectorType(_INT, self.lanes)
        self.infinity = ir.Constant(self.floats, [float("inf")] * self.lanes)

    def address(self, array: int, index: Any, kind: Any) -> Any:
        """Of the index-th vector in an argument that is an array."""
        start = self.arrays[array].data
        at = self.builder.mul(index, _WORD(self.lanes))
        return self.builder.bitcast(self.builder.gep(start, [at]), kind.as_pointer())

    def load(self, array: int, index: Any) -> Any:
        return self.builder.load(self.address(array, index, self.floats), align=4)

    def store(self, value: Any, array: int, index: Any) -> None:
        self.builder.store(value, self.address(array, index, value.type), align=4)

    def shape(self, array: int, axis: int) -> Any:
        return self.builder.extract_value(self.arrays[array].shape, axis)

    def everywhere(self, scalar: Any) -> Any:
        one = self.builder.insert_element(
            ir.Constant(ir.VectorType(scalar.type, self.lanes), ir.Undefined), scalar, _INT(0)
        )
        none = ir.Constant(one.type, ir.Undefined)
        return self.builder.shuffle_vector(one, none, ir.Constant(self.ints, None))

    def function(self, name: str, vector: Any) -> Any:
        """Of LLVM's own, of every element."""
        kind = ir.FunctionType(self.floats, [self.floats])
        full = f"llvm.{name}.v{self.lanes}{self.scalar.intrinsic_name}"
        function = cgutils.get_or_insert_function(self.builder.module, kind, full)
        return self.builder.call(function, [vector])

    def variable(self, value: Any) -> Any:
        """A variable of this value, which the compiler keeps in a register."""
        return cgutils.alloca_once_value(self.builder, value)


def _costs(tile: _Tile, rows: int, centers: int, j: Any, l1: bool, pieces: bool) -> list[Any]:
    """Costs of the tile to centres j to j+3: a sum over the features, or a sum of such sums."""
    builder, d = tile.builder, tile.shape(centers, 1)
    zero = ir.Constant(tile.floats, None)
    coordinates = [
        builder.gep(tile.arrays[centers].data, [builder.mul(builder.add(j, _WORD(t)), d)])
        for t in range(CENTERS)
    ]

    def add_up(start: Any, stop: Any) -> list[Any]:
        sums = [tile.variable(zero) for _ in range(CENTERS)]
        # a step that the compiler does not know: unrolled, this needs more registers than there are
        step = builder.asm(ir.FunctionType(_WORD, [_WORD]), "", "=r,0", [_WORD(1)], False)
        with cgutils.for_range_slice(builder, start, stop, step) as (q, _):
            x = tile.load(rows, q)
            for start_of, total in zip(coordinates, sums, strict=True):
                at = tile.everywhere(builder.load(builder.gep(start_of, [q])))
                apart = builder.fsub(x, at)
                term = (
                    tile.function("fabs", apart) if l1 else builder.fmul(apart, apart, flags=_FUSED)
                )
                builder.store(builder.fadd(term, builder.load(total), flags=_FUSED), total)
        return [builder.load(total) for total in sums]

    if not pieces:
        return add_up(_WORD(0), d)
    totals = [tile.variable(zero) for _ in range(CENTERS)]
    with cgutils.for_range_slice(builder, _WORD(0), d, _WORD(PIECE)) as (first, _):
        end = builder.add(first, _WORD(PIECE))
        end = builder.select(builder.icmp_signed("<", end, d), end, d)
        for total, part in zip(totals, add_up(first, end), strict=True):
            builder.store(builder.fadd(builder.load(total), part), total)
    return [builder.load(total) for total in totals]


class _Nearest:
    """Nearest and second nearest of the centres that every row of a tile has met in turn."""

    def __init__(self, tile: _Tile) -> None:
        self._tile = tile
        self._best, self._second = tile.variable(tile.infinity), tile.variable(tile.infinity)
        self._arg = tile.variable(ir.Constant(tile.ints, None))

    def meet(self, cost: Any, j: Any) -> None:
        builder = self._tile.builder
        best, second, arg = self.found()
        less = builder.fcmp_ordered("<", cost, best, flags=_FAST)
        worse = builder.select(less, best, cost, flags=_FAST)
        here = self._tile.everywhere(builder.trunc(j, _INT))
        builder.store(_lesser(builder, worse, second), self._second)
        builder.store(builder.select(less, cost, best, flags=_FAST), self._best)
        builder.store(builder.select(less, here, arg), self._arg)

    def found(self) -> tuple[Any, Any, Any]:
        """Costs of the nearest and of the second nearest; and the nearest, the lowest of equals."""
        load = self._tile.builder.load
        return load(self._best), load(self._second), load(self._arg)


def _lesser(builder: ir.IRBuilder, a: Any, b: Any) -> Any:
    return builder.select(builder.fcmp_ordered("<", a, b, flags=_FAST), a, b, flags=_FAST)


@intrinsic
def gather_tile(
    typing_context: Any, x: Any, rows: Any, first: Any, reference: Any, out: Any
) -> Any:
    """Transpose ``x[rows[first : first + lanes]] - reference`` into a tile.

    Parameters
    ----------
    x : ndarray of shape (n_samples, n_features), float, C-contiguous
    rows : ndarray, int32
    first : int
    reference : ndarray of shape (n_features,), dtype of x
    out : ndarray of shape (n_features * lanes,), dtype of x, written
    """
    del typing_context, first

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        tile = _Tile(builder, context, signature, args)
        d, many = tile.shape(0, 1), tile.lanes
        start = builder.gep(tile.arrays[1].data, [args[2]])
        at = builder.load(builder.bitcast(start, tile.ints.as_pointer()), align=4)
        at = builder.mul(builder.zext(at, ir.VectorType(_WORD, many)), tile.everywhere(d))
        places = [
            builder.gep(tile.arrays[0].data, [builder.extract_element(at, _INT(i))])
            for i in range(many)
        ]

        def put(values: Any, q: Any) -> None:
            origin = tile.everywhere(builder.load(builder.gep(tile.arrays[3].data, [q])))
            tile.store(builder.fsub(values, origin), 4, q)

        four = builder.and_(d, _WORD(-4))
        with cgutils.for_range_slice(builder, _WORD(0), four, _WORD(4)) as (q, _):
            for t, values in enumerate(_transposed(tile, places, q)):
                put(values, builder.add(q, _WORD(t)))
        with cgutils.for_range_slice(builder, four, d, _WORD(1)) as (q, _):
            values = ir.Constant(tile.floats, ir.Undefined)
            for i, place in enumerate(places):
                value = builder.load(builder.gep(place, [q]))
                values = builder.insert_element(values, value, _INT(i))
            put(values, q)
        return context.get_dummy_value()

    return types.void(x, rows, types.intp, reference, out), generate


def _transposed(tile: _Tile, places: list[Any], q: Any) -> list[Any]:
    """Features q to q+3 of the rows at some places, a vector each."""
    builder = tile.builder
    four = ir.VectorType(tile.scalar, 4).as_pointer()
    parts = [
        builder.load(builder.bitcast(builder.gep(place, [q]), four), align=4) for place in places
    ]

    def mixed(a: Any, b: Any, order: list[int]) -> Any:
        return builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(_INT, len(order)), order))

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


@intrinsic
def nearest_tile(
    typing_context: Any,
    rows: Any,
    centers: Any,
    l1: Any,
    up: Any,
    down: Any,
    tiny: Any,
    gap: Any,
    arg: Any,
) -> Any:
    """Nearest centre of every row of a tile, and how much farther the second nearest is.

    Parameters
    ----------
    rows : ndarray of shape (n_features * lanes,), float
    centers : ndarray of shape (k, n_features), dtype of rows, C-contiguous
        k a multiple of four; an infinite centre is nearest to no row.
    l1 : None or True
        L2 or L1, by its type.
    up, down, tiny : float
    gap : ndarray of shape (lanes,), dtype of rows, written
        ``second * down - nearest * up - tiny``, in distances.
    arg : ndarray of shape (lanes,), int32, written
        The nearest; the lowest of equal ones.
    """
    del typing_context, up, down, tiny
    signature = types.void(rows, centers, l1, rows.dtype, rows.dtype, rows.dtype, gap, arg)

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        tile = _Tile(builder, context, signature, args)
        nearest = _Nearest(tile)
        groups = cgutils.for_range_slice(builder, _WORD(0), tile.shape(1, 0), _WORD(CENTERS))
        with groups as (j, _):
            l1 = signature.args[2] != types.none
            for t, cost in enumerate(_costs(tile, 0, 1, j, l1, pieces=False)):
                nearest.meet(cost, builder.add(j, _WORD(t)))
        near, far, least = nearest.found()
        if signature.args[2] == types.none:
            near, far = (tile.function("sqrt", v) for v in (near, far))
        up, down, tiny = (tile.everywhere(v) for v in args[3:6])
        certain = builder.fsub(builder.fmul(far, down), builder.fmul(near, up))
        tile.store(builder.fsub(certain, tiny), 6, _WORD(0))
        tile.store(least, 7, _WORD(0))
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def costs_tile(
    typing_context: Any, rows: Any, centers: Any, l1: Any, costs: Any, best: Any, arg: Any
) -> Any:
    """Costs of every row of a tile to every centre.

    Parameters
    ----------
    rows, centers, l1
        As in `nearest_tile`.
    costs : ndarray of shape (k * lanes,), dtype of rows, written
        Centre after centre.
    best : ndarray of shape (lanes,), dtype of rows, written
        The least.
    arg : ndarray of shape (lanes,), int32, written
        Whose it is; the lowest of equal ones.
    """
    del typing_context

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        tile = _Tile(builder, context, signature, args)
        nearest = _Nearest(tile)
        groups = cgutils.for_range_slice(builder, _WORD(0), tile.shape(1, 0), _WORD(CENTERS))
        with groups as (j, _):
            l1 = signature.args[2] != types.none
            for t, cost in enumerate(_costs(tile, 0, 1, j, l1, pieces=True)):
                center = builder.add(j, _WORD(t))
                tile.store(cost, 3, center)
                nearest.meet(cost, center)
        near, _, least = nearest.found()
        tile.store(near, 4, _WORD(0))
        tile.store(least, 5, _WORD(0))
        return context.get_dummy_value()

    return types.void(rows, centers, l1, costs, best, arg), generate


@intrinsic
def least_but(typing_context: Any, costs: Any, first: Any, last: Any, arg: Any, least: Any) -> Any:
    """Least cost of every row to centres first to last - 1, its own left out.

    Parameters
    ----------
    costs : ndarray of shape (k * lanes,), float
    first, last : int
    arg : ndarray of shape (lanes,), int32
        The centre of every row.
    least : ndarray of shape (lanes,), dtype of costs, written
    """
    del typing_context, first, last
    signature = types.void(costs, types.intp, types.intp, arg, least)

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        tile = _Tile(builder, context, signature, args)
        own = builder.load(tile.address(3, _WORD(0), tile.ints), align=4)
        found = tile.variable(tile.infinity)
        with cgutils.for_range_slice(builder, args[1], args[2], _WORD(1)) as (j, _):
            other = builder.icmp_signed("!=", own, tile.everywhere(builder.trunc(j, _INT)))
            v = builder.select(other, tile.load(0, j), tile.infinity)
            builder.store(_lesser(builder, v, builder.load(found)), found)
        tile.store(builder.load(found), 4, _WORD(0))
        return context.get_dummy_value()

    return signature, generate
