"""Stochastic signs of 64 channels of a pixel: random words, quantiles, comparison, packing.

    clear the bit (+1) where x >= fl(t + fl(r * z)),    z = table[i]

Eight counters give 64 table indices i of 12 bits (docs/artifact.md, Sampling). The two halves of a
32-bit word belong to neighbouring channels, so a vector of eight words indexes 16 channels.

Looking up a quantile costs more than computing its index. With 512-bit vectors, a piecewise-linear
approximation of the table that fits into registers (quantiles.py) is tried first. It decides the
sign where |x - threshold| exceeds the error bound of the approximation. Otherwise, for about one
vector in thirty, the table decides. The result is therefore always that of the table.

On AArch64, the table decides always. Instead of indices, offsets into the table are stored, which
have 16 bits, and four of them are loaded at once.
"""

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from bnnkit.runtime.kernels import philox
from bnnkit.runtime.kernels.cpu import has_512_bits, is_aarch64
from bnnkit.runtime.kernels.records import PIXELS, NoisyThresholdRecord
from bnnkit.runtime.kernels.vectors import (
    F32,
    FLOATS,
    I8,
    I16,
    I32,
    I64,
    broadcast,
    call,
    constant,
    load,
    store,
    valid_lanes,
)

INTS = ir.VectorType(I32, 16)
SHORTS = ir.VectorType(I16, 16)
OCTETS = ir.VectorType(I8, 64)
FLOAT_2_23 = 0x4B000000
"""Bit pattern of the float 2^23, whose unit in the last place is 1."""
LANES = 16
"""Channels per vector."""
PARTS = 4
"""Vectors that share eight counters: 64 channels, one word of packed signs."""


@intrinsic
def index_buffer(typing_context):
    """Allocate the result of `draw_indices` on the caller's stack and return its address."""
    signature = types.int64()

    def generate(context, builder, _signature, _arguments):
        size = ir.Constant(I32, PIXELS * PARTS)
        return builder.ptrtoint(cgutils.alloca_once(builder, INTS, size), I64)

    return signature, generate


@intrinsic(prefer_literal=True)
def draw_indices(typing_context, pixels, n, counter, block, indices_at):
    """Draw the indices into the table of quantiles for 64 channels of some pixels.

    Args:
        typing_context: Numba's.
        pixels: A literal. Generating several pixels side by side hides the generator's latency.
        n: A NoisyThresholdRecord.
        counter: Three int64: image number, sample word, mirror mask.
        block: First of the eight counters of the first pixel.
        indices_at: Address of the result, vectors (PARTS, pixels).
    """
    count = pixels.literal_value
    signature = types.void(pixels, n, counter, types.int64, types.int64)

    def generate(context, builder, _signature, arguments):
        record, numbers, block, indices_at = arguments[1:]
        at = {
            name: builder.extract_value(record, i)
            for i, name in enumerate(NoisyThresholdRecord._fields)
        }
        image, sample, mirror = (builder.extract_value(numbers, i) for i in range(3))
        is_short = is_aarch64()
        draw, extract = (philox.narrow_words, _offsets) if is_short else (philox.words, _indices)
        flip = _flip_of_offsets(builder, mirror) if is_short else _flip(builder, mirror)
        for p in range(count):
            first = builder.add(block, builder.mul(constant(p), at["blocks"]))
            words = draw(builder, first, at["layer"], sample, image, at["keys"])
            for part, word in enumerate(words):
                address = builder.add(indices_at, constant(64 * (part * count + p)))
                store(builder, extract(builder, word, flip), address, 64)
        return context.get_dummy_value()

    return signature, generate


