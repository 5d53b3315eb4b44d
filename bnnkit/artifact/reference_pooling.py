"""A faster max pool for the reference executor, equal to that of ONNX's reference."""

from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx.reference.ops.op_max_pool import MaxPool as OnnxMaxPool

Array = NDArray[Any]


class MaxPool(OnnxMaxPool):
    """Max pools maps (N, C, H, W) one tap at a time; other cases use ONNX's implementation."""

    op_domain = ""

    def _run(self, x: Array, **attributes: Any) -> Any:  # type: ignore[override]
        if len(self.output) > 1 or not _is_plain(x, attributes):
            return super()._run(x, **attributes)  # type: ignore[no-untyped-call]
        kernel, strides = attributes["kernel_shape"], attributes["strides"] or (1, 1)
        height, width = (
            (x.shape[2 + i] - kernel[i]) // strides[i] * strides[i] + 1 for i in range(2)
        )
        taps = (
            x[:, :, ky : ky + height : strides[0], kx : kx + width : strides[1]]
            for ky in range(kernel[0])
            for kx in range(kernel[1])
        )
        return (reduce(np.maximum, taps),)


def _is_plain(x: Array, attributes: dict[str, Any]) -> bool:
    """Return whether the windows lie within the map and have no gaps."""
    return (
        x.ndim == 4
        and attributes["auto_pad"] in (None, "", "NOTSET")
        and not attributes["ceil_mode"]
        and not any(attributes["pads"] or ())
        and set(attributes["dilations"] or ()) <= {1}
        and all(
            n >= window for n, window in zip(x.shape[2:], attributes["kernel_shape"], strict=False)
        )
    )
