"""The bodies of the operators that draw noise (docs/artifact.md, Sampling), in standard operators.

Nothing but Mul, Add, bitwise operators and shifts of unsigned integers, and a look-up: every
engine gives the same bits.
"""

from string import Template
from typing import Final

# From the positions of x (N, C, ...) to fl(t + fl(r * z)) of the shape of x. P positions for each
# channel, C64 channels rounded up to a multiple of 64; blocks (P * C64 / 8,) along the columns,
# images (N, 1) along the rows. The words of eight blocks, (N, B / 8, 4, 8), with the lower and the
# upper half of each, (..., 2), are in the order of the positions u = p * C64 + c.
_NOISY_LIMIT: Final = """
      one = Constant <value = int64 {1}> ()
      two = Constant <value = int64 {2}> ()
      eight = Constant <value = int64 {8}> ()
      sixty_three = Constant <value = int64 {63}> ()
      sixty_four = Constant <value = int64 {64}> ()
      first_axis = Constant <value_ints: ints = [0]> ()
      axis_1 = Constant <value_ints: ints = [1]> ()
      axis_2 = Constant <value_ints: ints = [2]> ()
      flat = Constant <value_ints: ints = [-1]> ()
      one_block = Constant <value_ints: ints = [8]> ()
      x_shape = Shape (x)
      n_images = Shape <start: int = 0, end: int = 1> (x)
      n_channels = Shape <start: int = 1, end: int = 2> (x)
      map_sizes = Shape <start: int = 2> (x)
      n_positions = ReduceProd <keepdims: int = 1> (map_sizes)
      channels_up = Add (n_channels, sixty_three)
      n_groups = Div (channels_up, sixty_four)
      n_padded = Mul (n_groups, sixty_four)
      n_numbers = Mul (n_positions, n_padded)
      n_blocks = Div (n_numbers, eight)
      blocks_end = Squeeze (n_blocks)
      images_end = Squeeze (n_images)
      block_range = Range (none, blocks_end, one)
      image_range = Range (none, images_end, one)
      image_numbers = Add (image_range, image_offset)
      image_column = Unsqueeze (image_numbers, axis_1)
      half_sample = Div (sample, two)
      sample_number = Where (antithetic, half_sample, sample)
      c0 = Cast <to: int = 12> (block_range)
      c1 = Cast <to: int = 12> (layer_number)
      c2 = Cast <to: int = 12> (sample_number)
      c3 = Cast <to: int = 12> (image_column)
      width = Constant <value = uint64 {32}> ()
      low_word = Constant <value = uint64 {4294967295}> ()
      low_key = BitwiseAnd (seed, low_word)
      high_key = BitShift <direction: string = "RIGHT"> (seed, width)
      k0 = Cast <to: int = 12> (low_key)
      k1 = Cast <to: int = 12> (high_key)
      w0, w1, w2, w3 = bnnkit.Philox (c0, c1, c2, c3, k0, k1)
      eights = Concat <axis: int = 0> (n_images, flat, one_block)
      v0 = Reshape (w0, eights)
      v1 = Reshape (w1, eights)
      v2 = Reshape (w2, eights)
      v3 = Reshape (w3, eights)
      words_flat = Concat <axis: int = 2> (v0, v1, v2, v3)
      last = Constant <value_ints: ints = [3]> ()
      words = Unsqueeze (words_flat, last)
      places = Constant <value = uint32[2] {4, 20}> ()
      twelve_bits = Constant <value = uint32 {4095}> ()
      shifted = BitShift <direction: string = "RIGHT"> (words, places)
      u = BitwiseAnd (shifted, twelve_bits)
      odd = Mod (sample, two)
      is_odd = Equal (odd, one)
      is_mirrored = And (antithetic, is_odd)
      largest = Constant <value = int64 {4095}> ()
      flips = Where (is_mirrored, largest, none)
      mirror = Cast <to: int = 12> (flips)
      mirrored = BitwiseXor (u, mirror)
      index = Cast <to: int = 6> (mirrored)
      by_position_shape = Concat <axis: int = 0> (n_images, n_positions, n_padded)
      by_position = Reshape (index, by_position_shape)
      used = Slice (by_position, first_axis, n_channels, axis_2)
      by_channel = Transpose <perm: ints = [0, 2, 1]> (used)
      like_x = Reshape (by_channel, x_shape)
      z = Gather <axis: int = 0> (table, like_x)
      noise = Mul (scale, z)
      noisy_limit = Add (threshold, noise)
"""

