"""Small models of one operator with one attribute that has another value than its default.

They are made from ONNX's schemas: a test fails if a schema has an attribute without values here.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

Array = NDArray[Any]
RNG = np.random.default_rng(0)
IMAGES = 2
"""The first axis of the computed input."""


def reals(*shape: int) -> Array:
    return RNG.standard_normal(shape).astype(np.float32)


X = reals(IMAGES, 4, 6, 5)
TIES = RNG.integers(0, 3, X.shape).astype(np.float32)
PIXELS = RNG.integers(0, 256, X.shape).astype(np.uint8)
PAIR = np.array([1, 2], np.float32)
FOUR = np.array([0.5, 1, 2, -1], np.float32)
ENDS = np.array([0, 0, 1, 2, 0, 0, 2, 1])
PLACES = RNG.integers(0, 4, X.shape)
NONE = np.zeros(0, np.float32)
SCALES = np.array([1, 1, 0.5, 2], np.float32)
ROI = np.array([0, 0, 0.1, 0.2, 1, 1, 0.7, 0.8], np.float32)


@dataclass(frozen=True, kw_only=True)
class Example:
    """An operator that runs with its attributes as they are by default.

    Attributes:
        inputs: The first is computed, the others are constants.
        attributes: Those that it must have, or that give others their meaning.
        since: The first opset to which the inputs belong.
        until: The last.
    """

    inputs: list[Array]
    attributes: dict[str, Any] = field(default_factory=dict)
    since: int = 13
    until: int = 99


def _recurrent(gates: int) -> list[Example]:
    """Return a recurrent layer of 4 hidden numbers in one direction, and in both."""

    def inputs(directions: int) -> list[Array]:
        rows = 4 * gates
        shapes = [(5, 2, 3), (directions, rows, 3), (directions, rows, 4), (directions, 2 * rows)]
        return [reals(*shape) for shape in shapes]

    one = {"hidden_size": 4}
    return [
        Example(inputs=inputs(1), attributes=one),
        Example(inputs=inputs(2), attributes={**one, "direction": "bidirectional"}),
    ]


_WINDOW = {"kernel_shape": [3, 2]}
_REDUCES = Example(inputs=[X], since=18)
_ARG = Example(inputs=[TIES], attributes={"axis": 1})
EXAMPLES: dict[str, list[Example]] = {
    "ArgMax": [_ARG],
    "ArgMin": [_ARG],
    "AveragePool": [
        Example(inputs=[X], attributes=_WINDOW),
        Example(inputs=[X], attributes={**_WINDOW, "pads": [1, 1, 1, 0], "strides": [2, 2]}),
    ],
    "BatchNormalization": [Example(inputs=[X, FOUR, FOUR, FOUR, np.abs(FOUR)])],
    "BitShift": [
        Example(inputs=[PIXELS, np.array(2, np.uint8)], attributes={"direction": "LEFT"})
    ],
    "Cast": [Example(inputs=[X], attributes={"to": TensorProto.INT32})],
    "Celu": [Example(inputs=[X])],
    "Col2Im": [Example(inputs=[reals(2, 12, 20), np.array([6, 5]), np.array([2, 2])], since=18)],
    "Concat": [Example(inputs=[X, X], attributes={"axis": 1})],
    "ConstantOfShape": [Example(inputs=[np.array([2, 3])])],
    "Conv": [
        Example(inputs=[X, reals(6, 4, 3, 2), reals(6)]),
        Example(inputs=[X, reals(8, 1, 3, 2)], attributes={"pads": [1, 1, 0, 0]}),
    ],
    "ConvTranspose": [
        Example(inputs=[X, reals(4, 3, 3, 2), reals(3)], attributes={"strides": [2, 2]}),
        Example(inputs=[X, reals(4, 3, 3, 2)], attributes={"group": 2}),
    ],
    "CumSum": [Example(inputs=[X, np.array(1)], since=14)],
    "DepthToSpace": [Example(inputs=[reals(2, 8, 3, 2)], attributes={"blocksize": 2})],
    "DequantizeLinear": [
        Example(inputs=[PIXELS[..., :4, :4], FOUR, np.arange(4, dtype=np.uint8)]),
        Example(inputs=[PIXELS, reals(2, 2, 6, 5)], since=21, attributes={"block_size": 2}),
    ],
    "Dropout": [Example(inputs=[X])],
    "Einsum": [Example(inputs=[X, reals(5, 3)], attributes={"equation": "nchw,wk->nck"})],
    "Elu": [Example(inputs=[X])],
    "EyeLike": [Example(inputs=[X[0, 0]])],
    "Flatten": [Example(inputs=[X])],
    "GRU": _recurrent(gates=3),
    "Gather": [Example(inputs=[X, np.array([1, 0])], attributes={"axis": 1})],
    "GatherElements": [Example(inputs=[X, PLACES], attributes={"axis": 1})],
    "GatherND": [
        Example(inputs=[X, PLACES[:, 0, :2, :1]], attributes={"batch_dims": 1}),
        Example(inputs=[X, np.zeros((2, 4, 1), np.int64)], attributes={"batch_dims": 2}),
    ],
    "Gelu": [Example(inputs=[X], since=20)],
    "Gemm": [Example(inputs=[reals(3, 3), reals(3, 3), reals(3)])],
    "GridSample": [
        Example(inputs=[X, reals(IMAGES, 3, 4, 2)], since=20),
        Example(
            inputs=[X, reals(IMAGES, 3, 4, 2)], attributes={"padding_mode": "border"}, since=20
        ),
    ],
    "GroupNormalization": [
        Example(inputs=[X, PAIR, PAIR], attributes={"num_groups": 2}, since=18, until=20),
        Example(inputs=[X, FOUR, FOUR], attributes={"num_groups": 2}, since=21),
    ],
    "HardSigmoid": [Example(inputs=[X])],
    "InstanceNormalization": [Example(inputs=[X, FOUR, FOUR])],
    "IsInf": [Example(inputs=[X], until=0)],  # the runtime takes finite inputs
    "LSTM": _recurrent(gates=4),
    "LayerNormalization": [Example(inputs=[X, reals(5)], since=17)],
    "LeakyRelu": [Example(inputs=[X])],
    "LogSoftmax": [Example(inputs=[X])],
    "LpNormalization": [Example(inputs=[X])],
    "MaxPool": [
        Example(inputs=[X], attributes=_WINDOW),
        Example(inputs=[X], attributes={**_WINDOW, "pads": [1, 1, 1, 0], "strides": [2, 2]}),
    ],
    "Mod": [Example(inputs=[PIXELS.astype(np.int32) - 99, np.array(7, np.int32)])],
    "OneHot": [
        Example(inputs=[PIXELS[..., 0] % 4, np.array(4), PAIR]),
    ],
    "Pad": [Example(inputs=[X, ENDS])],
    "RNN": _recurrent(gates=1),
    "Range": [Example(inputs=[np.array(0), np.array(5), np.array(1)], until=0)],  # of shapes alone
    "ReduceL1": [_REDUCES],
    "ReduceL2": [_REDUCES],
    "ReduceLogSum": [Example(inputs=[np.abs(X)], since=18)],
    "ReduceLogSumExp": [_REDUCES],
    "ReduceMax": [_REDUCES],
    "ReduceMean": [_REDUCES],
    "ReduceMin": [_REDUCES],
    "ReduceProd": [_REDUCES],
    "ReduceSum": [Example(inputs=[X])],
    "ReduceSumSquare": [_REDUCES],
    "Reshape": [
        Example(inputs=[X, np.array([0, -1])], since=14),
        Example(inputs=[reals(2, 0, 3), np.array([2, 0, 7])], since=14),
    ],
    "Resize": [
        Example(inputs=[X, ROI, SCALES]),
        Example(inputs=[X, ROI, SCALES], attributes={"mode": "linear"}),
        Example(inputs=[X, ROI, SCALES], attributes={"mode": "cubic"}),
        Example(
            inputs=[X, ROI[[2, 3, 6, 7]], np.array([0.5, 2], np.float32)],
            attributes={"axes": [2, 3], "mode": "linear"},
            since=18,
        ),
        Example(inputs=[X, NONE, NONE, np.array([2, 4, 12, 7])], since=18),
    ],
    "ScatterElements": [Example(inputs=[X, PLACES, X], attributes={"axis": 1})],
    "ScatterND": [Example(inputs=[X, np.array([[1], [0]]), X])],
    "Selu": [Example(inputs=[X])],
    "Shape": [Example(inputs=[X], since=15)],
    "Softmax": [Example(inputs=[X])],
    "SpaceToDepth": [Example(inputs=[reals(2, 3, 4, 6)], attributes={"blocksize": 2})],
    "Split": [
        Example(inputs=[X], attributes={"axis": 1}, until=17),
        Example(inputs=[X], attributes={"axis": 1, "num_outputs": 2}, since=18),
    ],
    "ThresholdedRelu": [Example(inputs=[X])],
    "TopK": [Example(inputs=[TIES, np.array([3])])],
    "Transpose": [Example(inputs=[X], attributes={"perm": [0, 2, 3, 1]})],
    "Trilu": [Example(inputs=[X], since=14)],
}
for _name in ("ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax"):
    EXAMPLES[_name] = [*EXAMPLES[_name], Example(inputs=EXAMPLES[_name][0].inputs, until=17)]
for _name in ("ReduceMean", "ReduceMin", "ReduceProd", "ReduceSumSquare"):
    EXAMPLES[_name] = [*EXAMPLES[_name], Example(inputs=[X], until=17)]

VALUES: dict[str, list[Any]] = {
    "allowzero": [1],
    "alpha": [0.3, 2.0],
    "antialias": [1],
    "approximate": ["tanh"],
    "auto_pad": ["SAME_UPPER", "SAME_LOWER"],
    "axes": [[1], [2, 1], [3, 2]],
    "axis": [1, 2, -2, 3, -1, 0],
    "beta": [0.3, 2.0],
    "block_size": [3],
    "blocksize": [1, 2],
    "ceil_mode": [1],
    "coordinate_transformation_mode": [
        "asymmetric", "align_corners", "pytorch_half_pixel", "half_pixel_symmetric",
    ],
    "count_include_pad": [1],
    "cubic_coeff_a": [-0.5],
    "dilations": [[2, 1], [1, 2]],
    "end": [2, -1],
    "epsilon": [0.5],
    "exclude_outside": [1],
    "extrapolation_value": [5.0],
    "fmod": [1],
    "gamma": [0.5],
    "group": [1, 4],
    "keep_aspect_ratio_policy": ["not_larger", "not_smaller"],
    "keepdims": [0],
    "kernel_shape": [[2, 2], [3, 2]],
    "mode": ["reflect", "edge", "wrap", "linear", "cubic", "nearest", "CRD"],
    "momentum": [0.5],
    "nearest_mode": ["round_prefer_ceil", "floor", "ceil"],
    "noop_with_empty_axes": [1],
    "num_groups": [1, 4],
    "num_outputs": [3],
    "output_dtype": [TensorProto.FLOAT16],
    "output_padding": [[1, 0], [1, 1]],
    "output_shape": [[13, 11]],
    "p": [1],
    "pads": [[1, 0, 0, 1], [0, 1, 2, 0]],
    "perm": [[0, 3, 2, 1], [1, 0, 2, 3]],
    "round_mode": ["down"],
    "saturate": [0],
    "seed": [7],
    "select_last_index": [1],
    "start": [1, -2],
    "stash_type": [TensorProto.FLOAT16],
    "storage_order": [1],
    "strides": [[2, 1], [1, 3]],
    "to": [TensorProto.INT64, TensorProto.BOOL, TensorProto.FLOAT16, TensorProto.FLOAT8E4M3FN],
    "training_mode": [1],
    "transA": [1],
    "transB": [1],
    "activation_alpha": [[0.5]],
    "activation_beta": [[0.5]],
    "activations": [],  # these depend on the operator: test_operators_of_places.py
    "align_corners": [1],
    "batch_dims": [0, 2],
    "clip": [],  # refused: engines differ
    "detect_negative": [0],
    "detect_positive": [0],
    "direction": ["RIGHT", "reverse", "bidirectional"],
    "dtype": [TensorProto.INT32],
    "equation": ["nchw,wk->nhk", "nchw,wk", "...w,wk->...k"],
    "exclusive": [1],
    "hidden_size": [4],
    "input_forget": [1],
    "k": [1, -1],
    "largest": [0],
    "layout": [1],
    "linear_before_reset": [1],
    "padding_mode": ["border", "reflection"],
    "reduction": ["add", "mul", "max", "min"],
    "reverse": [1],
    "sorted": [],  # without it, any order is right
    "upper": [0],
    "value": [numpy_helper.from_array(np.full(1, 7, np.int32))],
}  # fmt: skip
"""Other values than the default, by attribute."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """One operator with one value of one attribute."""

    kind: str
    attribute: str
    value: Any
    opset: int
    model: onnx.ModelProto
    plain: onnx.ModelProto
    images: Array

    def __str__(self) -> str:
        return f"{self.kind} {self.attribute}={self.value} opset {self.opset}"


def cases(kind: str) -> Iterator[Case]:
    """Return the cases of an operator, for each version of its schema from opset 13 on."""
    for opset in versions(kind):
        schema = onnx.defs.get_schema(kind, opset, "")
        for example in EXAMPLES.get(kind, []):
            if not example.since <= opset <= example.until:
                continue
            plain = _model(kind, example, {}, opset)
            for name in sorted(schema.attributes):
                for value in VALUES[name]:
                    yield Case(
                        kind=kind,
                        attribute=name,
                        value=value,
                        opset=opset,
                        model=_model(kind, example, {name: value}, opset),
                        plain=plain,
                        images=example.inputs[0],
                    )


def versions(kind: str) -> list[int]:
    """Return an opset for each version of an operator's schema, the oldest 13."""
    found: dict[int, int] = {}
    for opset in range(13, onnx.defs.onnx_opset_version() + 1):
        try:
            schema = onnx.defs.get_schema(kind, opset, "")
        except onnx.defs.SchemaError:
            continue
        found.setdefault(schema.since_version, opset)
    return list(found.values())


def _model(kind: str, example: Example, other: dict[str, Any], opset: int) -> onnx.ModelProto:
    """Return a model of one operator, whose types of outputs are left to the reader."""
    attributes = {**example.attributes, **other}
    x, *constants = example.inputs
    names = [f"c{i}" if constant is not NONE else "" for i, constant in enumerate(constants)]
    count = attributes.get("num_outputs", 2)
    outputs = [f"y{i}" for i in range(count)] if kind in ("Split", "TopK") else []
    node = helper.make_node(kind, ["x", *names], outputs or ["y"], name=kind, **attributes)
    element = helper.np_dtype_to_tensor_dtype(x.dtype)
    graph = helper.make_graph(
        [node],
        "one",
        [helper.make_tensor_value_info("x", element, ["N", *x.shape[1:]])],
        [onnx.ValueInfoProto(name=name) for name in node.output],
        [
            numpy_helper.from_array(c, name)
            for c, name in zip(constants, names, strict=True)
            if name
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
    inferred = onnx.shape_inference.infer_shapes(model)
    for value in inferred.graph.output:
        if not value.type.tensor_type.elem_type:  # not inferred, or impossible
            value.type.tensor_type.elem_type = element
    return inferred
