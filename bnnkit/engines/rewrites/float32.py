"""The same network in ordinary float32 operators: what "faster than float32" is measured against.

Each operator of the domain `bnnkit` becomes float32 operators: signs become the real numbers -1.0
and +1.0, sums become real numbers that hold integers, and a weight takes 32 bits. All values stay
exact, so the rewrite computes the artifact's own numbers. It uses the operators that ONNX Runtime
runs fastest. A convolution and its threshold become

    sign(c - t) = clip(2c + 1 - 2t, -1, 1), because c and t are integers,

with the factor 2 in the weights and 1 - 2t as the bias. ONNX Runtime fuses the clip into the
convolution. (On layers of the paper's CIFAR network this costs 0 to 2 % more time than the
convolution alone; a comparison and `Where` cost 9 % more.)
"""

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import onnx

from bnnkit.artifact.artifact import Artifact
from bnnkit.artifact.operators.facts import MOVES_SIGNS_IN_ANY_FORM
from bnnkit.engines.rewrites.rewrite import (
    PREFIX,
    Rewrite,
    Translation,
    refused_signs,
    window,
)


def rewrite_in_float32(artifact: Artifact) -> onnx.ModelProto:
    """Rewrite an artifact in standard float32 operators.

    Args:
        artifact: The artifact; of a stochastic one, the deterministic pass is rewritten.

    Returns:
        A model of standard operators only, with the same inputs and outputs.

    Raises:
        UnsupportedError: If a node cannot be rewritten: an unknown operator of the domain
            `bnnkit`, or a standard operator that does not accept signs.
    """
    return Float32Rewrite(artifact).model()


class Float32Rewrite(Rewrite):
    """A rewrite in which signs are -1.0 and +1.0."""

    def real(self, name: str) -> str:
        """As `Rewrite.real`."""
        return name

    def on_signs(self, node: onnx.NodeProto) -> None:
        """As `Rewrite.on_signs`."""
        if node.op_type == "DequantizeLinear":
            self.add("Identity", [node.input[0]], node.output[0])
            return
        if node.op_type not in {*MOVES_SIGNS_IN_ANY_FORM, "Pad"}:
            raise refused_signs(node)
        copy = self.copy(node)
        if node.op_type == "Pad":
            value = self.artifact_constant(node.input[2]) - 1.0
            copy.input[2] = self.constant(f"pad.{node.output[0]}", value)
        self.signs.add(node.output[0])

    def sign(self, node: onnx.NodeProto) -> None:
        """Sign(x)."""
        self._compare(node, self.constant("zero", 0))

    def threshold(self, node: onnx.NodeProto) -> None:
        """Threshold(sum, t)."""
        self._compare(node, self.constant(node.input[1], self.artifact_constant(node.input[1])))

    def _compare(self, node: onnx.NodeProto, threshold: str) -> None:
        plus, minus = self.constant("plus", 1), self.constant("minus", -1)
        inputs = [node.input[0], threshold]
        is_plus = self.add("GreaterOrEqual", inputs, f"{PREFIX}{node.output[0]}.is_plus")
        self.add("Where", [is_plus, plus, minus], node.output[0])

    def binary_conv2d(self, node: onnx.NodeProto) -> None:
        """BinaryConv2d(x, w)."""
        weight = self.constant(node.input[1], self.binary_weights(node))
        self.add("Conv", [self.real(node.input[0]), weight], node.output[0], **window(node))

    def binary_conv2d_threshold(self, node: onnx.NodeProto) -> None:
        """BinaryConv2dThreshold(x, w, t)."""
        weight = self.constant(f"twice.{node.input[1]}", 2 * self.binary_weights(node))
        threshold = self.artifact_constant(node.input[2]).astype(np.int64)
        bias = self.constant(f"bias.{node.input[2]}", 1 - 2 * threshold)
        wide = f"{PREFIX}{node.output[0]}.wide"
        self.add("Conv", [node.input[0], weight, bias], wide, **window(node))
        limits = [self.constant("minus", -1), self.constant("plus", 1)]
        self.add("Clip", [wide, *limits], node.output[0])

    def binary_linear(self, node: onnx.NodeProto) -> None:
        """BinaryLinear(x, w)."""
        columns = self.constant(f"columns.{node.input[1]}", self.binary_weights(node).T)
        self.add("MatMul", [self.real(node.input[0]), columns], node.output[0])

    def integer_conv2d(self, node: onnx.NodeProto) -> None:
        """IntegerConv2d(x, w, z)."""
        weight = self.constant(node.input[1], self.artifact_constant(node.input[1]))
        self.add("Conv", [self.centred(node), weight], node.output[0], **window(node))

    def integer_linear(self, node: onnx.NodeProto) -> None:
        """IntegerLinear(x, w, z)."""
        columns = self.constant(
            f"columns.{node.input[1]}", self.artifact_constant(node.input[1]).T
        )
        self.add("MatMul", [self.centred(node), columns], node.output[0])

    def binary_weight(self, node: onnx.NodeProto) -> None:
        """BinaryWeight(w)."""
        weight = self.constant(node.input[0], self.binary_weights(node, place=0))
        self.add("Identity", [weight], node.output[0])

    def centred(self, node: onnx.NodeProto) -> str:
        """Subtract the zero point from the images, for an integer layer."""
        x = f"{PREFIX}{node.output[0]}"
        zero_point = self.constant(node.input[2], self.artifact_constant(node.input[2]))
        self.add("Cast", [node.input[0]], f"{x}.real", to=onnx.TensorProto.FLOAT)
        return self.add("Sub", [f"{x}.real", zero_point], f"{x}.centred")

    translations: ClassVar[Mapping[str, Translation]] = {
        "Sign": Translation(sign, "signs"),
        "Threshold": Translation(threshold, "signs"),
        "BinaryConv2d": Translation(binary_conv2d, "sum"),
        "BinaryConv2dThreshold": Translation(binary_conv2d_threshold, "signs"),
        "BinaryLinear": Translation(binary_linear, "sum"),
        "IntegerConv2d": Translation(integer_conv2d, "sum"),
        "IntegerLinear": Translation(integer_linear, "sum"),
        "BinaryWeight": Translation(binary_weight, "real"),
    }
