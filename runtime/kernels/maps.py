"""Element access and row-wise partitioning of maps among threads."""

from numba import njit, types
from numba.extending import intrinsic

from bnnkit.runtime.kernels.vectors import F32, I8, I16, I32, I64, load, store

ELEMENTS = {
    types.uint8: I8,
    types.int8: I8,
    types.int16: I16,
    types.int32: I32,
    types.int64: I64,
    types.float32: F32,
    types.uint64: I64,
}


@intrinsic
def get(typing_context, kind, address):
    """Load the element at an address; `kind` is an array of its dtype."""
    element = ELEMENTS[kind.dtype]

    def generate(context, builder, _signature, arguments):
        return load(builder, arguments[1], element, 1)

    return kind.dtype(kind, types.int64), generate


@intrinsic
def put(typing_context, kind, address, value):
    """Store an element at an address; `kind` is an array of its dtype."""
    element = ELEMENTS[kind.dtype]

    def generate(context, builder, signature, arguments):
        cast = context.cast(builder, arguments[2], signature.args[2], kind.dtype)
        assert cast.type == element
        store(builder, cast, arguments[1], 1)
        return context.get_dummy_value()

    return types.void(kind, types.int64, value), generate


@njit(error_model="numpy")
def partition(count, thread, threads):
    """Return the first and the last (exclusive) of `count` items that belong to a thread."""
    return count * thread // threads, count * (thread + 1) // threads


@njit(error_model="numpy")
def partition_rows_or_blocks(rows, blocks, thread, threads):
    """Return a thread's ranges of rows and of blocks of channels.

    The threads share the blocks where there are few rows (a dense layer, a small map).
    """
    if rows >= 2 * threads:
        first, last = partition(rows, thread, threads)
        return first, last, 0, blocks
    first, last = partition(blocks, thread, threads)
    return 0, rows, first, last


@njit(error_model="numpy")
def partition_rows(m, thread, threads):
    """Return the range of a thread among the rows of a map, numbered across the batch."""
    return partition(m.images * m.rows, thread, threads)


@njit(error_model="numpy")
def row_at(m, row):
    """Return the address of a row, numbered across the batch."""
    return m.data + row // m.rows * m.image + row % m.rows * m.row
