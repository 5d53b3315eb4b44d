"""Real numbers and sums to packed signs and back; all maps are NHWC."""

from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

from bnnkit.runtime.kernels.vectors import F32, I8, I32, load


@intrinsic
def _below(typing_context, values, value_at, threshold_at):
    """Eight comparisons value < threshold as the bits of a byte, for float32 or int32."""
    signature = types.uint8(values, types.int64, types.int64)
    is_float = values.dtype == types.float32
    vector = ir.VectorType(F32 if is_float else I32, 8)

    def generate(context, builder, _signature, arguments):
        value = load(builder, arguments[1], vector, 4)
        threshold = load(builder, arguments[2], vector, 4)
        compare = builder.fcmp_ordered if is_float else builder.icmp_signed
        return builder.bitcast(compare("<", value, threshold), I8)

    return signature, generate


@njit(nogil=True, cache=True)
def pack_below(values, thresholds, out, channels, first_image, last_image):
    """Set a bit (-1) where the value is below the threshold of its channel.

    Args:
        values: float32 or int32, (N, H, W, C), channels contiguous.
        thresholds: Same type, (C,); zeros give the sign.
        out: uint8 view of a packed map, (N, H, W, bytes). Modified in place.
        channels: C.
        first_image: Of the batch.
        last_image: One past the last.
    """
    item = values.itemsize
    for n in range(first_image, last_image):
        for y in range(values.shape[1]):
            for x in range(values.shape[2]):
                value_at = values[n, y, x].ctypes.data
                for byte in range(channels // 8):
                    at = byte * 8 * item
                    out[n, y, x, byte] = _below(values, value_at + at, thresholds.ctypes.data + at)
                if channels % 8:
                    last = 0
                    for channel in range(channels // 8 * 8, channels):
                        if values[n, y, x, channel] < thresholds[channel]:
                            last |= 1 << (channel % 8)
                    out[n, y, x, channels // 8] = last


@njit(nogil=True, cache=True)
def unpack(words, out, first_image, last_image):
    """Packed signs to -1.0 and +1.0.

    Args:
        words: uint64, (N, H, W, words).
        out: float32, (N, H, W, C). Modified in place.
        first_image: Of the batch.
        last_image: One past the last.
    """
    for n in range(first_image, last_image):
        for y in range(out.shape[1]):
            for x in range(out.shape[2]):
                for channel in range(out.shape[3]):
                    bit = (words[n, y, x, channel >> 6] >> (channel & 63)) & 1
                    out[n, y, x, channel] = 1.0 - 2.0 * bit


@njit(nogil=True, cache=True)
def align_groups(words, out, groups, group_channels, first_image, last_image):
    """Move the channels of each group to the start of a word.

    Args:
        words: uint64, (N, H, W, words).
        out: uint64, (N, H, W, groups * words of a group), zero where unused. Modified in place.
        groups: G.
        group_channels: C / G.
        first_image: Of the batch.
        last_image: One past the last.
    """
    group_words = out.shape[3] // groups
    for n in range(first_image, last_image):
        for y in range(out.shape[1]):
            for x in range(out.shape[2]):
                for word in range(out.shape[3]):
                    out[n, y, x, word] = 0
                for group in range(groups):
                    for k in range(group_channels):
                        channel = group * group_channels + k
                        bit = (words[n, y, x, channel >> 6] >> (channel & 63)) & 1
                        out[n, y, x, group * group_words + (k >> 6)] |= bit << (k & 63)


@njit(nogil=True, cache=True)
def max_pool(words, out, size, stride, dilation, padding, first_image, last_image):
    """Maximum of signs: -1 only where all signs of the window are -1, so the AND of the words.

    Args:
        words: uint64, (N, H, W, words), without margin.
        out: uint64, (N, OH, OW, words). Modified in place.
        size: Height and width of the window.
        stride: Vertical and horizontal; likewise the next two.
        dilation: Distance of the window's pixels.
        padding: Before the first pixel; the window is clipped there.
        first_image: Of the batch.
        last_image: One past the last.
    """
    height, width = words.shape[1], words.shape[2]
    for n in range(first_image, last_image):
        for oy in range(out.shape[1]):
            for ox in range(out.shape[2]):
                for word in range(out.shape[3]):
                    common = ~(words[n, 0, 0, word] & 0)
                    for ky in range(size[0]):
                        y = oy * stride[0] - padding[0] + ky * dilation[0]
                        if 0 <= y < height:
                            for kx in range(size[1]):
                                x = ox * stride[1] - padding[1] + kx * dilation[1]
                                if 0 <= x < width:
                                    common &= words[n, y, x, word]
                    out[n, oy, ox, word] = common


@njit(nogil=True, cache=True)
def centre(image, zero_point, out, first_image, last_image):
    """Pixels less their channel's zero point, as float32 in NHWC.

    Args:
        image: uint8, (N, C, H, W).
        zero_point: float32, (C,).
        out: float32, (N, H, W, C). Modified in place.
        first_image: Of the batch.
        last_image: One past the last.
    """
    for n in range(first_image, last_image):
        for channel in range(image.shape[1]):
            for y in range(image.shape[2]):
                for x in range(image.shape[3]):
                    pixel = image[n, channel, y, x]
                    out[n, y, x, channel] = pixel - zero_point[channel]
