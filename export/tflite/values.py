"""What an artifact's values are in a TFLite model.

| kind  | tensor                                                                        |
| ----- | ----------------------------------------------------------------------------- |
| image | uint8                                                                         |
| signs | int32, packed along the last axis as in bits.py, in words of 32 bits; int8 of |
|       | -1 and +1 where there are only builtin operators                              |
| sum   | float32, which holds the integers below 2^24                                  |
| real  | float32                                                                       |
| truth | BOOL                                                                          |

A map (C, H, W) lies as (N, H, W, C). A vector (F,) lies as (N, F), or still as the map that it was
before it was flattened: whoever reads it orders its weights accordingly. Vectors of signs are maps
too. Signs of another number of axes lie as in ONNX, each in an element of its own, -1 or +1: int8
where there are only builtin operators, else float32.
"""

from dataclasses import dataclass
from typing import Literal

from bnnkit.tflite.window import NO_PADS, Pads

Kind = Literal["image", "signs", "sum", "real", "truth"]
Map = tuple[int, int, int]

LCE_WORD_BITS = 32


def n_words(channels: int) -> int:
    """Words of 32 bits that hold the signs of a pixel."""
    return -(-channels // LCE_WORD_BITS)


@dataclass(frozen=True, kw_only=True)
class Value:
    """A value of the artifact.

    Attributes:
        kind: What it is.
        tensor: Index of the tensor that holds it.
        shape: As in ONNX, without the batch, and with the margin.
        map: (C, H, W) where the tensor is (N, H, W, C); None where it is as in ONNX.
        margin: Pixels of +1 that are still to be put around the map; of signs only.
        may_be_minus_zero: Whether a number can be -0.0, whose sign LCE takes for -1 on ARM.
    """

    kind: Kind
    tensor: int
    shape: tuple[int, ...]
    map: Map | None = None
    margin: Pads = NO_PADS
    may_be_minus_zero: bool = False
