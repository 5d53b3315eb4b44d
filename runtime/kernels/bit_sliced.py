"""Binary convolutions of small groups, depthwise ones above all, with bit-sliced counters.

Output channels lie across the *bits* of words, 64 a word, as packed maps store them. The signs
that differ from the weights are counted for all of them at once: bit p of a channel's count lies
in plane p, and full adders add three taps at a time:

    d[t] = x[pixel + offset[t]] ^ w[t]         planes += d[t] + d[t + 1] + d[t + 2]

A limit on the count is compared plane by plane, which gives packed signs; for sums and reals, the
planes are expanded to one number per channel.

A depthwise layer reads the packed map as it is. A group with several inputs has as many taps for
each pixel, and every output needs the inputs of its group in its own bit: `spread_groups`
(spread_groups.py) writes one row for each of them.

Pixels are contiguous where the stride is 1, so that a vector covers several pixels of few
channels. Weights and limits are continued periodically (memory/bit_sliced.py), so that a vector
can start at any word of a pixel.
"""

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic, overload

from bnnkit.runtime.kernels.cpu import has_512_bits
from bnnkit.runtime.kernels.epilogue import signs_to_reals, signs_to_sums
from bnnkit.runtime.kernels.maps import get, partition_rows, put, row_at
from bnnkit.runtime.kernels.records import Map, read
from bnnkit.runtime.kernels.records_of_convolutions import BitSlicedRecord
from bnnkit.runtime.kernels.vectors import I1, I8, I32, I64, constant, load, store

SIGNS = np.zeros(1, np.uint8)
SUMS = np.zeros(1, np.int32)
REALS = np.zeros(1, np.float32)
CASES = np.zeros(1, np.int64)
WORDS = np.zeros(1, np.uint64)
"""Arrays whose dtype selects an element type."""

VECTOR_WORDS = 8 if has_512_bits() else 4
"""Words of a vector."""
NINE, MANY = 9, 254
"""Taps of the two versions of the micro-kernel: exactly nine, and up to so many."""
PLANES = {NINE: 4, MANY: 8}
"""Planes of their counts. No count has all bits set, so that a limit exists that none reaches."""
SCRATCH = VECTOR_WORDS * PLANES[MANY] * 8
"""Bytes of a thread's scratch, for the planes of a vector."""
BYTES = 64 if has_512_bits() else 16
"""Counts that are assembled from planes at once."""
NUMBERS = 16
"""Sums or reals that are written at once."""
VECTOR = ir.VectorType(I64, VECTOR_WORDS)
EPILOGUES = {types.int32: signs_to_sums, types.float32: signs_to_reals}


def _fields(builder, record):
    """Return the fields of a BitSlicedRecord by name."""
    return {
        name: builder.extract_value(record, i) for i, name in enumerate(BitSlicedRecord._fields)
    }


def _full_adder(builder, a, b, c):
    """Add three bits of every lane; return the bits of weight 1 and 2."""
    either = builder.xor(a, b)
    carry = builder.or_(builder.and_(a, b), builder.and_(either, c))
    return builder.xor(either, c), carry


def _half_adder(builder, a, b):
    """Add two bits of every lane; return the bits of weight 1 and 2."""
    return builder.xor(a, b), builder.and_(a, b)


def _differing(builder, at, x_at, w_at, tap):
    """Return a vector of words whose bits are set where a tap differs from its weight."""
    offset = load(builder, builder.add(at["offsets"], builder.mul(tap, constant(8))), I64, 8)
    x = load(builder, builder.add(x_at, offset), VECTOR, 8)
    w = load(builder, builder.add(w_at, builder.mul(tap, at["w_tap"])), VECTOR, 8)
    return builder.xor(x, w)


def _count_nine(builder, at, x_at, w_at):
    """Count nine taps; return the planes of the counts."""
    taps = [_differing(builder, at, x_at, w_at, constant(tap)) for tap in range(NINE)]
    ones, twos = zip(*(_full_adder(builder, *taps[i : i + 3]) for i in (0, 3, 6)), strict=True)
    first, carry = _full_adder(builder, *ones)
    total, four = _full_adder(builder, *twos)
    second, more = _half_adder(builder, total, carry)
    return [first, second, *_half_adder(builder, four, more)]


def _count_many(builder, at, x_at, w_at):
    """Count any number of taps, three at a time; return the planes of the counts."""
    planes = [cgutils.alloca_once(builder, VECTOR) for _ in range(PLANES[MANY])]
    for plane in planes:
        builder.store(ir.Constant(VECTOR, None), plane)
    whole = builder.sub(at["taps"], builder.urem(at["taps"], constant(3)))
    bounds = constant(0), whole, constant(3)
    with cgutils.for_range_slice(builder, *bounds, intp=I64) as (tap, _):
        three = [
            _differing(builder, at, x_at, w_at, builder.add(tap, constant(i))) for i in range(3)
        ]
        _add(builder, planes, *_full_adder(builder, *three))
    bounds = whole, at["taps"], constant(1)
    with cgutils.for_range_slice(builder, *bounds, intp=I64) as (tap, _):
        _add(builder, planes, _differing(builder, at, x_at, w_at, tap), None)
    return [builder.load(plane) for plane in planes]


