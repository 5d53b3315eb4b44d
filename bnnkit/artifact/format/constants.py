"""Names and numbers of the file format (docs/artifact.md) that several parts use."""

from typing import Literal, get_args

Mode = Literal["samples", "deterministic"]
"""The mode of deployment: an ensemble over the noise, or one network with z = 0."""
MODES: tuple[Mode, ...] = get_args(Mode)

DOMAIN = "bnnkit"
"""The domain of bnnkit's operators, and the prefix of its metadata."""
TFLITE_METADATA = "bnnkit"
"""The entry of a TFLite file's metadata that holds bnnkit's."""
VERSION = 1
"""The version of the format and of bnnkit's operators."""
OPSET = 21
"""The version of the standard operators in files that bnnkit writes."""
OLDEST_OPSET = 13
"""The oldest version in files that bnnkit reads; before it, Softmax and Squeeze differ."""
SAMPLING_INPUTS: dict[str, tuple[str, int | bool]] = {
    "sample": ("int64", -1),
    "seed": ("uint64", 0),
    "image_offset": ("int64", 0),
    "antithetic": ("bool", False),
}
"""The inputs of a stochastic file after the images, in order: element type and default."""
SIGN_CHOICES = ("seed", "image_offset", "sample", "antithetic")
"""The same inputs in their order as the last inputs of a `StochasticSign`."""
SMALLEST_SCALE, LARGEST_SCALE = 2.0**-64, 2.0**64
"""The range of r, the noise scale of a `StochasticSign`."""
