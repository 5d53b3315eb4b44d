"""Plain ONNX graphs, written as text, for the tests of conversions."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import numpy_helper

from bnnkit.export.from_onnx.convert import from_onnx
from bnnkit.runtime import Model

Array = NDArray[Any]
NUMBER = {
    name: np.float32(number)
    for name, number in (
        *(("zero", 0), ("one", 1), ("minus", -1), ("two", 2), ("half", 0.5)),
        *(("minus_half", -0.5), ("tenth", 0.1), ("t", 0.3)),
    )
}


LEAST = np.nextafter(np.float32(0), np.float32(1))
NUMBERS = np.array(
    [0, -0.0, LEAST, -LEAST, 0.3, np.nextafter(np.float32(0.3), np.float32(0)), -0.3, 1, -1, 7e9],
    np.float32,
)
"""Inputs at which wrong signs are likely."""


def network(
    body: str, x: str, y: str, constants: Mapping[str, Any] | None = None, *, opset: int = 17
) -> onnx.ModelProto:
    """A model out of its nodes in ONNX's text form, its constants, and those of `NUMBER`."""
    heads = f'<ir_version: 8, opset_import: ["" : {opset}, "qonnx.custom_op.general" : 2]>'
    model = onnx.parser.parse_model(f"{heads} g ({x}) => ({y}) {{ {body} }}")
    for name, content in ({**NUMBER, **(constants or {})}).items():
        model.graph.initializer.append(numpy_helper.from_array(np.asarray(content), name))
    return model


def run(model: onnx.ModelProto, x: Array) -> Array:
    """What ONNX Runtime computes for the graph as it is written."""
    ort = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    result: Array = session.run(None, {session.get_inputs()[0].name: x})[0]
    return result


def operators(model: onnx.ModelProto) -> list[str]:
    return [node.op_type for node in model.graph.node]


def assert_same(source: onnx.ModelProto, x: Array) -> onnx.ModelProto:
    """Convert, and compare bits; the artifact."""
    artifact, differences = from_onnx(source)
    assert differences.remapped == ()
    want = run(source, x)
    np.testing.assert_array_equal(run(artifact.model, x), want)
    np.testing.assert_array_equal(Model(artifact).run(x), want)
    return artifact.model


def dense_with_sign(fan_in: int, shift: float) -> onnx.ModelProto:
    weight = np.random.default_rng(0).choice([-1.0, 1.0], (fan_in, 4)).astype(np.float32)
    body = (
        "p = GreaterOrEqual(x, zero) s = Where(p, one, minus) c = MatMul(s, w) "
        "d = Add(c, shift) y = Sign(d)"
    )
    types = (f"float[N, {fan_in}] x", "float[N, 4] y")
    return network(body, *types, {"w": weight, "shift": np.float32(shift)})