def _add(builder, planes, ones, twos):
    """Add ones + 2 twos to counters, given as slots of planes; `twos` is None for one bit."""
    for index, slot in enumerate(planes):
        plane = builder.load(slot)
        if index == 1 and twos is not None:
            total, ones = _full_adder(builder, plane, twos, ones)
        else:
            total, ones = _half_adder(builder, plane, ones)
        builder.store(total, slot)


COUNTS = {NINE: _count_nine, MANY: _count_many}


@intrinsic(prefer_literal=True)
def _compare(typing_context, taps, d, x_at, w_at, limit_at, y_at):
    """Write a vector of signs: set a bit (-1) where the count reaches its limit.

    Args:
        typing_context: Numba's.
        taps: The version of the micro-kernel, a literal.
        d: A BitSlicedRecord.
        x_at: Address of the first tap of the first word.
        w_at: Address of the weights of the first tap.
        limit_at: Address of the lowest plane of the limits.
        y_at: Address of the result.
    """
    version = taps.literal_value

    def generate(context, builder, _signature, arguments):
        record, x_at, w_at, limit_at, y_at = arguments[1:]
        at = _fields(builder, record)
        borrow = ir.Constant(VECTOR, None)
        for index, plane in enumerate(COUNTS[version](builder, at, x_at, w_at)):
            place = builder.add(limit_at, builder.mul(constant(index), at["w_tap"]))
            limit = load(builder, place, VECTOR, 8)
            _, borrow = _full_adder(builder, builder.not_(plane), limit, borrow)
        store(builder, builder.not_(borrow), y_at, 8)
        return context.get_dummy_value()

    return types.void(taps, d, *[types.int64] * 4), generate


@intrinsic(prefer_literal=True)
def _store_planes(typing_context, taps, d, x_at, w_at, planes_at):
    """Write the planes of the counts, VECTOR_WORDS words apart; arguments as in `_compare`."""
    version = taps.literal_value

    def generate(context, builder, _signature, arguments):
        record, x_at, w_at, planes_at = arguments[1:]
        at = _fields(builder, record)
        for index, plane in enumerate(COUNTS[version](builder, at, x_at, w_at)):
            place = builder.add(planes_at, constant(8 * VECTOR_WORDS * index))
            store(builder, plane, place, 8)
        return context.get_dummy_value()

    return types.void(taps, d, *[types.int64] * 3), generate


