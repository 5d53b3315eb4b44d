"""The tensors of a TFLite network that hold an artifact's values.

| kind  | tensor                                                                        |
| ----- | ----------------------------------------------------------------------------- |
| image | uint8                                                                         |
| signs | int32, packed along the last axis as in bits.py, in words of 32 bits; int8 of |
|       | -1 and +1 in the variant of builtin operators                                 |
| sum   | float32, which is exact for integers below 2^24                               |
| real  | float32                                                                       |
| bool  | BOOL                                                                          |
| index | int64                                                                         |

A map (C, H, W) is stored as (N, H, W, C). A vector (F,) is stored as (N, F), or as the map that it
was before it was flattened; then its reader reorders its weights. Vectors of signs are stored as
maps too. Signs with another number of axes are stored as in ONNX with one element for each, -1 or
+1: int8 in the variant of builtin operators, else float32.
"""

from dataclasses import dataclass
from typing import Literal

from bnnkit.tflite.window import NO_PADS, Pads

Kind = Literal["image", "signs", "sum", "real", "bool", "index"]
Map = tuple[int, int, int]

LCE_WORD_BITS = 32


def n_words(channels: int) -> int:
    """Number of words of 32 bits that the signs of a pixel take."""
    return -(-channels // LCE_WORD_BITS)


@dataclass(frozen=True, kw_only=True)
class TfliteValue:
    """A value of the artifact.

    Attributes:
        kind: See the table above.
        tensor: Index of the tensor that holds it.
        shape: As in ONNX, without the batch, and with the margin.
        map: (C, H, W) if the tensor is (N, H, W, C); None if it is as in ONNX.
        margin: Pixels of +1 around the map that are not in memory yet; for signs only.
        may_be_minus_zero: Whether a number can be -0.0, whose sign LCE takes for -1 on ARM.
    """

    kind: Kind
    tensor: int
    shape: tuple[int, ...]
    map: Map | None = None
    margin: Pads = NO_PADS
    may_be_minus_zero: bool = False
