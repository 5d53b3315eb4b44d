"""The same network in 8-bit integer operators: what "faster than int8" is measured against.

A convolution and its threshold become one quantized convolution whose output saturates: signs are
the bytes 0 (-1) and P (+1), with P = 255. With P as the zero point, a sum over bytes is

    acc = sum w (x - P) = P (S - W) / 2,      S the sum over signs, W the sum of the weights,

so S >= t  <=>  acc - P ceil((t - W) / 2) >= 0, which a bias and a saturating rounding turn into
the byte P or 0. No comparison is needed, and no padding operator: pixels outside the image hold
the zero point, which is the sign +1. Zero padding needs a byte halfway between -1 and +1; there
P = 2 and the zero point is 1.

The rewrite uses the QDQ form (DequantizeLinear, operator, QuantizeLinear), for which ONNX Runtime
and OpenVINO both have integer kernels. The sums are integers and never near a rounding limit, so
all results are exact.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import onnx
from numpy.typing import NDArray

from bnnkit.artifact.artifact import Artifact
from bnnkit.artifact.operators.facts import MOVES_SIGNS_IN_ANY_FORM
from bnnkit.engines.rewrites.float32 import Float32Rewrite
from bnnkit.engines.rewrites.rewrite import (
    PREFIX,
    Translation,
    attributes,
    refused_signs,
    window,
)

Array = NDArray[Any]
Pads = tuple[int, int, int, int]
"""Top, left, bottom, right."""

NO_PADS: Pads = (0, 0, 0, 0)
PLUS = 255
"""The byte of +1 in the output of a quantized layer."""
EXACT = 2**23
"""Float32 represents all multiples of 1/2 below this number."""


@dataclass
class Signs:
    """The tensors that hold the same signs in different forms.

    Attributes:
        plus: The byte of +1; the byte of -1 is 0.
        forms: Names of tensors by form: "code" holds bytes, "is_plus" booleans, "real" -1.0 and
            +1.0.
    """

    plus: int
    forms: dict[str, str] = field(default_factory=dict)


class QdqInt8Rewrite(Float32Rewrite):
    """A rewrite in which quantized layers read and write signs as bytes.

    Attributes:
        traced: The name of a tensor that holds the signs in some form, by the artifact's name.
    """

    def __init__(self, artifact: Artifact) -> None:
        super().__init__(artifact)
        self._held: dict[str, Signs] = {}
        self._padded: dict[str, tuple[str, Pads]] = {}
        self._deferred: dict[str, onnx.NodeProto] = {}

    @property
    def traced(self) -> dict[str, str]:
        """See the class docstring."""
        return {name: next(iter(signs.forms.values())) for name, signs in self._held.items()}

    def real(self, name: str) -> str:
        """As `Rewrite.real`."""
        if name in self._padded:
            source, pads = self._padded[name]
            return self._pad(self.real(source), pads, self.constant("plus", 1))
        if name not in self._held:
            return name
        forms, plus = self._held[name].forms, self._held[name].plus
        if "real" not in forms:
            if "is_plus" not in forms:
                limit = self.constant(f"plus.{plus}", plus, np.uint8)
                self.add("GreaterOrEqual", [forms["code"], limit], f"{PREFIX}{name}.is_plus")
                forms["is_plus"] = f"{PREFIX}{name}.is_plus"
            values = [self.constant("plus", 1), self.constant("minus", -1)]
            forms["real"] = self.add("Where", [forms["is_plus"], *values], f"{PREFIX}{name}.real")
        return forms["real"]

    def code(self, name: str) -> tuple[str, int, Pads]:
        """Return the bytes of signs, the byte of +1, and a padding with +1 yet to be applied."""
        source, pads = self._padded.get(name, (name, NO_PADS))
        signs = self._held[source]
        if "code" not in signs.forms:
            if "is_plus" not in signs.forms:
                limits = [signs.forms["real"], self.constant("zero", 0)]
                is_plus = self.add("GreaterOrEqual", limits, f"{PREFIX}{source}.is_plus")
                signs.forms["is_plus"] = is_plus
            values = [self._byte(signs.plus), self._byte(0)]
            condition = signs.forms["is_plus"]
            code = self.add("Where", [condition, *values], f"{PREFIX}{source}.code")
            signs.forms["code"] = code
        return signs.forms["code"], signs.plus, pads

    def on_signs(self, node: onnx.NodeProto) -> None:
        """As `Rewrite.on_signs`."""
        source, target = node.input[0], node.output[0]
        if node.op_type == "DequantizeLinear":
            self.add("Identity", [self.real(source)], target)
            return
        self.signs.add(target)
        if node.op_type == "Pad" and (pads := self._pads_with_plus(node)) is not None:
            if source not in self._padded:
                self._padded[target] = source, pads
                return
        elif node.op_type not in {*MOVES_SIGNS_IN_ANY_FORM, "Pad"}:
            raise refused_signs(node)
        held = self._held.get(source)
        if held is not None and "code" in held.forms and node.op_type in MOVES_SIGNS_IN_ANY_FORM:
            form, plus, tensor = "code", held.plus, held.forms["code"]
        else:
            form, plus, tensor = "real", 2, self.real(source)
        copy = self.copy(node)
        copy.input[0], copy.output[0] = tensor, f"{PREFIX}{target}.{form}"
        if node.op_type == "Pad":
            value = self.artifact_constant(node.input[2]) - 1.0
            copy.input[2] = self.constant(f"pad.{target}", value)
        self._held[target] = Signs(plus, {form: copy.output[0]})

    def _pads_with_plus(self, node: onnx.NodeProto) -> Pads | None:
        """Return the pads if a node pads an image with the sign +1, else None."""
        if attributes(node).get("mode", b"constant") != b"constant" or len(node.input) != 3:
            return None
        pads = self.artifact_constant(node.input[1]).tolist()
        is_plain = len(pads) == 8 and not any(pads[i] for i in (0, 1, 4, 5)) and min(pads) >= 0
        if not is_plain or self.artifact_constant(node.input[2]) != 2:
            return None
        return pads[2], pads[3], pads[6], pads[7]

    def _compare(self, node: onnx.NodeProto, threshold: str) -> None:
        inputs = [self.real(node.input[0]), threshold]
        is_plus = self.add("GreaterOrEqual", inputs, f"{PREFIX}{node.output[0]}.is_plus")
        self._held[node.output[0]] = Signs(2, {"is_plus": is_plus})

    def threshold(self, node: onnx.NodeProto) -> None:
        """Threshold(sum, t), fused with the layer before it if that was deferred."""
        layer = self._deferred.pop(node.input[0], None)
        limits = self.artifact_constant(node.input[1]).astype(np.int64).ravel()
        if layer is None:
            super().threshold(node)
        elif layer.op_type == "BinaryLinear":
            code = self.dense(layer, limits)
            self._held[node.output[0]] = Signs(PLUS, {"code": code})
        else:
            self._integer_threshold(layer, limits, node.output[0])

    def binary_linear(self, node: onnx.NodeProto) -> None:
        """BinaryLinear(x, w); deferred if only a threshold reads its sums."""
        if self._feeds_threshold_only(node):
            self._deferred[node.output[0]] = node
        else:
            super().binary_linear(node)

    def integer_conv2d(self, node: onnx.NodeProto) -> None:
        """IntegerConv2d(x, w, z); deferred if only a threshold reads its sums and all fit."""
        if self._feeds_threshold_only(node) and self._is_exact_in_float32(node):
            self._deferred[node.output[0]] = node
        else:
            super().integer_conv2d(node)

    def binary_conv2d_threshold(self, node: onnx.NodeProto) -> None:
        """BinaryConv2dThreshold(x, w, t)."""
        weight = self.binary_weights(node)
        limits = self.artifact_constant(node.input[2]).astype(np.int64)
        target = node.output[0]
        x, zero_point, pads, bias = self._quantized(node, weight, limits)
        x, w = self._dequantized(target, x, zero_point, weight)
        biases = self._bias(target, bias)
        where = {**window(node), "pads": pads}
        sums = self.add("Conv", [x, w, biases], f"{PREFIX}{target}.sums", **where)
        self._held[target] = Signs(PLUS, {"code": self._saturate(sums, target)})

    def dense(self, layer: onnx.NodeProto, limits: Array) -> str:
        """Append a dense binary layer with its threshold; return the name of its bytes."""
        weight, target = self.binary_weights(layer), layer.output[0]
        code, plus, _ = self.code(layer.input[0])
        x, w = self._dequantized(target, code, plus, weight.T)
        biases = self._bias(target, _bias(weight, limits, plus))
        sums = self.add("Gemm", [x, w, biases], f"{PREFIX}{target}.sums")
        return self._saturate(sums, target)

    def _quantized(
        self, node: onnx.NodeProto, weight: Array, limits: Array
    ) -> tuple[str, int, Pads, Array]:
        """Return the input bytes, their zero point, the pads, and a bias for a threshold of 0."""
        code, plus, pads = self.code(node.input[0])
        zeros = tuple(attributes(node)["pads"])
        if not any(zeros):
            return code, plus, pads, _bias(weight, limits, plus)
        if any(pads):
            code = self._pad(code, pads, self._byte(plus))
        if plus != 2:
            name = f"{PREFIX}{node.output[0]}.halved"
            code = self.add("BitwiseAnd", [code, self._byte(2)], name)
        return code, 1, zeros, -limits

    def _dequantized(self, name: str, x: str, zero_point: int, weight: Array) -> tuple[str, str]:
        """Append the dequantized input and weights of a quantized layer; return their names."""
        name, one = f"{PREFIX}{name}", self.constant("one", 1)
        zeros = self.constant("weight_zero", 0, np.int8)
        weights = self.constant(f"{name}.weight", weight, np.int8)
        x = self.add("DequantizeLinear", [x, one, self._byte(zero_point)], f"{name}.x")
        return x, self.add("DequantizeLinear", [weights, one, zeros], f"{name}.w")

    def _bias(self, name: str, bias: Array) -> str:
        one = self.constant("one", 1)
        biases = self.constant(f"{name}.bias", bias, np.int32)
        return self.add("DequantizeLinear", [biases, one], f"{PREFIX}{name}.b")

    def _saturate(self, sums: str, name: str) -> str:
        """Convert integers to bytes: 255 for 0 and above, else 0."""
        step = self.constant("step", 1 / 256)
        return self.add("QuantizeLinear", [sums, step, self._byte(PLUS)], f"{PREFIX}{name}.code")

    def _integer_threshold(self, layer: onnx.NodeProto, limits: Array, target: str) -> None:
        """Append an integer convolution with its threshold; float32 is exact for its sums."""
        weight = self.constant(layer.input[1], self.artifact_constant(layer.input[1]))
        bias = self.constant(f"{target}.bias", 0.5 - limits)
        x = self.centred(layer)
        sums = self.add("Conv", [x, weight, bias], f"{PREFIX}{target}.sums", **window(layer))
        scale = [self.constant("small_step", 2**-10), self._byte(0)]
        code = self.add("QuantizeLinear", [sums, *scale], f"{PREFIX}{target}.code")
        self._held[target] = Signs(PLUS, {"code": code})

    def _feeds_threshold_only(self, layer: onnx.NodeProto) -> bool:
        """Return whether a single threshold is the only reader of the layer's sums."""
        readers = self.readers(layer.output[0])
        is_one = len(readers) == 1 and readers[0].op_type == "Threshold"
        return is_one and not self.is_output(layer.output[0])

    def _is_exact_in_float32(self, layer: onnx.NodeProto) -> bool:
        """Whether float32 holds every partial sum of an integer layer less the threshold."""
        zero_point = self.artifact_constant(layer.input[2]).astype(np.int64)
        weight = np.abs(self.artifact_constant(layer.input[1]).astype(np.int64))
        (reader,) = self.readers(layer.output[0])
        limits = np.abs(self.artifact_constant(reader.input[1]).astype(np.int64)).ravel()
        largest = np.maximum(zero_point, 255 - zero_point).max()
        bounds = weight.sum(axis=(1, 2, 3)) * largest + limits
        return bool(bounds.max() + 1 < EXACT)

    def _pad(self, x: str, pads: Pads, value: str) -> str:
        top, left, bottom, right = pads
        widths = [0, 0, top, left, 0, 0, bottom, right]
        name = f"{x}.padded"
        if all(name != output for node in self._nodes for output in node.output):
            self.add("Pad", [x, self.constant(f"{x}.pads", widths, np.int64), value], name)
        return name

    def _byte(self, value: int) -> str:
        return self.constant(f"byte.{value}", value, np.uint8)

    translations: ClassVar[Mapping[str, Translation]] = {
        **Float32Rewrite.translations,
        "Threshold": Translation(threshold, "signs"),
        "BinaryConv2dThreshold": Translation(binary_conv2d_threshold, "signs"),
        "BinaryLinear": Translation(binary_linear, "sum"),
        "IntegerConv2d": Translation(integer_conv2d, "sum"),
    }


def _bias(weight: Array, limits: Array, plus: int) -> Array:
    """Return the bias with which the sum over bytes with zero point `plus` is >= 0 iff S >= t."""
    total = weight.astype(np.int64).reshape(len(weight), -1).sum(axis=1)
    bias: Array = plus * ((total - limits) // 2)
    return bias
