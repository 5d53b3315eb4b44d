"""A transposed convolution for the reference executor: ONNX's own fails with groups."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx.reference.ops.op_conv_transpose import ConvTranspose as OnnxConvTranspose

Array = NDArray[Any]


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
