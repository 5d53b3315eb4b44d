"""Facts about ONNX's own operators: how their results depend on their operands.

Passes, reports, engines and `verify` look facts up here instead of keeping lists of names. Engines
are assumed to round the result of an operator without a fact in different ways.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

import numpy as np
from onnx.helper import np_dtype_to_tensor_dtype

from bnnkit.artifact.operators import OnnxNode
from bnnkit.artifact.operators.attribute_rule import (
    FLAG,
    GROUP,
    PADS,
    SIZES,
    AttributeRule,
    only,
    words,
)
from bnnkit.artifact.operators.macs import (
    Macs,
    einsum_macs,
    layer_macs,
    product_macs,
    recurrent_macs,
    transposed_macs,
)

Result = Literal[
    "same", "rearranged", "copied", "chosen", "exact", "counted", "approximate", "summed", "random"
]
"""How the elements of a result are computed:

same: those of the first operand, unchanged.
rearranged: those of the first operand, each once, in other places or another shape.
copied: those of the operands in other places, some left out, repeated, or joined by a constant.
chosen: the largest or the smallest of some.
exact: each is computed alone, with one correct rounding at most.
counted: sizes and places, as integers.
approximate: each is computed alone, but engines round it in their own ways.
summed: sums or products of several numbers, which engines compute in different orders.
random: drawn in each run.
"""
_WINDOW: Final = {
    "kernel_shape": SIZES,
    "strides": SIZES,
    "dilations": SIZES,
    "pads": PADS,
    "auto_pad": words("NOTSET", "VALID"),
}
_CONVOLUTION: Final = {**_WINDOW, "group": GROUP}
_POOL: Final = {**_WINDOW, "ceil_mode": FLAG, "count_include_pad": FLAG}
_RESIZE: Final = {
    "antialias": FLAG,
    "keep_aspect_ratio_policy": words("stretch"),
    "mode": words("nearest", "linear", "cubic"),
    "nearest_mode": words("round_prefer_floor", "round_prefer_ceil", "floor", "ceil"),
    "coordinate_transformation_mode": words(
        "half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "align_corners", "asymmetric"
    ),
}
CAST_TO: Final = frozenset(np_dtype_to_tensor_dtype(np.dtype(name)) for name in "?bBhHiIqQefd")
"""The types of NumPy itself; float8, bfloat16 and int4 are of another package."""
_REDUCTION: Final = words("none", "add", "mul", "max", "min")
_GRID_SAMPLE: Final = {
    "align_corners": FLAG,
    "mode": words("linear", "nearest", "cubic", "bilinear", "bicubic"),
    "padding_mode": words("zeros", "border", "reflection"),
}
_COLUMNS: Final = {"dilations": SIZES, "pads": PADS, "strides": SIZES}
_RECURRENT: Final = {
    "clip": only(0.0),
    "direction": words("forward", "reverse", "bidirectional"),
    "hidden_size": GROUP,
    "input_forget": FLAG,
    "layout": FLAG,
    "linear_before_reset": FLAG,
}
_PAD: Final = {"mode": words("constant", "reflect", "edge", "wrap")}
_SAME_BITS: Final = frozenset({"same", "rearranged", "copied", "chosen", "exact", "counted"})


@dataclass(frozen=True)
class Fact:
    """Properties of an operator.

    Attributes:
        result: How the elements of its result are computed.
        moves_signs: Whether its result is signs if its first operand is signs
            (docs/artifact.md, Values).
        curve: "affine" or "bent" if, with one operand computed and the others constant, each
            channel is a monotone function of that operand; None otherwise.
        broadcasts: Whether it is elementwise and broadcasts its operands to one shape.
        commutes: Whether its two operands can be exchanged.
        jumps: Whether it can jump as a function of a real operand: it compares, rounds or selects.
        pools: Whether it reduces the windows of `kernel_shape`, without weights.
        macs: Counts the multiply-accumulates of a layer; None if it is not a layer.
        attributes: What its attributes may be, by name, where ONNX's schema allows more than
            bnnkit takes; `artifact/checks/check_nodes.py` checks both.
    """

    result: Result
    moves_signs: bool = False
    curve: Literal["affine", "bent"] | None = None
    broadcasts: bool = False
    commutes: bool = False
    jumps: bool = False
    pools: bool = False
    macs: Macs | None = None
    attributes: Mapping[str, AttributeRule] = field(default_factory=dict)


FACTS: Final[dict[str, Fact]] = {
    "Abs": Fact("exact"),
    "Acos": Fact("approximate"),
    "Acosh": Fact("approximate"),
    "Add": Fact("exact", curve="affine", broadcasts=True, commutes=True),
    "And": Fact("exact", broadcasts=True, commutes=True),
    "ArgMax": Fact("counted"),
    "ArgMin": Fact("counted"),
    "Asin": Fact("approximate"),
    "Asinh": Fact("approximate"),
    "Atan": Fact("approximate"),
    "Atanh": Fact("approximate"),
    "AveragePool": Fact("summed", pools=True, attributes=_POOL),
    "BatchNormalization": Fact(
        "approximate", curve="affine", attributes={"training_mode": only(0)}
    ),
    "Bernoulli": Fact("random"),
    "BitShift": Fact("exact", broadcasts=True, attributes={"direction": words("LEFT", "RIGHT")}),
    "BitwiseAnd": Fact("exact", broadcasts=True, commutes=True),
    "BitwiseNot": Fact("exact"),
    "BitwiseOr": Fact("exact", broadcasts=True, commutes=True),
    "BitwiseXor": Fact("exact", broadcasts=True, commutes=True),
    "Cast": Fact("exact", curve="affine", jumps=True, attributes={"to": only(*sorted(CAST_TO))}),
    "Ceil": Fact("exact", curve="bent", jumps=True),
    "Celu": Fact("approximate"),
    "Clip": Fact("exact", curve="bent"),
    "Col2Im": Fact("summed", attributes=_COLUMNS),
    "Concat": Fact("copied", moves_signs=True),
    "ConstantOfShape": Fact("counted"),
    "Conv": Fact("summed", macs=layer_macs, attributes=_CONVOLUTION),
    "ConvTranspose": Fact(
        "summed",
        macs=transposed_macs,
        attributes={**_CONVOLUTION, "output_shape": only([])},
    ),
    "Cos": Fact("approximate"),
    "Cosh": Fact("approximate"),
    "CumSum": Fact("summed", attributes={"exclusive": FLAG, "reverse": FLAG}),
    "DepthToSpace": Fact("copied", moves_signs=True, attributes={"mode": words("DCR", "CRD")}),
    "DequantizeLinear": Fact("exact", attributes={"output_dtype": only(0)}),
    "Div": Fact("exact", curve="affine", broadcasts=True),
    "Dropout": Fact("same"),
    "Einsum": Fact("summed", macs=einsum_macs),
    "Elu": Fact("approximate"),
    "Equal": Fact("exact", broadcasts=True, commutes=True, jumps=True),
    "Erf": Fact("approximate"),
    "Exp": Fact("approximate"),
    "Expand": Fact("copied"),
    "EyeLike": Fact("counted"),
    "Flatten": Fact("rearranged", moves_signs=True),
    "Floor": Fact("exact", curve="bent", jumps=True),
    "GRU": Fact("summed", macs=recurrent_macs, attributes=_RECURRENT),
    "Gather": Fact("copied"),
    "GatherElements": Fact("copied"),
    "GatherND": Fact("copied"),
    "Gelu": Fact("approximate", attributes={"approximate": words("none", "tanh")}),
    "Gemm": Fact("summed", macs=product_macs),
    "GlobalAveragePool": Fact("summed"),
    "GlobalMaxPool": Fact("chosen"),
    "Greater": Fact("exact", broadcasts=True, jumps=True),
    "GreaterOrEqual": Fact("exact", broadcasts=True, jumps=True),
    "GridSample": Fact("summed", attributes=_GRID_SAMPLE),
    "GroupNormalization": Fact("summed", attributes={"stash_type": only(1)}),
    "HardSigmoid": Fact("approximate"),
    "HardSwish": Fact("approximate"),
    "Identity": Fact("same", moves_signs=True, curve="affine"),
    "InstanceNormalization": Fact("summed"),
    "IsInf": Fact(
        "exact", jumps=True, attributes={"detect_negative": FLAG, "detect_positive": FLAG}
    ),
    "IsNaN": Fact("exact", jumps=True),
    "LSTM": Fact("summed", macs=recurrent_macs, attributes=_RECURRENT),
    "LayerNormalization": Fact("summed", attributes={"stash_type": only(1)}),
    "LeakyRelu": Fact("exact"),
    "Less": Fact("exact", broadcasts=True, jumps=True),
    "LessOrEqual": Fact("exact", broadcasts=True, jumps=True),
    "Log": Fact("approximate"),
    "LogSoftmax": Fact("summed"),
    "LpNormalization": Fact("summed", attributes={"p": only(1, 2)}),
    "MatMul": Fact("summed", macs=product_macs),
    "Max": Fact("exact", broadcasts=True, commutes=True),
    "MaxPool": Fact("chosen", moves_signs=True, pools=True, attributes=_POOL),
    "Mean": Fact("summed", broadcasts=True, commutes=True),
    "Min": Fact("exact", broadcasts=True, commutes=True),
    "Mish": Fact("approximate"),
    "Mod": Fact("exact", broadcasts=True, jumps=True),
    "Mul": Fact("exact", curve="affine", broadcasts=True, commutes=True),
    "Multinomial": Fact("random"),
    "Neg": Fact("exact", curve="affine"),
    "Not": Fact("exact"),
    "OneHot": Fact("copied"),
    "Or": Fact("exact", broadcasts=True, commutes=True),
    "PRelu": Fact("exact", broadcasts=True),
    "Pad": Fact("copied", moves_signs=True, attributes=_PAD),
    "Pow": Fact("approximate", broadcasts=True),
    "RNN": Fact("summed", macs=recurrent_macs, attributes=_RECURRENT),
    "RandomNormal": Fact("random"),
    "RandomNormalLike": Fact("random"),
    "RandomUniform": Fact("random"),
    "RandomUniformLike": Fact("random"),
    "Range": Fact("counted"),
    "Reciprocal": Fact("exact"),
    "ReduceL1": Fact("summed"),
    "ReduceL2": Fact("summed"),
    "ReduceLogSum": Fact("summed"),
    "ReduceLogSumExp": Fact("summed"),
    "ReduceMax": Fact("chosen"),
    "ReduceMean": Fact("summed"),
    "ReduceMin": Fact("chosen"),
    "ReduceProd": Fact("summed"),
    "ReduceSum": Fact("summed"),
    "ReduceSumSquare": Fact("summed"),
    "Relu": Fact("exact", curve="bent"),
    "Reshape": Fact("rearranged", moves_signs=True),
    "Resize": Fact("summed", attributes=_RESIZE),
    "Round": Fact("exact", curve="bent", jumps=True),
    "ScatterElements": Fact("summed", attributes={"reduction": _REDUCTION}),
    "ScatterND": Fact("summed", attributes={"reduction": _REDUCTION}),
    "Selu": Fact("approximate"),
    "Shape": Fact("counted"),
    "Sigmoid": Fact("approximate"),
    "Sign": Fact("exact", jumps=True),
    "Sin": Fact("approximate"),
    "Sinh": Fact("approximate"),
    "Size": Fact("counted"),
    "Slice": Fact("copied", moves_signs=True),
    "Softmax": Fact("summed"),
    "Softplus": Fact("approximate"),
    "Softsign": Fact("approximate"),
    "SpaceToDepth": Fact("copied", attributes={"mode": words("DCR", "CRD")}),
    "Split": Fact("copied"),
    "Sqrt": Fact("exact"),
    "Squeeze": Fact("rearranged", moves_signs=True),
    "Sub": Fact("exact", curve="affine", broadcasts=True),
    "Sum": Fact("summed", broadcasts=True, commutes=True),
    "Tan": Fact("approximate"),
    "Tanh": Fact("approximate"),
    "ThresholdedRelu": Fact("exact", jumps=True),
    "Tile": Fact("copied"),
    "TopK": Fact("chosen", attributes={"largest": FLAG, "sorted": FLAG}),
    "Transpose": Fact("rearranged", moves_signs=True),
    "Trilu": Fact("copied", attributes={"upper": FLAG}),
    "Unsqueeze": Fact("rearranged", moves_signs=True),
    "Where": Fact("exact", broadcasts=True, jumps=True),
    "Xor": Fact("exact", broadcasts=True, commutes=True),
}
"""The facts by operator type."""


def fact_of(node: OnnxNode) -> Fact | None:
    """Return the fact about a node's operator; None if it has another domain or no fact."""
    return FACTS.get(node.op_type) if node.domain in ("", "ai.onnx") else None


