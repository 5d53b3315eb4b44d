"""Lowers an artifact to a TFLite network, node by node."""

from collections.abc import Callable
from typing import Final

import onnx

from bnnkit.errors import UnsupportedError
from bnnkit.export.tflite import (
    binary_layers,
    comparisons,
    composed,
    elementwise,
    float_layers,
    fully_connected,
    functions,
    integer_layers,
    layout,
    logic,
    moves,
    padding,
    parts,
    pooling,
    reductions,
    resizing,
    shapes,
    shaping,
    signs,
    stochastic_sign,
    transposed_convolution,
)
from bnnkit.export.tflite.lines import over_lines
from bnnkit.export.tflite.sign_form import SignForm
from bnnkit.export.tflite.source import Node, Source
from bnnkit.export.tflite.tflite_builder import TfliteBuilder
from bnnkit.export.tflite.uniforms import Uniforms
from bnnkit.export.tflite.values import Map, TfliteValue
from bnnkit.tflite.options import CastOptions
from bnnkit.tflite.schema import Builtin, TensorType

Lowering = Callable[[TfliteBuilder, Node], None]
"""Emits the operators of a node, and notes its value."""


def _composed(form: composed.Form) -> Lowering:
    """The lowering of an operator that is composed of others."""

    def lower_parts(builder: TfliteBuilder, node: Node) -> None:
        name = form(composed.Parts(builder, node, _lower))
        builder.give(node.output, builder.values[name])

    return lower_parts


def _lower(builder: TfliteBuilder, node: Node) -> None:
    LOWERINGS[node.kind](builder, node)


LOWERINGS: Final[dict[str, Lowering]] = {
    "bnnkit.BinaryConv2d": binary_layers.binary_conv2d,
    "bnnkit.BinaryConv2dThreshold": binary_layers.binary_conv2d,
    "bnnkit.BinaryLinear": binary_layers.binary_linear,
    "bnnkit.IntegerConv2d": integer_layers.integer_conv2d,
    "bnnkit.IntegerLinear": integer_layers.integer_linear,
    "bnnkit.Sign": signs.sign,
    "bnnkit.StochasticSign": stochastic_sign.stochastic_sign,
    "bnnkit.Threshold": signs.threshold,
    "DequantizeLinear": signs.dequantize_linear,
    "ArgMax": reductions.arg_max,
    "ArgMin": reductions.arg_max,
    "AveragePool": over_lines(pooling.average_pool),
    "BatchNormalization": elementwise.batch_normalization,
    "Cast": shaping.cast,
    "Clip": elementwise.clip,
    "Concat": parts.concat,
    "Conv": over_lines(float_layers.conv),
    "ConvTranspose": over_lines(transposed_convolution.conv_transpose),
    "Dropout": shaping.identity,
    "Elu": functions.elu,
    "DepthToSpace": moves.depth_to_space,
    "Flatten": shaping.flatten,
    "Gather": moves.gather,
    "Gelu": functions.gelu,
    "Gemm": fully_connected.gemm,
    "GlobalAveragePool": reductions.reduce,
    "GlobalMaxPool": reductions.reduce,
    "HardSigmoid": functions.hard_sigmoid,
    "Identity": shaping.identity,
    "LeakyRelu": elementwise.leaky_relu,
    "LogSoftmax": elementwise.softmax,
    "MatMul": fully_connected.mat_mul,
    "MaxPool": over_lines(pooling.max_pool),
    "PRelu": elementwise.p_relu,
    "Pad": over_lines(padding.pad),
    "Pow": functions.power,
    "ReduceMax": reductions.reduce,
    "ReduceMin": reductions.reduce,
    "ReduceProd": reductions.reduce,
    "ReduceMean": reductions.reduce,
    "ReduceSum": reductions.reduce,
    "Reshape": shaping.reshape,
    "Resize": over_lines(resizing.resize),
    "Shape": shapes.shape,
    "Slice": parts.slice_,
    "SpaceToDepth": moves.space_to_depth,
    "Softmax": elementwise.softmax,
    "Softplus": functions.softplus,
    "Split": parts.split,
    "Squeeze": shaping.squeeze,
    "Tile": moves.tile,
    "Transpose": shaping.transpose,
    "Unsqueeze": shaping.unsqueeze,
    "Where": comparisons.where,
    **{kind: _composed(form) for kind, form in composed.COMPOSED.items()},
    **dict.fromkeys(comparisons.COMPARISONS, comparisons.compare),
    **dict.fromkeys(logic.LOGIC, logic.logic),
    "Not": logic.negation,
    **dict.fromkeys(elementwise.BINARY, elementwise.binary),
    **dict.fromkeys(elementwise.UNARY, elementwise.unary),
}
"""The lowering of each kind of node."""