@intrinsic(prefer_literal=True)
def _expand(typing_context, y, taps, d, planes_at, channel, table, y_at):
    """Write the sums or reals of the channels of one word.

    Args:
        typing_context: Numba's.
        y: An array of the output's dtype.
        taps: The version of the micro-kernel, a literal.
        d: A BitSlicedRecord.
        planes_at: Address of the word in the lowest plane.
        channel: Index of the word's first channel.
        table: Address of the base of every channel, a row of the table.
        y_at: Address of the pixel.
    """
    count, epilogue = PLANES[taps.literal_value], EPILOGUES[y.dtype]

    def generate(context, builder, _signature, arguments):
        record, planes_at, channel, table, y_at = arguments[2:]
        at = _fields(builder, record)
        block = _assemble(builder, count, planes_at) if BYTES == 64 else None
        for first in range(0, 64, NUMBERS):
            here = builder.add(channel, constant(first))
            with builder.if_then(builder.icmp_signed("<", here, at["channels"])):
                if BYTES == NUMBERS:
                    block = _assemble(builder, count, builder.add(planes_at, constant(first // 8)))
                lanes = list(range(first % BYTES, first % BYTES + NUMBERS))
                mask = ir.Constant(ir.VectorType(I32, NUMBERS), lanes)
                part = builder.shuffle_vector(block, ir.Constant(block.type, ir.Undefined), mask)
                counts = builder.zext(part, ir.VectorType(I32, NUMBERS))
                offset = builder.mul(here, constant(4))
                scale = builder.add(at["scale"], offset)
                shift = builder.add(scale, at["scale_row"])
                base = builder.add(table, offset)
                value = epilogue(builder, at, counts, base, scale, shift)
                store(builder, value, builder.add(y_at, offset), 4)
        return context.get_dummy_value()

    return types.void(y, taps, d, *[types.int64] * 4), generate


def _assemble(builder, planes, planes_at):
    """Assemble BYTES counts, as bytes, from the bits of their planes."""
    kind = ir.VectorType(I8, BYTES)
    counts = ir.Constant(kind, None)
    for index in range(planes):
        bits = _bits(builder, builder.add(planes_at, constant(8 * VECTOR_WORDS * index)))
        more = builder.add(counts, ir.Constant(kind, [ir.Constant(I8, 1 << index)] * BYTES))
        counts = builder.select(bits, more, counts)
    return counts


def _bits(builder, address):
    """Load BYTES bits as a mask of lanes."""
    if BYTES == 64:
        return builder.bitcast(load(builder, address, I64, 2), ir.VectorType(I1, 64))
    pair = load(builder, address, ir.VectorType(I8, 2), 2)
    repeat = ir.Constant(ir.VectorType(I32, 16), [0] * 8 + [1] * 8)
    both = builder.shuffle_vector(pair, ir.Constant(pair.type, ir.Undefined), repeat)
    powers = ir.Constant(both.type, [ir.Constant(I8, 1 << bit % 8) for bit in range(16)])
    return builder.icmp_unsigned("!=", builder.and_(both, powers), ir.Constant(both.type, None))


@njit(error_model="numpy")
def _convolve(kind, at, thread, threads):
    """Compute a thread's share of a layer with outputs of the dtype of `kind`."""
    d = read(BitSlicedRecord, at)
    y = read(Map, d.y)
    scratch = d.scratch + thread * SCRATCH
    is_flat = d.x_pixel == d.words * 8
    first, last = partition_rows(y, thread, threads)
    for row in range(first, last):
        image, line = row // y.rows, row % y.rows
        x_at, y_at = d.x + image * d.x_image + line * d.x_row, row_at(y, row)
        cases = d.cases + line * y.columns * 8
        column = 0
        while column < y.columns:
            case = get(CASES, cases + column * 8)
            end = column + 1
            while is_flat and end < y.columns and get(CASES, cases + end * 8) == case:
                end += 1
            x, out, table = x_at + column * d.x_pixel, y_at + column * y.pixel, d.table
            _line(kind, d, x, table + case * d.table_row, out, y.pixel, end - column, scratch)
            column = end


def _line(kind, d, x_at, table, y_at, y_pixel, pixels, scratch):
    """Compute contiguous pixels of one border case.

    The last vector reads beyond the pixels, and is written in part.
    """


@overload(_line, jit_options={"error_model": "numpy"})
def _line_of_kind(kind, d, x_at, table, y_at, y_pixel, pixels, scratch):
    return _line_of_signs if kind.dtype == types.uint8 else _line_of_numbers


def _line_of_signs(kind, d, x_at, table, y_at, y_pixel, pixels, scratch):
    count, phase = pixels * d.words, 0
    for word in range(0, count, VECTOR_WORDS):
        is_whole = word + VECTOR_WORDS <= count
        x, w, limits = x_at + word * 8, d.w + phase * 8, table + phase * 8
        y = y_at + word * 8 if is_whole else scratch
        if d.taps == NINE:
            _compare(NINE, d, x, w, limits, y)
        else:
            _compare(MANY, d, x, w, limits, y)
        if not is_whole:
            for i in range(count - word):
                put(WORDS, y_at + (word + i) * 8, get(WORDS, scratch + i * 8))
        phase += d.phase
        if phase >= d.words:
            phase -= d.words


def _line_of_numbers(kind, d, x_at, table, y_at, y_pixel, pixels, scratch):
    count, phase = pixels * d.words, 0
    y, channel = y_at, 0
    for word in range(0, count, VECTOR_WORDS):
        x, w = x_at + word * 8, d.w + phase * 8
        if d.taps == NINE:
            _store_planes(NINE, d, x, w, scratch)
        else:
            _store_planes(MANY, d, x, w, scratch)
        for i in range(min(VECTOR_WORDS, count - word)):
            if d.taps == NINE:
                _expand(kind, NINE, d, scratch + i * 8, channel, table, y)
            else:
                _expand(kind, MANY, d, scratch + i * 8, channel, table, y)
            channel += 64
            if channel >= d.channels:
                channel = 0
                y += y_pixel
        phase += d.phase
        if phase >= d.words:
            phase -= d.words


def bit_slices_to_signs(at, thread, threads):
    """From packed signs to packed signs; `at` is a BitSlicedRecord."""
    _convolve(SIGNS, at, thread, threads)


def bit_slices_to_sums(at, thread, threads):
    """From packed signs to int32 sums."""
    _convolve(SUMS, at, thread, threads)


def bit_slices_to_reals(at, thread, threads):
    """From packed signs to float32, sum * scale + bias."""
    _convolve(REALS, at, thread, threads)