@intrinsic(prefer_literal=True)
def compare_with_noise(
    typing_context, kind, window, pixels, n, indices_at, x_at, x_step, pixel, down, channel, y_at,
    y_step,
):  # fmt: skip
    """Compute the signs of 16 channels of some pixels and write them as 16 bits per pixel.

    Args:
        typing_context: Numba's.
        kind: An array of the dtype of x, int32 or float32.
        window: A literal: 1, or 2 to compare the maximum over 2x2 pixels.
        pixels: A literal.
        n: A NoisyThresholdRecord.
        indices_at: Address of one vector of indices per pixel.
        x_at: Address of the first pixel, or of the upper left pixel of the first window.
        x_step: Bytes to the next pixel or window.
        pixel: Bytes to the right pixel of a window.
        down: Bytes to the lower pixel of a window.
        channel: First channel.
        y_at: Address of the first result.
        y_step: Bytes between results.
    """
    is_float, is_pooled = kind.dtype == types.float32, window.literal_value == 2
    signature = types.void(kind, window, pixels, n, *[types.int64] * 8)

    def generate(context, builder, _signature, arguments):
        record, indices_at, x_at, x_step, right, down, channel, y_at, y_step = arguments[3:]
        at = {
            name: builder.extract_value(record, i)
            for i, name in enumerate(NoisyThresholdRecord._fields)
        }
        lines = _lines(builder, at) if has_512_bits() else None
        parameters = _parameters(builder, at, channel)
        # Beyond the last channel t is -inf. Sums are numbers there, but float32 may be NaN.
        valid = valid_lanes(builder, at, channel) if is_float else None
        below = builder.add(x_at, down)
        corners = [x_at]
        if is_pooled:
            corners = [x_at, builder.add(x_at, right), below, builder.add(below, right)]
        for p in range(pixels.literal_value):
            step = builder.mul(constant(p), x_step)
            addresses = [builder.add(corner, step) for corner in corners]
            x = (
                load(builder, addresses[0], FLOATS, 4)
                if is_float
                else _largest(builder, addresses)
            )
            index_at = builder.add(indices_at, constant(64 * p))
            index = index_at if is_aarch64() else load(builder, index_at, INTS, 64)
            address = builder.add(y_at, builder.mul(constant(p), y_step))
            _write_bits(builder, at, x, index, parameters, lines, valid, address)
        return context.get_dummy_value()

    return signature, generate


def _largest(builder, corners):
    """Compute the maximum of the int32 sums of some pixels, as float32."""
    sums = [load(builder, corner, INTS, 4) for corner in corners]
    largest = sums[0]
    for other in sums[1:]:
        largest = builder.select(builder.icmp_signed(">", other, largest), other, largest)
    return builder.sitofp(largest, FLOATS)


def _flip(builder, mirror):
    """Compute what `_indices` xors: the mirror mask and the bits of 2^23 + 8."""
    upper = builder.trunc(builder.shl(mirror, constant(4)), I32)
    flip = builder.or_(upper, ir.Constant(I32, FLOAT_2_23 + 8))
    return broadcast(builder, flip, INTS)


def _indices(builder, words, flip):
    """Extract the upper 12 bits i of each 16-bit half of a word, as floats 2^23 + 16 i + 8.

    The bits are placed into the mantissa directly, so no shift or conversion is needed.
    """
    pairs = [byte for lane in range(8) for byte in (8 * lane, 8 * lane + 2)]
    zero = 64  # first byte of the second operand of the shuffle, which is zero
    order = [byte for first in pairs for byte in (first, first + 1, zero, zero)]
    octets = builder.bitcast(words, OCTETS)
    mask = ir.Constant(ir.VectorType(I32, 64), order)
    halves = builder.shuffle_vector(octets, ir.Constant(OCTETS, None), mask)
    upper = builder.and_(builder.bitcast(halves, INTS), ir.Constant(INTS, [0xFFF0] * LANES))
    return builder.xor(upper, flip)


def _flip_of_offsets(builder, mirror):
    """Compute what `_offsets` xors, four times the mirror mask."""
    four = builder.shl(builder.trunc(mirror, I16), ir.Constant(I16, 2))
    return broadcast(builder, four, SHORTS)


def _offsets(builder, words, flip):
    """Extract 4 i, of the upper 12 bits i of each 16-bit half of two vectors of words."""
    shift, mask = (ir.Constant(SHORTS, [number] * LANES) for number in (2, 0x3FFC))
    lanes = ir.Constant(ir.VectorType(I32, 8), list(range(8)))
    halves = builder.bitcast(builder.shuffle_vector(*words, lanes), SHORTS)
    return builder.xor(builder.and_(builder.lshr(halves, shift), mask), flip)


def _parameters(builder, at, channel):
    """Load t, r and slack of 16 channels."""
    offset = builder.mul(channel, constant(4))
    names = "thresholds", "scales", "slacks"
    return [load(builder, builder.add(at[name], offset), FLOATS, 4) for name in names]


