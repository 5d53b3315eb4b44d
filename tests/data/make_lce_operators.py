"""Writes tests/data/lce_operators: each operator of LCE with each of its options, and the results.

    python tests/data/make_lce_operators.py

It needs larq-compute-engine 0.16.0 and NumPy below 2, no TensorFlow: the files are put together
with the schema that LCE brings along. NAME.npz is as make_lce_files.py describes, and `kernel` in
it names the kernel of LCE that was used.
"""

import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
from flatbuffers import flexbuffers
from numpy.typing import NDArray

from bnnkit.engines.lce import Interpreter, Kernel

FOLDER = Path(__file__).parent / "lce_operators"
SAME, VALID = 0, 1
ACTIVATIONS = ("none", "relu", "relu_n1_to_1", "relu6")


def load_schema() -> Any:
    """LCE's own module, without the package around it, which wants TensorFlow."""
    package = importlib.util.find_spec("larq_compute_engine")
    assert package is not None
    assert package.submodule_search_locations
    path = Path(package.submodule_search_locations[0]) / "mlir" / "python" / "tflite_schema.py"
    spec = importlib.util.spec_from_file_location("lce_schema", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["lce_schema"] = module
    spec.loader.exec_module(module)
    return module


S = load_schema()
TYPES = {
    np.dtype(np.float32): S.TensorType.FLOAT32,
    np.dtype(np.int32): S.TensorType.INT32,
    np.dtype(np.int64): S.TensorType.INT64,
    np.dtype(np.int8): S.TensorType.INT8,
    np.dtype(np.bool_): S.TensorType.BOOL,
}


class Net:
    """A file under construction, in a folder."""

    def __init__(self, folder: Path = FOLDER) -> None:
        self.folder = folder
        self.graph, self.model = S.SubGraphT(), S.ModelT()
        self.graph.tensors, self.graph.operators = [], []
        self.model.version, self.model.subgraphs = 3, [self.graph]
        self.model.operatorCodes, self.model.buffers = [], [S.BufferT()]

    def tensor(self, shape: Sequence[int], dtype: Any, *, scale: float = 0, zero: int = 0) -> int:
        tensor = S.TensorT()
        tensor.name = f"t{len(self.graph.tensors)}"
        tensor.shape, tensor.type, tensor.buffer = list(shape), TYPES[np.dtype(dtype)], 0
        if scale:
            tensor.quantization = S.QuantizationParametersT()
            tensor.quantization.scale, tensor.quantization.zeroPoint = [scale], [zero]
        self.graph.tensors.append(tensor)
        return len(self.graph.tensors) - 1

    def constant(self, array: Any, dtype: Any) -> int:
        array = np.asarray(array, dtype)
        place, buffer = self.tensor(array.shape, dtype), S.BufferT()
        buffer.data = np.frombuffer(array.tobytes(), np.uint8)
        self.model.buffers.append(buffer)
        self.graph.tensors[place].buffer = len(self.model.buffers) - 1
        return place

    def quantized(self, array: Any, dtype: Any, scales: Sequence[float], axis: int = 0) -> int:
        """A constant with a scale, or one for each channel, and the zero point 0."""
        place = self.constant(array, dtype)
        quantization = S.QuantizationParametersT()
        quantization.scale, quantization.zeroPoint = list(scales), [0] * len(scales)
        quantization.quantizedDimension = axis
        self.graph.tensors[place].quantization = quantization
        return place

    def add(self, name: str, inputs: Sequence[int], *outputs: int, options: Any = None) -> int:
        code, operator = S.OperatorCodeT(), S.OperatorT()
        number = getattr(S.BuiltinOperator, name, S.BuiltinOperator.CUSTOM)
        code.builtinCode, code.deprecatedBuiltinCode = number, min(number, 127)
        code.version = 1
        if number == S.BuiltinOperator.CUSTOM:
            code.customCode = name
        if isinstance(options, dict):
            builder = flexbuffers.Builder()
            with builder.Map():
                for key, value in options.items():
                    builder.Key(key)
                    builder.Int(value)
            operator.customOptions = list(builder.Finish())
        elif options is not None:
            operator.builtinOptions = options
            kind = type(options).__name__[:-1]
            operator.builtinOptionsType = getattr(S.BuiltinOptions, kind)
        self.model.operatorCodes.append(code)
        operator.opcodeIndex = len(self.model.operatorCodes) - 1
        operator.inputs, operator.outputs = list(inputs), list(outputs)
        self.graph.operators.append(operator)
        return outputs[0]

    def signs(self, place: int, shape: Sequence[int]) -> int:
        words = (*shape[:-1], -(-shape[-1] // 32))
        return self.add("LceQuantize", [place], self.tensor(words, np.int32))

    def write(
        self, name: str, images: Any, outputs: Sequence[int], kernel: Kernel, **more: Any
    ) -> None:
        """The file and its .npz, in which there may be more."""
        self.graph.inputs, self.graph.outputs = [0], list(outputs)
        builder = flatbuffers.Builder(0)
        builder.Finish(self.model.Pack(builder), file_identifier=b"TFL3")
        content = bytes(builder.Output())
        results = Interpreter(content, kernel=kernel).run([images])
        stored = {f"output.{i}": result for i, result in enumerate(results)}
        (self.folder / f"{name}.tflite").write_bytes(content)
        np.savez_compressed(
            self.folder / f"{name}.npz", images=images, kernel=kernel, **stored, **more
        )


def eighths(rng: np.random.Generator, shape: Sequence[int]) -> NDArray[np.float32]:
    """Random numbers that take little room in a compressed file, zeros among them."""
    numbers: NDArray[np.float64] = np.rint(8 * rng.normal(size=shape)) / 8
    return numbers.astype(np.float32)


def layer(
    net: Net,
    place: int,
    shape: Sequence[int],
    channels: int,
    rng: np.random.Generator,
    *,
    out: str = "float",
    kernel: tuple[int, int] = (3, 3),
    strides: tuple[int, int] = (1, 1),
    dilations: tuple[int, int] = (1, 1),
    padding: int = SAME,
    pad_value: int = 1,
    activation: int = 0,
    groups: int = 1,
) -> int:
    """LceBconv2d with random weights on a map of signs."""
    batch, height, width, inputs = shape
    extent = [d * (k - 1) + 1 for k, d in zip(kernel, dilations, strict=True)]
    size = [
        -(-n // s) if padding == SAME else (n - e) // s + 1
        for n, s, e in zip((height, width), strides, extent, strict=True)
    ]
    taps = inputs // groups
    negative = np.zeros((channels, *kernel, -(-taps // 32) * 32), np.bool_)
    negative[..., :taps] = rng.random((channels, *kernel, taps)) < 0.5
    words = np.packbits(negative, axis=-1, bitorder="little").view("<i4")
    numbers = [
        net.constant(rng.normal(size=channels), np.float32),
        net.constant(3 * rng.normal(size=channels), np.float32),
    ]
    count = taps * kernel[0] * kernel[1]
    limits = rng.integers(count // 2 - 5, count // 2 + 6, channels)
    limits[:2] = (-(2**31), 2**31 - 1)
    options = {
        "channels_in": inputs,
        "dilation_height_factor": dilations[0],
        "dilation_width_factor": dilations[1],
        "fused_activation_function": activation,
        "pad_values": pad_value,
        "padding": padding,
        "stride_height": strides[0],
        "stride_width": strides[1],
    }
    given = [place, net.constant(words, np.int32), *numbers, -1]
    if out == "packed":
        given[2:] = [numbers[0], -1, net.constant(limits, np.int32)]
        output = net.tensor((batch, *size, -(-channels // 32)), np.int32)
    elif out == "int8":
        output = net.tensor((batch, *size, channels), np.int8, scale=0.21, zero=-9)
    else:
        output = net.tensor((batch, *size, channels), np.float32)
    return net.add("LceBconv2d", given, output, options=options)


LAYERS: dict[str, tuple[int, int, dict[str, Any]]] = {
    **{f"float_{name}": (40, 33, {"activation": i}) for i, name in enumerate(ACTIVATIONS)},
    **{
        f"int8_{name}": (32, 20, {"activation": i, "out": "int8"})
        for i, name in enumerate(ACTIVATIONS)
    },
    "packed": (33, 40, {"out": "packed"}),
    "packed_valid": (96, 65, {"out": "packed", "padding": VALID, "kernel": (2, 3)}),
    "packed_zeros": (64, 32, {"out": "packed", "pad_value": 0, "strides": (2, 2)}),
    "float_zeros": (64, 32, {"pad_value": 0, "strides": (2, 1)}),
    "int8_zeros": (32, 32, {"pad_value": 0, "out": "int8", "activation": 1}),
    "dilated": (32, 8, {"dilations": (2, 3), "kernel": (2, 3)}),
    "even_kernel": (7, 5, {"kernel": (4, 2), "strides": (2, 3)}),
    "one_pixel": (130, 64, {"kernel": (1, 1), "out": "packed"}),
    "groups": (128, 6, {"groups": 2}),
    "groups_packed": (96, 96, {"groups": 3, "out": "packed", "pad_value": 0}),
    "groups_int8": (64, 64, {"groups": 2, "out": "int8", "padding": VALID}),
}


def write_layers() -> None:
    for seed, (name, (inputs, channels, options)) in enumerate(LAYERS.items()):
        rng, net = np.random.default_rng(seed), Net()
        shape = (2, 7, 6, inputs)
        signs = net.signs(net.tensor(shape, np.float32), shape)
        result = layer(net, signs, shape, channels, rng, **options)
        images = eighths(rng, shape)
        images[0, 0, 0, :3] = (0.0, -0.0, -1e-30)
        net.write(f"bconv2d_{name}", images, [result], "reference")


def write_pools() -> None:
    for seed, (padding, window, strides) in enumerate(
        [(SAME, (2, 2), (2, 2)), (VALID, (3, 2), (1, 2)), (SAME, (3, 3), (2, 1))]
    ):
        rng, net, shape = np.random.default_rng(seed), Net(), (2, 7, 6, 40)
        signs = net.signs(net.tensor(shape, np.float32), shape)
        size = [
            -(-n // s) if padding == SAME else (n - k) // s + 1
            for n, s, k in zip(shape[1:3], strides, window, strict=True)
        ]
        options = {
            "padding": padding,
            "stride_width": strides[1],
            "stride_height": strides[0],
            "filter_width": window[1],
            "filter_height": window[0],
        }
        pooled = net.add(
            "LceBMaxPool2d", [signs], net.tensor((2, *size, 2), np.int32), options=options
        )
        real = net.add("LceDequantize", [pooled], net.tensor((2, *size, 40), np.float32))
        images = eighths(rng, shape) - np.float32(1)
        net.write(f"bmaxpool2d_{seed}", images, [pooled, real], "default")


def write_conversions() -> None:
    """LceQuantize of int8 and bool; LceDequantize to float32, int8 and bool."""
    rng, shape = np.random.default_rng(0), (2, 3, 2, 35)
    net = Net()
    signs = net.signs(net.tensor(shape, np.int8, scale=0.3, zero=5), shape)
    wide = net.tensor(shape, np.int8, scale=0.003, zero=-20)
    outputs = [
        net.add("LceDequantize", [signs], tensor)
        for tensor in (
            net.tensor(shape, np.float32),
            net.tensor(shape, np.int8, scale=0.4, zero=3),
            wide,
            net.tensor(shape, np.bool_),
        )
    ]
    images = rng.integers(-128, 128, shape).astype(np.int8)
    images[0, 0, 0, :3] = (4, 5, 6)
    net.write("quantize_int8", images, [signs, *outputs], "default")
    net = Net()
    image, limit = net.tensor(shape, np.float32), net.constant(0.25, np.float32)
    bools = net.add("GREATER_EQUAL", [image, limit], net.tensor(shape, np.bool_))
    floats = eighths(rng, shape)
    floats[0, 0, 0, 0] = 0.25
    net.write("quantize_bool", floats, [net.signs(bools, shape)], "default")


def write_moves() -> None:
    """Packed signs that are padded with either sign, cut and reshaped."""
    rng, net, shape = np.random.default_rng(0), Net(), (2, 4, 4, 40)
    signs = net.signs(net.tensor(shape, np.float32), shape)
    widths = net.constant([[0, 0], [1, 0], [2, 1], [0, 0]], np.int32)
    ones = net.add(
        "PAD", [signs, widths], net.tensor((2, 5, 7, 2), np.int32), options=S.PadOptionsT()
    )
    target = net.constant([2, 1, 1, 32], np.int32)
    flat = net.add("RESHAPE", [signs, target], net.tensor((2, 1, 1, 32), np.int32))
    dense = layer(net, flat, (2, 1, 1, 1024), 10, rng, kernel=(1, 1), padding=VALID)
    cuts = [net.constant(c, np.int32) for c in ([0, 1, 0, 1], [2, 4, 4, 2], [1, 2, 1, 1])]
    cut = net.tensor((2, 2, 4, 1), np.int32)
    net.add("STRIDED_SLICE", [signs, *cuts], cut, options=S.StridedSliceOptionsT())
    images = eighths(rng, shape)
    net.write("moves", images, [ones, flat, dense, cut], "default")
    net = Net()
    shape = (2, 4, 4, 64)
    signs = net.signs(net.tensor(shape, np.float32), shape)
    widths, word = net.constant([[0, 0], [1, 0], [2, 1], [0, 0]], np.int32), net.constant(-1, "i4")
    less = net.tensor((2, 5, 7, 2), np.int32)
    net.add("PADV2", [signs, widths, word], less, options=S.PadV2OptionsT())
    result = layer(net, less, (2, 5, 7, 64), 33, rng, padding=VALID, out="packed")
    net.write("pads", eighths(rng, shape), [less, result], "default")


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    write_layers()
    write_pools()
    write_conversions()
    write_moves()