def is_exact(node: OnnxNode) -> bool:
    """Return whether every engine computes the same bits from the same operands."""
    fact = fact_of(node)
    return fact is not None and fact.result in _SAME_BITS


def moves_signs(node: OnnxNode) -> bool:
    """Return whether the result is signs if the first operand is signs."""
    fact = fact_of(node)
    return fact is not None and fact.moves_signs


def with_result(*results: Result) -> frozenset[str]:
    """Return the operators whose elements are computed in one of these ways."""
    return frozenset(name for name, fact in FACTS.items() if fact.result in results)


RESHAPES: Final = with_result("rearranged")
"""Operators that only rearrange elements."""
KEEPS_ELEMENTS: Final = with_result("same", "rearranged")
"""Operators whose result holds each element of the first operand once."""
MOVES_SIGNS: Final = frozenset(name for name, fact in FACTS.items() if fact.moves_signs)
"""Operators whose result is signs if their first operand is signs."""
MOVES_SIGNS_IN_ANY_FORM: Final = MOVES_SIGNS & with_result("same", "rearranged", "chosen")
"""Those without another operand that holds signs: they work for any two numbers that encode -1
and +1, if the larger number encodes +1."""
BROADCASTS: Final = frozenset(name for name, fact in FACTS.items() if fact.broadcasts)
"""Elementwise operators whose operands are broadcast to one shape."""
COMMUTES: Final = frozenset(name for name, fact in FACTS.items() if fact.commutes)
"""Operators whose two operands can be exchanged."""
MONOTONE: Final = frozenset(name for name, fact in FACTS.items() if fact.curve)
"""Elementwise operators that are monotone on each channel of the only operand that varies."""
BENDS: Final = frozenset(name for name, fact in FACTS.items() if fact.curve == "bent")
"""Those that are not affine: a threshold can absorb them, a noisy threshold cannot."""
JUMPS: Final = frozenset(name for name, fact in FACTS.items() if fact.jumps)
"""Operators that can turn a real number into one of two."""
RECURRENT: Final = frozenset({"GRU", "LSTM", "RNN"})
"""Layers that compute step by step."""
POOLS: Final = frozenset(name for name, fact in FACTS.items() if fact.pools)
"""Operators that reduce windows, without weights."""
LAYERS: Final = frozenset(name for name, fact in FACTS.items() if fact.macs)
"""Operators that multiply by weights, or two activations with each other."""
