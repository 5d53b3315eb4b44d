"""Names and numbers of the file format, docs/artifact.md, that more than one part must know."""

from typing import Literal, get_args

Mode = Literal["samples", "deterministic"]
"""Of deployment: an ensemble over the noise, or one network with z = 0."""
MODES: tuple[Mode, ...] = get_args(Mode)

DOMAIN = "bnnkit"
"""Of our operators, and the prefix of our metadata."""
TFLITE_METADATA = "bnnkit"
"""The entry of a TFLite file's metadata that holds ours."""
VERSION = 1
"""Of the format and of the operators."""
OPSET = 21
"""Of the standard operators, in the files that are written."""
OLDEST_OPSET = 13
"""Of those that are read: before it Softmax and Squeeze meant something else."""
SAMPLING_INPUTS: dict[str, tuple[str, int | bool]] = {
    "sample": ("int64", -1),
    "seed": ("uint64", 0),
    "image_offset": ("int64", 0),
    "antithetic": ("bool", False),
}
"""Of a stochastic file, in their order, behind the images: element type and default."""
SIGN_CHOICES = ("seed", "image_offset", "sample", "antithetic")
"""The same as the last inputs of a `StochasticSign`."""
SMALLEST_SCALE, LARGEST_SCALE = 2.0**-64, 2.0**64
"""Between them is r, the noise scale of a `StochasticSign`."""
