"""The body of every operator in stock ONNX Runtime, against its reference in NumPy."""

from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from numpy.typing import NDArray
from onnx import helper

from bnnkit.artifact.format.bits import pack_weight
from bnnkit.artifact.format.constants import DOMAIN, OPSET, VERSION
from bnnkit.artifact.operators import OPERATORS, functions
from bnnkit.nn.base.noise import Logistic
from bnnkit.nn.quantile_table import quantile_table

Array = NDArray[Any]
RNG = np.random.default_rng(0)
WINDOW = {"strides": [1, 1], "pads": [1, 1, 1, 1], "dilations": [1, 1], "group": 1}


def signs(*shape: int) -> Array:
    return RNG.choice(np.array([0, 2], np.uint8), shape)


def packed(*shape: int) -> Array:
    return pack_weight(RNG.choice(np.array([-1, 1], np.int8), shape))


def words(*shape: int) -> Array:
    return RNG.integers(0, 2**32, shape, np.uint64).astype(np.uint32)


def numbers(*shape: int) -> Array:
    return RNG.integers(0, 256, shape).astype(np.uint8)


def integer_weights(*shape: int) -> Array:
    return RNG.integers(-2047, 2048, shape).astype(np.int16)


CONVOLUTION = {"weight_shape": [3, 3, 3, 5], **WINDOW}
EXAMPLES: dict[str, tuple[list[Array], dict[str, Any]]] = {
    "Sign": ([np.array([[-1.5, -0.0, 0.0, 2.0]], np.float32)], {}),
    "Threshold": ([np.array([[-3, 0, 2]], np.int32), np.array([-3, 1, 2], np.int32)], {}),
    "BinaryConv2d": ([signs(2, 5, 4, 4), packed(3, 3, 3, 5)], CONVOLUTION),
    "BinaryConv2dThreshold": (
        [signs(2, 5, 4, 4), packed(3, 3, 3, 5), np.array([-1, 0, 3], np.int32)],
        CONVOLUTION,
    ),
    "BinaryLinear": ([signs(2, 37), packed(4, 37)], {"weight_shape": [4, 37]}),
    "BinaryMatMul": ([signs(2, 3, 4, 37), signs(2, 3, 37, 5)], {}),
    "IntegerConv2d": (
        [numbers(2, 2, 5, 5), integer_weights(3, 2, 3, 3), np.full((2, 1, 1), 128, np.uint8)],
        WINDOW,
    ),
    "IntegerLinear": ([numbers(2, 9), integer_weights(4, 9), np.full(9, 128, np.uint8)], {}),
    "BinaryWeight": ([packed(4, 37)], {"weight_shape": [4, 37]}),
    "StochasticSign": (
        [
            RNG.normal(size=(2, 70)).astype(np.float32),
            np.zeros(70, np.float32),
            np.ones(70, np.float32),
            quantile_table(Logistic()).numpy(),
            np.array(5, np.uint64),
            np.array(2, np.int64),
            np.array(3, np.int64),
            np.array(True),
        ],
        {"layer": 1},
    ),
    "WeightDraw": ([np.stack([packed(4, 37) for _ in range(3)]), np.array(4, np.int64)], {}),
    "Philox": ([*(words(7) for _ in range(4)), *(words() for _ in range(2))], {}),
}
"""Inputs and attributes of each operator."""


def test_every_operator_has_an_example() -> None:
    assert EXAMPLES.keys() == OPERATORS.keys()


@pytest.mark.parametrize("name", OPERATORS)
def test_the_body_is_the_reference(name: str) -> None:
    operator, (inputs, attributes) = OPERATORS[name], EXAMPLES[name]
    expected = operator.reference(*inputs, **attributes)
    found = run_body(name, inputs, attributes, expected)
    for body, reference in zip(found, expected, strict=True):
        assert body.dtype == reference.dtype
        np.testing.assert_array_equal(body, reference)


def run_body(
    name: str, inputs: list[Array], attributes: dict[str, Any], like: tuple[Array, ...]
) -> list[Array]:
    """The outputs of a model of one node; `like` has their types and ranks."""
    operator = OPERATORS[name]
    node = helper.make_node(
        name, list(operator.inputs), list(operator.outputs), domain=DOMAIN, **attributes
    )
    graph = helper.make_graph(
        [node],
        "one",
        [value_info(n, a, a.shape) for n, a in zip(operator.inputs, inputs, strict=True)],
        [value_info(n, a, [None] * a.ndim) for n, a in zip(operator.outputs, like, strict=True)],
    )
    model = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", OPSET), helper.make_opsetid(DOMAIN, VERSION)],
        functions=[functions.function(used) for used in (name, *operator.needs)],
        ir_version=10,
    )
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    outputs: list[Array] = session.run(None, dict(zip(operator.inputs, inputs, strict=True)))
    return outputs


def value_info(name: str, array: Array, shape: Any) -> Any:
    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), shape)
