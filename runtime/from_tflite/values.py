"""The values of an artifact that stand for the tensors of a TFLite file.

| kind      | tensor                          | value                                          |
| --------- | ------------------------------- | ---------------------------------------------- |
| real      | float32                         | the same numbers                               |
| quantized | int8, uint8, int16 with a scale | float32, the integers minus the zero point     |
| signs     | packed int32, or bool           | uint8, 0 is -1 and 2 is +1; true is +1         |
| plain     | other integers                  | the same numbers                               |

A map (N, H, W, C) becomes (N, C, H, W); other shapes stay the same. The batch of the artifact is
free, whatever the file says, so no operator may mix images.
"""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["real", "quantized", "signs", "plain"]
Shape = tuple[int, ...]

WORD_BITS = 32
"""Bits of a word of packed signs in a TFLite file."""

NHWC_TO_NCHW = (0, 3, 1, 2)
NCHW_TO_NHWC = (0, 2, 3, 1)


@dataclass(frozen=True, kw_only=True)
class OnnxValue:
    """A value of the artifact.

    Attributes:
        name: Name in the graph.
        kind: See the table above.
        shape: As in TFLite, with the file's batch; signs have channels instead of words.
        scale: Quantized numbers stand for scale * value.
    """

    name: str
    kind: Kind
    shape: Shape
    scale: float = 1.0

    @property
    def is_map(self) -> bool:
        """Whether it is a map, stored as (N, C, H, W)."""
        return len(self.shape) == 4


def n_words(channels: int) -> int:
    """Number of words that the signs of a pixel take."""
    return -(-channels // WORD_BITS)


def whole_words(value: OnnxValue) -> int:
    """Number of channels, rounded up to whole words."""
    return n_words(value.shape[-1]) * WORD_BITS


def axis_of(axis: int, rank: int) -> int:
    """The axis of a value that an axis of its tensor becomes; negative ones count from the end."""
    axis %= rank
    return NHWC_TO_NCHW.index(axis) if rank == 4 else axis