def _write_bits(builder, at, x, index, parameters, lines, valid, address):
    """Write 16 bits, set where x is below its threshold or NaN.

    `index` is a vector of indices, or the address of offsets.
    """
    t, r, slack = parameters

    def write(bits):
        bits = builder.bitcast(bits, I16)
        store(builder, bits if valid is None else builder.and_(bits, valid), address, 1)

    if is_aarch64():
        write(_is_below(builder, x, _quantiles_at(builder, at, index), t, r))
        return
    if lines is None:
        write(_is_below(builder, x, _quantiles(builder, at, index), t, r))
        return
    bits, is_open = _by_lines(builder, lines, x, index, t, r, slack)
    write(bits)
    with builder.if_then(is_open, likely=False):
        write(_is_below(builder, x, _quantiles(builder, at, index), t, r))


def _is_below(builder, x, z, t, r):
    """Compare with quantiles; product and sum round separately, not fused."""
    return builder.fcmp_unordered("<", x, builder.fadd(t, builder.fmul(r, z)))


def _quantiles(builder, at, index):
    """Look up the quantiles of indices that are floats."""
    mask, shift = (ir.Constant(INTS, [number] * LANES) for number in (0xFFF0, 4))
    entries = builder.lshr(builder.and_(index, mask), shift)
    z = ir.Constant(FLOATS, ir.Undefined)
    for lane in range(LANES):
        number = ir.Constant(I32, lane)
        entry = builder.zext(builder.extract_element(entries, number), I64)
        offset = builder.mul(entry, constant(4))
        z = builder.insert_element(z, _quantile_at(builder, at, offset), number)
    return z


def _quantiles_at(builder, at, offsets_at):
    """Look up the quantiles at offsets of 16 bits, four of which are loaded at once."""
    z = ir.Constant(FLOATS, ir.Undefined)
    for lane in range(LANES):
        if lane % 4 == 0:
            four = load(builder, builder.add(offsets_at, constant(2 * lane)), I64, 8)
        offset = builder.and_(builder.lshr(four, constant(16 * (lane % 4))), constant(0xFFFF))
        z = builder.insert_element(z, _quantile_at(builder, at, offset), ir.Constant(I32, lane))
    return z


def _quantile_at(builder, at, offset):
    """Load the quantile at an offset of some bytes into the table."""
    return load(builder, builder.add(at["table"], offset), F32, 4)


def _by_lines(builder, lines, x, index, t, r, slack):
    """Compare with the piecewise-linear approximation of the quantiles.

    With q = 8 (2i - 4095) and v = 33280 - |q|, which is 520 at both ends of the table and 33272 in
    its middle, the exponent of v and two bits of its mantissa select the line. Lines are short at
    the ends, where the quantiles of most noises are steep.

    Returns:
        The bits, and whether any lane is undecided: NaN, or within the error of its threshold.
    """
    q = builder.fsub(builder.bitcast(index, FLOATS), _floats(2.0**23 + 32768))
    v = builder.fsub(_floats(33280.0), call(builder, "llvm.fabs.v16f32", q))
    line = builder.lshr(builder.bitcast(v, INTS), ir.Constant(INTS, [21] * LANES))
    start, slope, error = (_entry(builder, halves, line) for halves in lines)
    size = call(builder, "llvm.fma.v16f32", slope, v, start)
    z = call(builder, "llvm.copysign.v16f32", size, q)
    difference = builder.fsub(x, call(builder, "llvm.fma.v16f32", r, z, t))
    reach = call(builder, "llvm.fma.v16f32", r, error, slack)
    distance = call(builder, "llvm.fabs.v16f32", difference)
    is_close = builder.bitcast(builder.fcmp_unordered("<=", distance, reach), I16)
    is_open = builder.icmp_signed("!=", is_close, ir.Constant(I16, 0))
    return builder.fcmp_ordered("<", difference, _floats(0.0)), is_open


def _floats(number):
    return ir.Constant(FLOATS, [number] * LANES)


def _lines(builder, at):
    """Load intercept, slope and error bound of all lines, each in two registers."""
    return [
        [
            load(builder, builder.add(at["lines"], constant(128 * row + 64 * half)), FLOATS, 4)
            for half in range(2)
        ]
        for row in range(3)
    ]


def _entry(builder, halves, line):
    """Select one coefficient of the line of each lane."""
    kind = ir.FunctionType(FLOATS, [FLOATS, INTS, FLOATS])
    name = "llvm.x86.avx512.vpermi2var.ps.512"
    permute = cgutils.get_or_insert_function(builder.module, kind, name)
    return builder.call(permute, [halves[0], line, halves[1]])
