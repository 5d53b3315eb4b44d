"""Moving DequantizeLinear down: same values, on signs."""

from typing import Any

import numpy as np
import onnx_ir as ir
import onnxruntime as ort
import pytest
from numpy.typing import NDArray
from onnx_ir.passes import common

from bnnkit.export.assembly.assemble import with_functions
from bnnkit.export.passes.push_dequantize import push_dequantize

HEAD = '<ir_version: 10, opset_import: ["" : 21, "bnnkit" : 1]>'
CONSTANTS = """float one = {1}, uint8 z = {1}, float half = {0.5}, float minus = {-1},
    float zero = {0}, int64[8] pads = {0, 0, 1, 0, 0, 0, 0, 2}, int64[2] flat = {-1, 48},
    int64[1] axis = {1}"""


def model_of(body: str) -> ir.Model:
    model = ir.from_onnx_text(
        f"{HEAD} g (uint8[N, 3, 4, 4] x) => (float[] y) <{CONSTANTS}> "
        f"{{ s = DequantizeLinear (x, one, z) {body} }}"
    )
    model.graph.outputs[0].shape = None
    common.ShapeInferencePass()(model)
    return model


def run(model: ir.Model) -> NDArray[Any]:
    x = np.random.default_rng(0).choice(np.array([0, 2], np.uint8), (7, 3, 4, 4))
    content = with_functions(model).SerializeToString()
    session = ort.InferenceSession(content, providers=["CPUExecutionProvider"])
    result: NDArray[Any] = session.run(None, {"x": x})[0]
    return result


def live_operators(model: ir.Model) -> list[str]:
    common.RemoveUnusedNodesPass()(model)
    return [node.op_type for node in model.graph]


@pytest.mark.parametrize(
    ("body", "after"),
    [
        ("y = Flatten (s)", ["Flatten"]),
        ("y = Reshape (s, flat)", ["Reshape"]),
        ("t = Unsqueeze (s, axis) y = Squeeze (t, axis)", ["Unsqueeze", "Squeeze"]),
        ("y = Transpose <perm = [0, 2, 3, 1]> (s)", ["Transpose"]),
        (
            "y = MaxPool <kernel_shape = [3, 2], strides = [2, 1], pads = [1, 1, 1, 1]> (s)",
            ["MaxPool"],
        ),
        ("y = Pad (s, pads, one)", ["Pad"]),
        ("y = Pad (s, pads, minus)", ["Pad"]),
        ('y = Pad <mode = "edge"> (s, pads)', ["Pad"]),
        ("t = Flatten (s) y = Concat <axis = 1> (t, t)", ["Flatten", "Concat"]),
    ],
)
def test_it_moves_down(body: str, after: list[str]) -> None:
    want = run(model_of(body))
    model = model_of(body)
    push_dequantize(model.graph)
    assert live_operators(model) == [*after, "DequantizeLinear"]
    np.testing.assert_array_equal(run(model), want)


@pytest.mark.parametrize(
    "body",
    [
        "y = Pad (s, pads)",
        "y = Pad (s, pads, zero)",
        "y = Pad (s, pads, half)",
        "y = Relu (s)",
        "t = Relu (s) y = Concat <axis = 1> (s, t)",
        "y = AveragePool <kernel_shape = [2, 2]> (s)",
    ],
)
def test_it_stays_where_the_meaning_would_change(body: str) -> None:
    model = model_of(body)
    before = [node.op_type for node in model.graph]
    push_dequantize(model.graph)
    assert [node.op_type for node in model.graph] == before


def test_other_uses_keep_their_real_values() -> None:
    body = "t = Flatten (s) u = Relu (s) v = Flatten (u) y = Add (t, v)"
    want = run(model_of(body))
    model = model_of(body)
    push_dequantize(model.graph)
    assert live_operators(model).count("DequantizeLinear") == 2
    np.testing.assert_array_equal(run(model), want)


def test_the_sign_of_signs_goes() -> None:
    pool = "t = MaxPool <kernel_shape = [2, 2]> (s)"
    body = f"{pool} v = bnnkit.Sign (t) y = DequantizeLinear (v, one, z)"
    want = run(model_of(body))
    model = model_of(body)
    push_dequantize(model.graph)
    assert live_operators(model) == ["MaxPool", "DequantizeLinear"]
    np.testing.assert_array_equal(run(model), want)
