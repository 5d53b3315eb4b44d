"""Small artifacts made by hand, with onnx.helper."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from bnnkit.artifact.artifact import Artifact
from bnnkit.artifact.format.bits import pack_weight

Array = NDArray[Any]

MIDPOINTS = (np.arange(4096) + 0.5) / 4096
QUANTILES: dict[str, Array] = {
    "logistic": np.log(MIDPOINTS / (1 - MIDPOINTS)) / 2,
    "uniform": 2 * MIDPOINTS - 1,
}
"""Tables of noise."""
SAMPLING: dict[str, Array] = {
    "sample": np.array(-1, np.int64),
    "seed": np.array(0, np.uint64),
    "image_offset": np.array(0, np.int64),
    "antithetic": np.array(False),
}
"""The inputs that choose the random numbers, and their defaults."""


@dataclass
class ArtifactBuilder:
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
            largest = int(np.prod(shape[1:]))
            values = self.rng.integers(-spread, spread + 1, outputs).clip(-largest, largest + 1)
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

    def stochastic_sign(
        self,
        source: str,
        threshold: Array | float = 0.0,
        scale: Array | float = 1.0,
        *,
        channels: int,
        noise: str = "logistic",
        maps: bool = True,
    ) -> str:
        """The next noisy sign of real numbers (N, C, H, W), or (N, C) without maps."""
        shape = (channels, 1, 1) if maps else (channels,)
        law = [np.broadcast_to(np.ravel(x), channels).reshape(shape) for x in (threshold, scale)]
        layer = sum(node.op_type == "StochasticSign" for node in self.nodes)
        table = f"noise.{noise}"
        if table not in {tensor.name for tensor in self.constants}:
            quantiles = QUANTILES[noise].astype(np.float32)
            self.constants.append(numpy_helper.from_array(quantiles, table))
        operands = [self.constant(x.astype(np.float32)) for x in law]
        order = ("seed", "image_offset", "sample", "antithetic")
        return self.add("bnnkit.StochasticSign", source, *operands, table, *order, layer=layer)

    def noisy_sum(
        self,
        sums: str,
        channels: int,
        spread: float,
        *,
        pool: int = 0,
        sides: bool = False,
        noise: str = "logistic",
        maps: bool = True,
    ) -> str:
        """A noisy sign of sums that vary by about `spread`, behind a pool of that window or none.

        With sides, the maximum of half of the channels counts negatively.
        """
        real = self.add("Cast", sums, to=TensorProto.FLOAT)
        if pool:
            real = self.add("MaxPool", real, kernel_shape=[pool, pool], strides=[2, 2])
        if sides:
            side = self.rng.choice(np.array([-1, 1], np.float32), (channels, 1, 1))
            real = self.add("Mul", real, self.constant(side))
        threshold = self.rng.normal(0, spread, channels)
        scale = spread * self.rng.choice([1e-3, 0.5, 1.0, 3.0], channels)
        return self.stochastic_sign(
            real, threshold, scale, channels=channels, noise=noise, maps=maps
        )

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
            "StochasticSign": TensorProto.UINT8,
            "BinaryConv2d": TensorProto.INT32,
            "BinaryLinear": TensorProto.INT32,
            "BinaryMatMul": TensorProto.INT32,
            "IntegerConv2d": TensorProto.INT32,
            "BinaryWeight": TensorProto.FLOAT,
            "DequantizeLinear": TensorProto.FLOAT,
            "Shape": TensorProto.INT64,
            "ArgMax": TensorProto.INT64,
            "ArgMin": TensorProto.INT64,
        }
        types = {"x": dtype} | {tensor.name: tensor.data_type for tensor in self.constants}
        for node in self.nodes:
            to = next((a.i for a in node.attribute if a.name == "to"), types[node.input[0]])
            types |= dict.fromkeys(node.output, fixed.get(node.op_type, to))
        return types

    def artifact(
        self,
        shape: Sequence[int],
        *outputs: str,
        dtype: int = TensorProto.FLOAT,
        functions: Sequence[onnx.FunctionProto] = (),
        sizes: dict[str, Sequence[int]] | None = None,
    ) -> Artifact:
        """The finished artifact; the input is called "x".

        A file needs the shapes of its outputs, `sizes` without the batch.
        """
        shapes: dict[str, list[int | str | None]] = {
            name: ["N", *size] for name, size in (sizes or {}).items()
        }
        types = self._types(dtype)
        is_noisy = any(node.op_type == "StochasticSign" for node in self.nodes)
        chosen = [numpy_helper.from_array(x, name) for name, x in SAMPLING.items() if is_noisy]
        graph = helper.make_graph(
            self.nodes,
            "network",
            [
                helper.make_tensor_value_info("x", dtype, ["N", *shape]),
                *(helper.make_tensor_value_info(t.name, t.data_type, []) for t in chosen),
            ],
            [helper.make_tensor_value_info(o, types[o], shapes.get(o)) for o in outputs],
            [*self.constants, *chosen],
        )
        opsets = [helper.make_opsetid("", 21), helper.make_opsetid("bnnkit", 1)]
        model = helper.make_model(
            graph, opset_imports=opsets, ir_version=10, functions=list(functions)
        )
        if is_noisy:
            helper.set_model_props(model, {"bnnkit.mode": "samples"})
        return Artifact(model)


def digits_like(seed: int = 0) -> tuple[Artifact, Array]:
    """A whole small network on uint8 images (1, 8, 8) with ten scores, and 7 images for it."""
    a = ArtifactBuilder(seed)
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
    model = a.artifact((1, 8, 8), scores, dtype=TensorProto.UINT8, sizes={scores: (10,)})
    return model, images


def noisy_digits_like(seed: int = 0) -> tuple[Artifact, Array]:
    """A stochastic network on uint8 images (1, 8, 8) with ten scores, and 64 images for it.

    Noisy signs of integer sums: of the first layer, of a convolution before a pool, of one with
    groups, of a dense layer.
    """
    a = ArtifactBuilder(seed)
    first = a.noisy_sum(a.integer_conv2d("x", 1, 33), 33, 40000)
    padded = a.pad_with_ones(first, 1, 1, 1, 1)
    sums = a.binary_conv2d(padded, 33, 66, thresholds=False)
    pooled = a.noisy_sum(sums, 66, 17, pool=2)
    grouped = a.binary_conv2d(pooled, 66, 70, pads=(1, 1, 1, 1), groups=2, thresholds=False)
    more = a.noisy_sum(grouped, 70, 17, noise="uniform")
    dense = a.binary_linear(a.add("Flatten", more), 70 * 16, 37)
    scores = a.gemm(a.to_real(a.noisy_sum(dense, 37, 33, maps=False)), 37, 10)
    images = a.rng.integers(0, 256, (64, 1, 8, 8)).astype(np.uint8)
    model = a.artifact((1, 8, 8), scores, dtype=TensorProto.UINT8, sizes={scores: (10,)})
    return model, images


def noisy_real_like(seed: int = 0) -> tuple[Artifact, Array]:
    """A stochastic network on real numbers (5, 9, 7) with three scores, and 64 inputs for it.

    Noisy signs of real numbers, of a skip connection, of the maximum of sums with sides, beside
    signs and thresholds without noise.
    """
    a = ArtifactBuilder(seed)
    scaled = a.add("Mul", "x", a.constant(np.float32(0.7)))
    first = a.stochastic_sign(scaled, channels=5)
    sums = a.binary_conv2d(first, 5, 65, pads=(1, 1, 1, 1), thresholds=False)
    real = a.add("Cast", sums, to=TensorProto.FLOAT)
    scale = a.constant(a.rng.normal(0, 0.2, (65, 1, 1)).astype(np.float32))
    skip = a.add("Add", a.add("Mul", real, scale), a.to_real(a.sign(real)))
    joined = a.stochastic_sign(skip, channels=65, noise="uniform")
    plain = a.binary_conv2d(joined, 65, 31)
    pooled = a.noisy_sum(
        a.binary_conv2d(plain, 31, 129, thresholds=False), 129, 17, pool=3, sides=True
    )
    dense = a.binary_linear(a.add("Flatten", pooled), 129 * 2 * 1, 9)
    last = a.stochastic_sign(a.add("Cast", dense, to=TensorProto.FLOAT), channels=9, maps=False)
    scores = a.gemm(a.to_real(last), 9, 3)
    inputs = a.rng.standard_normal((64, 5, 9, 7)).astype(np.float32)
    return a.artifact((5, 9, 7), scores, sizes={scores: (3,)}), inputs
