"""What the tensors of a TFLite file are in an artifact.

| kind      | tensor                          | value                                          |
| --------- | ------------------------------- | ---------------------------------------------- |
| real      | float32                         | the same numbers                               |
| quantized | int8, uint8, int16 with a scale | float32, the whole numbers less the zero point |
| signs     | packed int32, or bool           | uint8, 0 is -1 and 2 is +1; true is +1         |
| plain     | other whole numbers             | the same numbers                               |

A map (N, H, W, C) is (N, C, H, W); all other shapes are kept. The batch of the artifact is free,
whatever the file says, so no operator may mix images.
"""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["real", "quantized", "signs", "plain"]
Shape = tuple[int, ...]

WORD_BITS = 32
"""Of packed signs in a TFLite file."""

NHWC_TO_NCHW = (0, 3, 1, 2)
NCHW_TO_NHWC = (0, 2, 3, 1)


@dataclass(frozen=True, kw_only=True)
class Value:
    """A value of the artifact.

    Attributes:
        name: In the graph.
        kind: See the table above.
        shape: As in TFLite, with the file's batch; of signs with channels, not words.
        scale: Of quantized numbers: they stand for scale * value.
    """

    name: str
    kind: Kind
    shape: Shape
    scale: float = 1.0

    @property
    def is_map(self) -> bool:
        """Whether it lies as (N, C, H, W)."""
        return len(self.shape) == 4


def n_words(channels: int) -> int:
    """Words that hold the signs of a pixel."""
    return -(-channels // WORD_BITS)


def whole_words(value: Value) -> int:
    """Channels, those that fill the last word among them."""
    return n_words(value.shape[-1]) * WORD_BITS


def axis_of(axis: int, rank: int) -> int:
    """An axis of a TFLite tensor, counted from either end, as an axis of the value."""
    axis %= rank
    return NHWC_TO_NCHW.index(axis) if rank == 4 else axis
