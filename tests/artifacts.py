"""Small artifacts made by hand, with onnx.helper alone."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from bnnkit.bits import pack_weight

Array = NDArray[Any]


@dataclass
class Artifact:
    """A graph under construction; every method appends a node and gives the name of its output."""

    seed: int = 0
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: list[onnx.TensorProto] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)

    def constant(self, value: Any) -> str:
        name = f"constant{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def add(self, kind: str, *inputs: str, **attributes: Any) -> str:
        domain, _, kind = kind.rpartition(".")
        name = f"{kind}{len(self.nodes)}"
        node = helper.make_node(kind, inputs, [name], name=name, domain=domain, **attributes)
        self.nodes.append(node)
        return name

    def sign(self, source: str) -> str:
        return self.add("bnnkit.Sign", source)

    def signs(self, *shape: int) -> Array:
        return self.rng.choice([-1, 1], size=shape)

    def binary_conv2d(
        self,
        source: str,
        inputs: int,
        outputs: int,
        kernel: int | tuple[int, int] = 3,
        *,
        stride: int = 1,
        pads: Sequence[int] = (0, 0, 0, 0),
        dilation: int = 1,
        groups: int = 1,
        thresholds: bool = True,
    ) -> str:
        height, width = (kernel, kernel) if isinstance(kernel, int) else kernel
        shape = (outputs, height, width, inputs // groups)
        operands = [source, self.constant(pack_weight(self.signs(*shape)))]
        if thresholds:
            spread = int(np.prod(shape[1:]) ** 0.5) + 1
            values = self.rng.integers(-spread, spread + 1, outputs)
            operands.append(self.constant(values.astype(np.int32)))
        return self.add(
            "bnnkit.BinaryConv2dThreshold" if thresholds else "bnnkit.BinaryConv2d",
            *operands,
            weight_shape=shape,
            strides=[stride, stride],
            pads=list(pads),
            dilations=[dilation, dilation],
            group=groups,
        )

    def binary_linear(self, source: str, inputs: int, outputs: int) -> str:
        weight = self.constant(pack_weight(self.signs(outputs, inputs)))
        return self.add("bnnkit.BinaryLinear", source, weight, weight_shape=[outputs, inputs])

    def integer_conv2d(
        self,
        source: str,
        inputs: int,
        outputs: int,
        kernel: int = 3,
        *,
        pad: int = 1,
        stride: int = 1,
    ) -> str:
        weight = self.rng.integers(-2047, 2048, (outputs, inputs, kernel, kernel)).astype(np.int16)
        zero_point = self.rng.integers(0, 256, (inputs, 1, 1)).astype(np.uint8)
        return self.add(
            "bnnkit.IntegerConv2d",
            source,
            self.constant(weight),
            self.constant(zero_point),
            strides=[stride, stride],
            pads=[pad] * 4,
            dilations=[1, 1],
            group=1,
        )

    def threshold(self, source: str, values: Sequence[int] | Array) -> str:
        return self.add("bnnkit.Threshold", source, self.constant(np.asarray(values, np.int32)))

    def to_real(self, source: str) -> str:
        one, zero = self.constant(np.float32(1)), self.constant(np.uint8(1))
        return self.add("DequantizeLinear", source, one, zero)

    def gemm(self, source: str, inputs: int, outputs: int) -> str:
        weight = self.constant(self.rng.standard_normal((outputs, inputs)).astype(np.float32))
        bias = self.constant(self.rng.standard_normal(outputs).astype(np.float32))
        return self.add("Gemm", source, weight, bias, transB=1)

    def pad_with_ones(self, source: str, top: int, left: int, bottom: int, right: int) -> str:
        pads = self.constant(np.array([0, 0, top, left, 0, 0, bottom, right]))
        return self.add("Pad", source, pads, self.constant(np.uint8(2)))

    def _types(self, dtype: int) -> dict[str, int]:
        """Element types by value name."""
        fixed = {
            "Sign": TensorProto.UINT8,
            "Threshold": TensorProto.UINT8,
            "BinaryConv2dThreshold": TensorProto.UINT8,
            "BinaryConv2d": TensorProto.INT32,
            "BinaryLinear": TensorProto.INT32,
            "IntegerConv2d": TensorProto.INT32,
            "BinaryWeight": TensorProto.FLOAT,
            "DequantizeLinear": TensorProto.FLOAT,
            "Shape": TensorProto.INT64,
            "ArgMax": TensorProto.INT64,
        }
        types = {"x": dtype} | {tensor.name: tensor.data_type for tensor in self.constants}
        for node in self.nodes:
            to = next((a.i for a in node.attribute if a.name == "to"), types[node.input[0]])
            types[node.output[0]] = fixed.get(node.op_type, to)
        return types

    def model(
        self,
        shape: Sequence[int],
        *outputs: str,
        dtype: int = TensorProto.FLOAT,
        functions: Sequence[onnx.FunctionProto] = (),
        sizes: dict[str, Sequence[int]] | None = None,
    ) -> onnx.ModelProto:
        """The finished model; the input is called "x".

        A file needs the shapes of its outputs, `sizes` without the batch.
        """
        shapes: dict[str, list[int | str | None]] = {
            name: ["N", *size] for name, size in (sizes or {}).items()
        }
        types = self._types(dtype)
        graph = helper.make_graph(
            self.nodes,
            "network",
            [helper.make_tensor_value_info("x", dtype, ["N", *shape])],
            [helper.make_tensor_value_info(o, types[o], shapes.get(o)) for o in outputs],
            self.constants,
        )
        opsets = [helper.make_opsetid("", 21), helper.make_opsetid("bnnkit", 1)]
        return helper.make_model(
            graph, opset_imports=opsets, ir_version=10, functions=list(functions)
        )


def digits_like(seed: int = 0) -> tuple[onnx.ModelProto, Array]:
    """A whole small network on uint8 images (1, 8, 8) with ten scores, and 7 images for it."""
    a = Artifact(seed)
    sums = a.integer_conv2d("x", 1, 33)
    signs = a.threshold(sums, a.rng.integers(-40000, 40000, (33, 1, 1)))
    padded = a.pad_with_ones(signs, 1, 1, 1, 1)
    hidden = a.binary_conv2d(padded, 33, 65)
    pooled = a.add("MaxPool", hidden, kernel_shape=[2, 2], strides=[2, 2])
    more = a.binary_conv2d(pooled, 65, 64, pads=(1, 1, 1, 1))
    flat = a.add("Flatten", more)
    dense = a.threshold(a.binary_linear(flat, 64 * 16, 40), a.rng.integers(-30, 30, 40))
    scores = a.gemm(a.to_real(dense), 40, 10)
    images = a.rng.integers(0, 256, (7, 1, 8, 8)).astype(np.uint8)
    model = a.model((1, 8, 8), scores, dtype=TensorProto.UINT8, sizes={scores: (10,)})
    return model, images
