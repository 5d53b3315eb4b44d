"""Names and numbers of the file format, docs/artifact.md, that more than one part must know."""

DOMAIN = "bnnkit"
"""Of our operators, and the prefix of our metadata."""
VERSION = 1
"""Of the format and of the operators."""
OLDEST_OPSET = 13
"""Of the standard operators: before it Softmax and Squeeze meant something else."""
MOVES_SIGNS = frozenset(
    {
        "Concat",
        "Flatten",
        "Identity",
        "MaxPool",
        "Pad",
        "Reshape",
        "Slice",
        "Squeeze",
        "Transpose",
        "Unsqueeze",
    }
)
"""Standard operators that make signs of signs."""
SAMPLING_INPUTS: dict[str, tuple[str, int | bool]] = {
    "sample": ("int64", -1),
    "seed": ("uint64", 0),
    "image_offset": ("int64", 0),
    "antithetic": ("bool", False),
}
"""Of a stochastic file, in their order, behind the images: element type and default."""
