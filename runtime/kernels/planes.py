"""Kernels of layers over the bit planes of activations: loops, and the micro-kernel of a tile.

    acc[p][v] = sum over planes j of  (sum over taps of popcount(x_j[p] ^ w[v])) << shift_j

The planes are maps of one layout, at fixed distances in memory. All share the loads of the
weights: to the tile they are further pixels, whose counts are added in the end. So a layer of b
planes takes b times the popcounts of a layer of signs, and one epilogue.
"""

from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from bnnkit.runtime.kernels.convolution import FLOATS, SUMS
from bnnkit.runtime.kernels.epilogue import LANES, write_epilogue
from bnnkit.runtime.kernels.levels import level_row
from bnnkit.runtime.kernels.maps import partition_rows_or_blocks
from bnnkit.runtime.kernels.records import PIXELS, LevelRecord, read
from bnnkit.runtime.kernels.records_of_convolutions import ConvolutionRecord, PlaneRecord
from bnnkit.runtime.kernels.tile import MAX_ACCUMULATORS, WIDE, steps
from bnnkit.runtime.kernels.vectors import I64, broadcast, call, constant, load
from bnnkit.runtime.kernels.vectors import WORDS as VECTOR

WIDE_BLOCK = WIDE[types.uint64]
"""Vectors of output channels per tile."""
PLANE_BYTES = 16
"""Bytes of a plane's offset and shift."""
LANES_OF_WORDS = LANES[types.uint64]
"""Output channels per vector."""
GROUP = 64 // LANES_OF_WORDS
"""Vectors of the channels that share a word of packed signs."""


def _plane_counts(builder, pixels, vectors, planes, at, plane_at, x_at, w_at):
    """Build acc[pixel][vector] over all taps and planes."""
    fields = [builder.add(plane_at, constant(PLANE_BYTES * j)) for j in range(planes)]
    offsets = [load(builder, field, I64, 8) for field in fields]
    shifts = [load(builder, builder.add(field, constant(8)), I64, 8) for field in fields]
    slots = [
        [[cgutils.alloca_once(builder, VECTOR) for _ in range(vectors)] for _ in range(planes)]
        for _ in range(pixels)
    ]
    for slot in (slot for pixel in slots for plane in pixel for slot in plane):
        builder.store(ir.Constant(VECTOR, None), slot)
    next_weight = cgutils.alloca_once_value(builder, w_at)
    with cgutils.for_range(builder, at["outer_count"], intp=I64) as outer:
        row = builder.add(x_at, builder.mul(outer.index, at["outer_step"]))
        with cgutils.for_range(builder, at["middle_count"], intp=I64) as middle:
            start = builder.add(row, builder.mul(middle.index, at["middle_step"]))
            inputs = [
                [
                    builder.add(
                        builder.add(start, builder.mul(constant(p), at["x_pixel"])), offset
                    )
                    for offset in offsets
                ]
                for p in range(pixels)
            ]
            with cgutils.for_range(builder, at["run"], intp=I64) as inner:
                weight = builder.load(next_weight)
                word = builder.mul(inner.index, constant(8))
                w = [
                    load(builder, builder.add(weight, constant(64 * v)), VECTOR, 8)
                    for v in range(vectors)
                ]
                for of_pixel, addresses in zip(slots, inputs, strict=True):
                    for of_plane, address in zip(of_pixel, addresses, strict=True):
                        x = load(builder, builder.add(address, word), I64, 8)
                        lanes = broadcast(builder, x, VECTOR)
                        for v, slot in enumerate(of_plane):
                            differing = call(builder, "llvm.ctpop.v8i64", builder.xor(lanes, w[v]))
                            builder.store(builder.add(builder.load(slot), differing), slot)
                builder.store(builder.add(weight, constant(64 * vectors)), next_weight)
    shifts = [broadcast(builder, shift, VECTOR) for shift in shifts]
    return [
        [_weighted(builder, of_pixel, shifts, v) for v in range(vectors)] for of_pixel in slots
    ]


