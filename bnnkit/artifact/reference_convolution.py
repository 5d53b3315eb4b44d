"""Convolutions for the reference executor, where ONNX's own is not right.

Its transposed convolution fails with groups. Its dilated convolution multiplies the pixels between
the taps by zero, so that a NaN or infinity reaches windows to which it does not belong.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx.reference.ops.op_conv import Conv as OnnxConv
from onnx.reference.ops.op_conv_transpose import ConvTranspose as OnnxConvTranspose

from bnnkit.artifact.operators.convolution import convolve

Array = NDArray[Any]


class Conv(OnnxConv):
    """Computes dilated convolutions of maps in float64, all others by ONNX's implementation."""

    op_domain = ""

    def _run(  # type: ignore[override]
        self, x: Array, w: Array, bias: Array | None = None, **attributes: Any
    ) -> tuple[Array]:
        dilations = attributes.get("dilations") or [1]
        has_pads = attributes.get("auto_pad") in (None, "", "NOTSET")
        if set(dilations) == {1} or x.ndim != 4 or not has_pads:
            run: Any = super()._run
            return tuple(run(x, w, bias, **attributes))
        sums = convolve(
            x.astype(np.float64),
            w.astype(np.float64),
            strides=attributes.get("strides") or (1, 1),
            pads=attributes.get("pads") or (0, 0, 0, 0),
            dilations=dilations,
            group=attributes.get("group") or 1,
        )
        return (np.asarray(sums if bias is None else sums + bias.reshape(-1, 1, 1), x.dtype),)


class ConvTranspose(OnnxConvTranspose):
    """Computes one group after the other, each by ONNX's implementation."""

    op_domain = ""

    def _run(  # type: ignore[override]
        self, x: Array, w: Array, bias: Array | None = None, **attributes: Any
    ) -> tuple[Array]:
        count = attributes.pop("group", None) or 1
        run_one: Any = super()._run
        biases = [None] * count if bias is None else np.split(bias, count)
        groups = zip(np.split(x, count, axis=1), np.split(w, count), biases, strict=True)
        parts = [run_one(*group, group=1, **attributes)[0] for group in groups]
        return (np.concatenate(parts, axis=1),)
