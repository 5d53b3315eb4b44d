"""The int8 rewrite for OpenVINO, whose int8 convolutions can output their sums as float32.

So the binary layers of a network with skip connections are int8 layers too; ONNX Runtime has no
such layers. With the byte of +1 as the zero point, the sum is exactly S - W, and the bias adds W.
"""

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import onnx

from bnnkit.engines.rewrites.qdq_int8 import PLUS, QdqInt8Rewrite, Signs
from bnnkit.engines.rewrites.rewrite import PREFIX, Translation, attributes, window

TINY = 2.0**-100
"""A quantization step whose inverse is a float32, and so are usual numbers divided by it."""


class OpenVinoInt8Rewrite(QdqInt8Rewrite):
    """An int8 rewrite in which convolutions with float32 sums are int8 layers too."""

    def sign(self, node: onnx.NodeProto) -> None:
        """Sign(x)."""
        target = f"{PREFIX}{node.output[0]}"
        step = self.constant("tiny", TINY)
        plus = self.constant("byte.255", PLUS, np.uint8)
        self.add("QuantizeLinear", [node.input[0], step, plus], f"{target}.saturated")
        two = self.constant("byte.2", 2, np.uint8)
        code = self.add("BitwiseAnd", [f"{target}.saturated", two], f"{target}.code")
        self._held[node.output[0]] = Signs(2, {"code": code})

    def binary_conv2d(self, node: onnx.NodeProto) -> None:
        """BinaryConv2d(x, w)."""
        code, plus, pads = self.code(node.input[0])
        zeros = tuple(attributes(node)["pads"])
        if plus != 2 or any(zeros):
            super().binary_conv2d(node)
            return
        weight = self.binary_weights(node)
        x, w = self._dequantized(node.output[0], code, plus, weight)
        total = weight.astype(np.int64).reshape(len(weight), -1).sum(axis=1)
        bias = self.constant(f"{node.output[0]}.total", total)
        where = {**window(node), "pads": pads}
        self.add("Conv", [x, w, bias], node.output[0], **where)

    translations: ClassVar[Mapping[str, Translation]] = {
        **QdqInt8Rewrite.translations,
        "Sign": Translation(sign, "signs"),
        "BinaryConv2d": Translation(binary_conv2d, "sum"),
    }