def lower(source: Source, batch: int, signs: SignForm, uniforms: Uniforms) -> TfliteBuilder:
    """Lower all nodes; the first tensor is the image.

    Raises:
        UnsupportedError: Nodes cannot be lowered; the message names them all.
    """
    builder = TfliteBuilder(source, batch, signs, uniforms)
    builder.give(source.input, _image(builder))
    faults: dict[str, None] = {}  # in their order, each once
    behind: set[str] = set()
    for node in source.nodes:
        if node.output in builder.absorbed:
            continue
        try:
            if not behind.isdisjoint(node.inputs) and node.kind in LOWERINGS:
                behind.add(node.output)
            else:
                _lower_node(builder, node)
        except UnsupportedError as error:
            faults[str(error)] = None
            behind.add(node.output)
    if faults:
        reasons = "; ".join(faults)  # each says what was expected and what came
        raise UnsupportedError(reasons)
    return builder


def _lower_node(builder: TfliteBuilder, node: Node) -> None:
    if shapes.is_constant(builder, node):
        shapes.fold(builder, node)
        return
    if node.kind not in LOWERINGS:
        raise UnsupportedError(f"{node.name}: TFLite export lacks {node.kind}")
    builder.begin(node.output)
    try:
        LOWERINGS[node.kind](builder, node)
    except UnsupportedError as error:
        raise UnsupportedError(f"{node.name} ({node.kind}): {error}") from error


def outputs(builder: TfliteBuilder) -> list[int]:
    """Emit the outputs of the network, with sums as int32 and maps as NHWC; returns tensors."""
    return [_output(builder, name) for name in builder.source.outputs]


def _image(builder: TfliteBuilder) -> TfliteValue:
    source = builder.source
    types = {onnx.TensorProto.UINT8: "image", onnx.TensorProto.FLOAT: "real"}
    if source.input_type not in types:
        found = onnx.TensorProto.DataType.Name(source.input_type)
        raise UnsupportedError(f"expected {source.input!r} to be uint8 or float32, got {found}")
    image = source.input_type == onnx.TensorProto.UINT8
    element = TensorType.UINT8 if image else TensorType.FLOAT32
    shape, pixels = source.input_shape, _map_of(source.input_shape)
    stored = shape if pixels is None else (pixels[1], pixels[2], pixels[0])
    tensor = builder.add_input(source.input, element, (builder.batch, *stored))
    return TfliteValue(
        kind="image" if image else "real",
        tensor=tensor,
        shape=shape,
        map=pixels,
        may_be_minus_zero=not image,
    )


def _map_of(shape: tuple[int, ...]) -> Map | None:
    return (shape[0], shape[1], shape[2]) if len(shape) == 3 else None


def _output(builder: TfliteBuilder, name: str) -> int:
    if name not in builder.values:
        raise UnsupportedError(
            f"expected outputs that depend on the input, got {name!r}, which is constant"
        )
    builder.begin(name)
    value = layout.as_output(builder, builder.values[name])
    builder.give(name, value)
    tensor = value.tensor
    if value.kind != "signs" and len(value.shape) == 1:
        tensor = layout.as_onnx(builder, value)
    if value.kind == "sum":
        options = CastOptions(in_data_type=TensorType.FLOAT32, out_data_type=TensorType.INT32)
        tensor = builder.emit(
            Builtin.CAST, [tensor], builder.shape(tensor), kind=TensorType.INT32, options=options
        )
    return tensor