def _weighted(builder, of_pixel, shifts, v):
    total = None
    for of_plane, shift in zip(of_pixel, shifts, strict=True):
        part = builder.shl(builder.load(of_plane[v]), shift)
        total = part if total is None else builder.add(total, part)
    return total


@intrinsic(prefer_literal=True)
def _tile(
    typing_context,
    pixels,
    vectors,
    planes,
    y,
    c,
    plane_at,
    x_at,
    w_at,
    vector,
    case_at,
    y_at,
    y_pixel,
):
    """Compute one tile and write it; as `tile.tile`, with the address of the planes."""
    p_count, v_count, planes_count = (n.literal_value for n in (pixels, vectors, planes))
    signature = types.void(pixels, vectors, planes, y, c, *[types.int64] * 7)
    fitting = max(1, MAX_ACCUMULATORS[types.uint64] // (v_count * planes_count))
    p_part = max(n for n in (1, 2, 4) if n <= min(p_count, fitting))

    def generate(context, builder, _signature, arguments):
        record, plane_at, x_at, w_at, vector, case_at, y_at, y_pixel = arguments[4:]
        at = {
            name: builder.extract_value(record, i)
            for i, name in enumerate(ConvolutionRecord._fields)
        }
        with steps(builder, p_count, p_part) as pixel:
            x_part = builder.add(x_at, builder.mul(pixel, at["x_pixel"]))
            counts = _plane_counts(
                builder, p_part, v_count, planes_count, at, plane_at, x_part, w_at
            )
            y_part = builder.add(y_at, builder.mul(pixel, y_pixel))
            case_part = builder.add(case_at, builder.mul(pixel, constant(8)))
            output, none = (y_part, y_pixel), constant(0)
            write_epilogue(
                builder, types.uint64, y.dtype, counts, at, vector, case_part, output, none, none
            )
        return context.get_dummy_value()

    return signature, generate


@njit(error_model="numpy")
def _plane_row(planes, y, c, plane_at, is_wide, vector, image, line, y_at, y_pixel):
    """Compute one row of output pixels for one block of channels."""
    x_at = c.x + image * c.x_image + line * c.x_row
    w_at = c.w + vector * c.w_vector
    case_at = c.cases + line * c.columns * 8
    column = 0
    while column < c.columns:
        # The last tile is shifted left until it fits: some pixels are computed twice.
        is_tile = c.columns >= PIXELS
        first = min(column, c.columns - PIXELS) if is_tile else column
        x, out, case = x_at + first * c.x_pixel, y_at + first * y_pixel, case_at + first * 8
        if is_tile and is_wide:
            _tile(PIXELS, WIDE_BLOCK, planes, y, c, plane_at, x, w_at, vector, case, out, y_pixel)
        elif is_tile:
            _tile(PIXELS, 1, planes, y, c, plane_at, x, w_at, vector, case, out, y_pixel)
        elif is_wide:
            _tile(1, WIDE_BLOCK, planes, y, c, plane_at, x, w_at, vector, case, out, y_pixel)
        else:
            _tile(1, 1, planes, y, c, plane_at, x, w_at, vector, case, out, y_pixel)
        column += PIXELS if is_tile else 1


@njit(error_model="numpy")
def _plane_vectors(planes, y, c, plane_at, first, vectors, image, line, y_at, y_pixel):
    """Compute one row of pixels for `vectors` vectors of channels."""
    vector = first
    while vector < first + vectors:
        is_wide = vector < c.vectors // WIDE_BLOCK * WIDE_BLOCK
        _plane_row(planes, y, c, plane_at, is_wide, vector, image, line, y_at, y_pixel)
        step = WIDE_BLOCK if is_wide else 1
        vector += step
        y_at += step * c.y_vector


@njit(error_model="numpy")
def _to_reals(planes, at, thread, threads):
    """Compute a thread's share of a layer with float32 outputs."""
    p = read(PlaneRecord, at)
    c = read(ConvolutionRecord, p.convolution)
    rows = c.images * c.rows
    groups = (c.vectors + GROUP - 1) // GROUP
    first_row, last_row, first_group, last_group = partition_rows_or_blocks(
        rows, groups, thread, threads
    )
    for group in range(first_group, last_group):
        first = group * GROUP
        vectors = min(GROUP, c.vectors - first)
        for row in range(first_row, last_row):
            image, line = row // c.rows, row % c.rows
            y_at = c.y + first * c.y_vector + image * c.y_image + line * c.y_row
            _plane_vectors(
                planes, FLOATS, c, p.planes, first, vectors, image, line, y_at, c.y_pixel
            )


@njit(error_model="numpy")
def _to_levels(planes, window, at, thread, threads):
    """Compute a thread's share of a layer of levels, optionally after 2x2 max-pooling.

    The sums of `window` rows of pixels go to a scratch buffer that stays in the cache.
    """
    p = read(PlaneRecord, at)
    c = read(ConvolutionRecord, p.convolution)
    n = read(LevelRecord, c.noise)
    pixel = GROUP * c.y_vector
    groups = (c.vectors + GROUP - 1) // GROUP
    rows_of_image = c.rows // window
    rows = c.images * rows_of_image
    first_row, last_row, first_group, last_group = partition_rows_or_blocks(
        rows, groups, thread, threads
    )
    scratch = c.scratch + thread * c.scratch_thread
    for group in range(first_group, last_group):
        first = group * GROUP
        vectors = min(GROUP, c.vectors - first)
        for row in range(first_row, last_row):
            image, line = row // rows_of_image, row % rows_of_image
            for half in range(window):
                y_at = scratch + half * c.columns * pixel
                _plane_vectors(
                    planes,
                    SUMS,
                    c,
                    p.planes,
                    first,
                    vectors,
                    image,
                    window * line + half,
                    y_at,
                    pixel,
                )
            channel = first * LANES_OF_WORDS
            y_at = c.y + image * c.y_image + line * c.y_row + channel // 8
            channels = vectors * LANES_OF_WORDS
            level_row(
                SUMS, window, n, c.columns // window, channel, channels, scratch, pixel,
                c.columns * pixel, y_at, c.y_pixel,
            )  # fmt: skip


def planes_2_to_reals(at, thread, threads):
    """From two bit planes to float32; `at` is a PlaneRecord, as below."""
    _to_reals(2, at, thread, threads)


def planes_3_to_reals(at, thread, threads):
    """From three bit planes to float32."""
    _to_reals(3, at, thread, threads)


def planes_4_to_reals(at, thread, threads):
    """From four bit planes to float32."""
    _to_reals(4, at, thread, threads)


def planes_2_to_levels(at, thread, threads):
    """From two bit planes to bit planes or signs."""
    _to_levels(2, 1, at, thread, threads)


def planes_3_to_levels(at, thread, threads):
    """From three bit planes to bit planes or signs."""
    _to_levels(3, 1, at, thread, threads)


def planes_4_to_levels(at, thread, threads):
    """From four bit planes to bit planes or signs."""
    _to_levels(4, 1, at, thread, threads)


def planes_2_to_pooled_levels(at, thread, threads):
    """From two bit planes to the bit planes or signs of sums after 2x2 max-pooling."""
    _to_levels(2, 2, at, thread, threads)


def planes_3_to_pooled_levels(at, thread, threads):
    """From three bit planes to the bit planes or signs of sums after 2x2 max-pooling."""
    _to_levels(3, 2, at, thread, threads)


def planes_4_to_pooled_levels(at, thread, threads):
    """From four bit planes to the bit planes or signs of sums after 2x2 max-pooling."""
    _to_levels(4, 2, at, thread, threads)
