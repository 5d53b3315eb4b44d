"""Windows of sequences (N, C, L) as windows of maps of height 1."""

from collections.abc import Mapping
from typing import Any, Final

_HEIGHTS: Final = {"kernel_shape": 1, "strides": 1, "dilations": 1, "output_padding": 0}
"""What the attributes that have a number for each axis have for the height."""


def of_height_one(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the attributes of a convolution or pool of sequences, for maps (N, C, 1, L)."""
    lifted = dict(attributes)
    for name, height in _HEIGHTS.items():
        if name in lifted:
            lifted[name] = (height, *lifted[name])
    if "pads" in lifted:
        before, after = lifted["pads"]
        lifted["pads"] = (0, before, 0, after)
    return lifted
