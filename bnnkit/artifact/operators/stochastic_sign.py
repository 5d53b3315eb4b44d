"""StochasticSign(x, threshold, scale, table, ...): +1 where x >= fl(t + fl(r * z)).

z is the layer's noise, or 0 if `sample` is negative (docs/artifact.md, Sampling).
"""

from typing import Final

from onnx import TensorProto

from bnnkit.artifact.format.constants import SAMPLING_INPUTS, SIGN_CHOICES
from bnnkit.artifact.format.sample import TABLE_SIZE, Sample
from bnnkit.artifact.operators.attribute_rule import AttributeRule
from bnnkit.artifact.operators.noise import draw
from bnnkit.artifact.operators.operand import Operand
from bnnkit.artifact.operators.operator import BYTES, REALS, Array, Operator
from bnnkit.artifact.operators.sign_codes import PLUS_AND_MINUS, sign_codes

_ELEMENTS: Final = {
    name: TensorProto.DataType.Value(element.upper())
    for name, (element, _) in SAMPLING_INPUTS.items()
}

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


def _reference(
    x: Array,
    threshold: Array,
    scale: Array,
    table: Array,
    seed: Array,
    image_offset: Array,
    sample: Array,
    antithetic: Array,
    layer: int,
) -> tuple[Array]:
    """Compute the limit by two float32 operations, each rounded, and compare."""
    limit = threshold
    if int(sample) >= 0:
        chosen = Sample(
            seed=int(seed),
            index=int(sample),
            image_offset=int(image_offset),
            antithetic=bool(antithetic),
        )
        limit = threshold + scale * draw(x.shape, layer, table, chosen)
    return (sign_codes(x >= limit),)


STOCHASTIC_SIGN = Operator(
    name="StochasticSign",
    inputs={
        "x": Operand(REALS, ("N C ...",)),
        "threshold": Operand(REALS, ("C 1...",), is_constant=True),
        "scale": Operand(REALS, ("C 1...",), is_constant=True),
        "table": Operand(REALS, (str(TABLE_SIZE),), is_constant=True),
        **{name: Operand(_ELEMENTS[name], ("",), is_constant=True) for name in SIGN_CHOICES},
    },
    attributes={"layer": AttributeRule(kind="INT", least=0, most=2**32 - 1)},
    outputs={"y": Operand(BYTES, ("N C ...",))},
    # The noise is in a branch, so that the deterministic pass does not compute it.
    body=f"""
  layer_number = Constant <value_int: int = @layer> ()
  none = Constant <value = int64 {{0}}> ()
  has_noise = GreaterOrEqual (sample, none)
  limit = If (has_noise) <
    then_branch: graph = noisy () => (noisy_limit) {{
      {_NOISY_LIMIT}
    }},
    else_branch: graph = quiet () => (quiet_limit) {{
      quiet_limit = Identity (threshold)
    }}
  >
  is_plus = GreaterOrEqual (x, limit)
  {PLUS_AND_MINUS}
  y = Where (is_plus, plus, minus)
""",
    reference=_reference,
    takes="reals",
    gives="signs",
    needs=("Philox",),
    is_sampled=True,
)
