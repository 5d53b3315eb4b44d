"""The same network with the 1-bit convolutions of OpenVINO.

OpenVINO packs signs into bits if a `FakeQuantize` with the two levels 0 and 1 precedes a
`BinaryConvolution`, and fuses the comparison into the convolution before it. So the rewrite defers
the comparison: it keeps the numbers and their limits, max-pools the numbers (which gives the same
signs), and appends the comparison just before the convolution that reads the signs.

ONNX has no `BinaryConvolution`. The rewrite has a `Conv` in its place whose name begins with
`ONE_BIT` and states the value outside of the image; engines/ov.py replaces it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import onnx
from numpy.typing import NDArray

from bnnkit.artifact.artifact import Artifact
from bnnkit.artifact.operators.facts import RESHAPES
from bnnkit.engines.rewrites.float32 import Float32Rewrite
from bnnkit.engines.rewrites.rewrite import PREFIX, Translation, refused_signs, window

Array = NDArray[Any]
Pads = tuple[int, ...]

ONE_BIT = "one_bit."
OPENVINO = "org.openvinotoolkit"
NO_PADS = (0, 0, 0, 0)
BELOW_ZERO = -float(np.finfo(np.float32).tiny)
"""The limit of `Sign`: FakeQuantize gives 1 above its limit only, and the sign of 0 is +1."""


@dataclass(frozen=True)
class DeferredSigns:
    """Signs whose comparison is deferred: +1 where a number is above its limit.

    Attributes:
        tensor: The name of the numbers, (N, C, H, W) or (N, C).
        limits: (C, 1, 1) or (C,), to match the numbers, or a single limit.
        pads: Top, left, bottom, right: a padding with +1 yet to be applied.
    """

    tensor: str
    limits: Array
    pads: Pads = NO_PADS


class OneBitRewrite(Float32Rewrite):
    """A rewrite in which 1-bit convolutions read signs as 0.0 and 1.0."""

    domains: ClassVar[Mapping[str, int]] = {OPENVINO: 1}

    def __init__(self, artifact: Artifact) -> None:
        super().__init__(artifact)
        self._deferred: dict[str, DeferredSigns] = {}

    def real(self, name: str) -> str:
        """As `Rewrite.real`."""
        if name not in self._deferred:
            return name
        if any(self._deferred[name].pads):
            return self._padded_real(name)
        bits, real = self._bits(name), f"{PREFIX}{name}.real"
        twice = self.add("Mul", [bits, self.constant("two", 2)], f"{real}.twice")
        return self.add("Sub", [twice, self.constant("one", 1)], real)

    def on_signs(self, node: onnx.NodeProto) -> None:
        """As `Rewrite.on_signs`."""
        source, target = node.input[0], node.output[0]
        if node.op_type == "DequantizeLinear":
            self.add("Identity", [self.real(source)], target)
            return
        self.signs.add(target)
        numbers = self._deferred[source]
        if node.op_type == "MaxPool" and numbers.pads == NO_PADS:
            pooled = self.copy(node)
            pooled.input[0], pooled.output[0] = numbers.tensor, f"{PREFIX}{target}.numbers"
            self._deferred[target] = DeferredSigns(pooled.output[0], numbers.limits)
        elif node.op_type == "Pad" and (pads := self._pads_with_plus(node)) is not None:
            self._deferred[target] = DeferredSigns(numbers.tensor, numbers.limits, pads)
        elif node.op_type in RESHAPES:
            bits = self._bits(source)
            moved = self.copy(node)
            moved.input[0], moved.output[0] = bits, f"{PREFIX}{target}.bits"
            self._deferred[target] = DeferredSigns(moved.output[0], np.array(0.5))
        else:
            raise refused_signs(node)

    def _pads_with_plus(self, node: onnx.NodeProto) -> Pads | None:
        """Return the pads if a node pads an unpadded image with the sign +1, else None."""
        pads = self.artifact_constant(node.input[1]).tolist()
        is_image = len(pads) == 8 and not any(pads[i] for i in (0, 1, 4, 5)) and min(pads) >= 0
        is_first = self._deferred[node.input[0]].pads == NO_PADS
        if not (is_image and is_first) or self.artifact_constant(node.input[2]) != 2:
            return None
        return pads[2], pads[3], pads[6], pads[7]

    def sign(self, node: onnx.NodeProto) -> None:
        """Sign(x)."""
        self._deferred[node.output[0]] = DeferredSigns(node.input[0], np.array(BELOW_ZERO))

    def threshold(self, node: onnx.NodeProto) -> None:
        """Threshold(sum, t)."""
        limits = self.artifact_constant(node.input[1]) - 0.5
        self._deferred[node.output[0]] = DeferredSigns(node.input[0], limits)

    def binary_conv2d(self, node: onnx.NodeProto) -> None:
        """BinaryConv2d(x, w)."""
        self._convolve(node, node.output[0])

    def binary_conv2d_threshold(self, node: onnx.NodeProto) -> None:
        """BinaryConv2dThreshold(x, w, t)."""
        sums = f"{PREFIX}{node.output[0]}.sums"
        self._convolve(node, sums)
        limits = self.artifact_constant(node.input[2]) - 0.5
        self._deferred[node.output[0]] = DeferredSigns(sums, limits.reshape(-1, 1, 1))

    def binary_linear(self, node: onnx.NodeProto) -> None:
        """BinaryLinear(x, w), as a 1x1 convolution."""
        name = f"{PREFIX}{node.output[0]}"
        weight = self.binary_weights(node)[:, :, None, None]
        inputs = self.constant("image_shape", [0, -1, 1, 1], np.int64)
        numbers = self._deferred[node.input[0]]
        image = self.add("Reshape", [numbers.tensor, inputs], f"{name}.image")
        bits = self._fake_quantize(DeferredSigns(image, numbers.limits), f"{name}.bits")
        weights = self.constant(node.input[1], weight)
        self._conv(bits, weights, f"{name}.sums", -1)
        outputs = self.constant("row_shape", [0, -1], np.int64)
        self.add("Reshape", [f"{name}.sums", outputs], node.output[0])

    def _convolve(self, node: onnx.NodeProto, target: str) -> None:
        numbers = self._deferred[node.input[0]]
        where = window(node)
        zeros = tuple(where["pads"])
        weight = self.binary_weights(node)
        if where["group"] > 1 or weight.shape[1] % 8 or (any(zeros) and any(numbers.pads)):
            weights = self.constant(f"{target}.weight", weight)
            self.add("Conv", [self.real(node.input[0]), weights], target, **where)
            return
        weights = self.constant(f"{target}.weight", weight)
        bits = self._fake_quantize(numbers, f"{PREFIX}{target}.bits")
        pads = zeros if any(zeros) else numbers.pads
        outside = 0 if any(zeros) else 1
        self._conv(bits, weights, target, outside, **{**where, "pads": pads})

    def _padded_real(self, name: str) -> str:
        """Return real numbers with the deferred padding applied."""
        numbers = self._deferred[name]
        top, left, bottom, right = numbers.pads
        inner = f"{name}.inner"
        self._deferred[inner] = DeferredSigns(numbers.tensor, numbers.limits)
        widths = [0, 0, top, left, 0, 0, bottom, right]
        pads = self.constant(f"{name}.pads", widths, np.int64)
        inputs = [self.real(inner), pads, self.constant("one", 1)]
        return self.add("Pad", inputs, f"{PREFIX}{name}.padded")

    def _conv(self, x: str, w: str, target: str, outside: int, **where: Any) -> None:
        """Append a convolution that OpenVINO shall execute on bits."""
        self.add("Conv", [x, w], target, **where)
        self._nodes[-1].name = f"{ONE_BIT}{outside}.{target}"

    def _bits(self, name: str) -> str:
        """Return signs as 0.0 and 1.0, without padding, for operators that are no convolution."""
        bits = f"{PREFIX}{name}.bits"
        if not any(bits in node.output for node in self._nodes):
            numbers = self._deferred[name]
            limit = self.constant(f"{bits}.limits", numbers.limits)
            is_plus = self.add("Greater", [numbers.tensor, limit], f"{bits}.is_plus")
            self.add("Cast", [is_plus], bits, to=onnx.TensorProto.FLOAT)
        return bits

    def _fake_quantize(self, numbers: DeferredSigns, bits: str) -> str:
        """Append the comparison for a 1-bit convolution.

        OpenVINO fuses it into the previous convolution only if no other node reads its constants.
        """
        limits = numbers.limits.reshape(1, -1, 1, 1)
        limit = self.constant(f"{bits}.limits", limits)
        same = self.constant(f"{bits}.limits_too", limits)
        low = self.constant(f"{bits}.low", np.zeros((1, 1, 1, 1)))
        high = self.constant(f"{bits}.high", np.ones((1, 1, 1, 1)))
        inputs = [numbers.tensor, limit, same, low, high]
        return self.add("FakeQuantize", inputs, bits, OPENVINO, levels=2)

    translations: ClassVar[Mapping[str, Translation]] = {
        **Float32Rewrite.translations,
        "Sign": Translation(sign, "signs"),
        "Threshold": Translation(threshold, "signs"),
        "BinaryConv2d": Translation(binary_conv2d, "sum"),
        "BinaryConv2dThreshold": Translation(binary_conv2d_threshold, "signs"),
        "BinaryLinear": Translation(binary_linear, "sum"),
    }


class TracedOneBitRewrite(OneBitRewrite):
    """A slower 1-bit rewrite that holds all signs as tensors of numbers too.

    Attributes:
        traced: The name of the tensor that holds signs as 0.0 and 1.0, by the artifact's name.
    """

    def __init__(self, artifact: Artifact) -> None:
        super().__init__(artifact)
        self.traced: dict[str, str] = {}

    def _end(self, source: onnx.GraphProto) -> None:
        unpadded = [name for name, numbers in self._deferred.items() if not any(numbers.pads)]
        self.traced = {name: self._bits(name) for name in unpadded}
        super()._end(source)