_PHILOX_ROUNDS: Final = 10
_WORD: Final = 2**32

# One round of Philox4x32, on words 0 to 2^32 - 1 that are held in uint64, where the product of two
# of them is exact: (c0, c1, c2, c3) -> (hi(p2) ^ c1 ^ k0, lo(p2), hi(p0) ^ c3 ^ k1, lo(p0)) with
# p0 = c0 * factor0 and p2 = c2 * factor1.
_PHILOX_ROUND: Final = Template("""
  offset0_$i = Constant <value = uint64 {$weyl0}> ()
  offset1_$i = Constant <value = uint64 {$weyl1}> ()
  moved0_$i = Add (key0, offset0_$i)
  moved1_$i = Add (key1, offset1_$i)
  k0_$i = BitwiseAnd (moved0_$i, low)
  k1_$i = BitwiseAnd (moved1_$i, low)
  p0_$i = Mul (c0_$i, factor0)
  p2_$i = Mul (c2_$i, factor1)
  high0_$i = BitShift <direction: string = "RIGHT"> (p0_$i, width)
  high2_$i = BitShift <direction: string = "RIGHT"> (p2_$i, width)
  keyed1_$i = BitwiseXor (c1_$i, k0_$i)
  keyed3_$i = BitwiseXor (c3_$i, k1_$i)
  c0_$next = BitwiseXor (high2_$i, keyed1_$i)
  c1_$next = BitwiseAnd (p2_$i, low)
  c2_$next = BitwiseXor (high0_$i, keyed3_$i)
  c3_$next = BitwiseAnd (p0_$i, low)""")


def _philox() -> str:
    """The body of Philox4x32-10 (Salmon et al., 2011)."""
    rounds = [
        _PHILOX_ROUND.substitute(
            i=i, next=i + 1, weyl0=i * 0x9E3779B9 % _WORD, weyl1=i * 0xBB67AE85 % _WORD
        )
        for i in range(_PHILOX_ROUNDS)
    ]
    words = [f"  w{j} = Cast <to: int = 12> (c{j}_{_PHILOX_ROUNDS})" for j in range(4)]
    counter = [f"  c{j}_0 = Cast <to: int = 13> (c{j})" for j in range(4)]
    keys = [f"  key{j} = Cast <to: int = 13> (k{j})" for j in range(2)]
    constants = f"""
  factor0 = Constant <value = uint64 {{{0xD2511F53}}}> ()
  factor1 = Constant <value = uint64 {{{0xCD9E8D57}}}> ()
  low = Constant <value = uint64 {{{_WORD - 1}}}> ()
  width = Constant <value = uint64 {{32}}> ()"""
    lines = [constants, *counter, *keys, *rounds, *words]
    return f" (c0, c1, c2, c3, k0, k1) => (w0, w1, w2, w3) {{{chr(10).join(lines)}\n}}"


NOISE_BODIES: Final = {
    # The noise is in a branch, so that the deterministic pass does not compute it.
    "StochasticSign": """ <layer>
(x, threshold, scale, table, seed, image_offset, sample, antithetic) => (y) {
  layer_number = Constant <value_int: int = @layer> ()
  none = Constant <value = int64 {0}> ()
  has_noise = GreaterOrEqual (sample, none)
  limit = If (has_noise) <
    then_branch: graph = noisy () => (noisy_limit) {"""
    + _NOISY_LIMIT
    + """    },
    else_branch: graph = quiet () => (quiet_limit) {
      quiet_limit = Identity (threshold)
    }
  >
  is_plus = GreaterOrEqual (x, limit)
  plus = Constant <value = uint8 {2}> ()
  minus = Constant <value = uint8 {0}> ()
  y = Where (is_plus, plus, minus)
}""",
    "WeightDraw": """ (weights, sample) => (weight) {
  zero = Constant <value = int64 {0}> ()
  one = Constant <value = int64 {1}> ()
  rows = Shape <start: int = 0, end: int = 1> (weights)
  draws = Sub (rows, one)
  draw = Mod (sample, draws)
  drawn_row = Add (draw, one)
  has_noise = GreaterOrEqual (sample, zero)
  row = Where (has_noise, drawn_row, zero)
  rows_of_one = Gather <axis: int = 0> (weights, row)
  flat = Constant <value_ints: ints = [-1]> ()
  weight = Reshape (rows_of_one, flat)
}""",
    "Philox": _philox(),
}
"""Texts for ONNX's parser, by operator."""
