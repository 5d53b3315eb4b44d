"""Windows of sequences (N, C, L) as windows of maps of height 1."""

from collections.abc import Mapping
from typing import Any, Final

_SIZES: Final = ("kernel_shape", "strides", "dilations")


def of_height_one(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the attributes of a convolution or pool of sequences, for maps (N, C, 1, L)."""
    lifted = dict(attributes)
    for name in _SIZES:
        if name in lifted:
            lifted[name] = (1, *lifted[name])
    if "pads" in lifted:
        before, after = lifted["pads"]
        lifted["pads"] = (0, before, 0, after)
    return lifted
