"""Moving pools and reshapes behind signs: same values, other order."""

from typing import Any

import numpy as np
import onnx_ir as ir
import onnxruntime as ort
import pytest
from numpy.typing import NDArray
from onnx_ir.passes import common

from bnnkit.export.assembly.assemble import with_functions
from bnnkit.export.passes.commute_sign import commute_sign
from bnnkit.export.passes.lower_signs import SignRecord, set_sign_record, sign_record

HEAD = '<ir_version: 10, opset_import: ["" : 21, "bnnkit" : 1]>'
POOL = "MaxPool <kernel_shape = [2, 2], strides = [2, 2], pads = [1, 0, 0, 1]>"


CONSTANTS = """float[3, 1, 1] up = {0.5, 2, 0}, float[3, 1, 1] down = {0.5, -2, 0},
    float[3] weight = {1, 2, 0}, float[3] falling = {1, -2, 0}, float[3] one = {1, 1, 1},
    float c = {-0.25}, float zero = {0}, int64[2] flat = {-1, 27}"""


def model_of(body: str, outputs: str = "uint8[] y") -> ir.Model:
    model = ir.from_onnx_text(
        f"{HEAD} g (float[N, 3, 6, 6] x) => ({outputs}) <{CONSTANTS}>"
        f"{{ {body} y = bnnkit.Sign (r) }}"
    )
    sign = model.graph[-1]
    model.graph.outputs[0].shape = None
    common.ShapeInferencePass()(model)
    assert sign.inputs[0] is not None
    sign.outputs[0].shape = sign.inputs[0].shape
    set_sign_record(sign.outputs[0], SignRecord("act", "none"))
    return model


def run(model: ir.Model, x: NDArray[Any]) -> NDArray[Any]:
    for output in model.graph.outputs:
        output.shape = None
    session = ort.InferenceSession(
        with_functions(model).SerializeToString(), providers=["CPUExecutionProvider"]
    )
    result: NDArray[Any] = session.run(None, {"x": x})[0]
    return result


def operators(model: ir.Model) -> list[str]:
    return [node.op_type for node in model.graph]


def images() -> NDArray[np.float32]:
    x = np.random.default_rng(0).integers(-4, 5, (7, 3, 6, 6)).astype(np.float32) / 4
    x[0] = -0.0
    return x


@pytest.mark.parametrize(
    ("body", "after"),
    [
        (f"r = {POOL} (x)", ["Sign", "MaxPool"]),
        (f"p = {POOL} (x) q = Mul (p, up) r = Add (c, q)", ["Mul", "Add", "Sign", "MaxPool"]),
        (f"p = {POOL} (x) q = Sub (p, c) r = Relu (q)", ["Sub", "Relu", "Sign", "MaxPool"]),
        (f"p = {POOL} (x) r = Clip (p, c, zero)", ["Clip", "Sign", "MaxPool"]),
        (
            f"p = {POOL} (x) r = BatchNormalization (p, weight, one, one, one)",
            ["BatchNormalization", "Sign", "MaxPool"],
        ),
        (f"f = Neg (x) p = {POOL} (f) q = {POOL} (p) r = Identity (q)", None),
    ],
)
def test_pools_move(body: str, after: list[str] | None) -> None:
    want = run(model_of(body), images())
    model = model_of(body)
    commute_sign(model.graph)
    assert operators(model) == (after or ["Neg", "Identity", "Sign", "MaxPool", "MaxPool"])
    assert [n.outputs[0].dtype for n in model.graph][-2:] == [ir.DataType.UINT8] * 2
    np.testing.assert_array_equal(run(model, images()), want)


@pytest.mark.parametrize(
    "body",
    [
        f"p = {POOL} (x) r = Mul (p, down)",
        f"p = {POOL} (x) r = Neg (p)",
        f"p = {POOL} (x) r = Sub (c, p)",
        f"p = {POOL} (x) r = BatchNormalization (p, falling, one, one, one)",
        f"p = {POOL} (x) q = Add (p, p) r = Exp (q)",
        f"p, indices = {POOL} (x) r = Identity (p)",
    ],
)
def test_pools_before_a_decreasing_function_stay(body: str) -> None:
    model = model_of(body)
    before = operators(model)
    want = run(model, images())
    commute_sign(model.graph)
    assert operators(model) == before
    np.testing.assert_array_equal(run(model, images()), want)


def test_a_pool_that_is_used_elsewhere_stays() -> None:
    model = model_of(f"r = {POOL} (x)", "uint8[] y, float[N, 3, 3, 3] r")
    commute_sign(model.graph)
    assert operators(model) == ["MaxPool", "Sign"]


def test_shapes_move_only_where_channels_do_not_matter() -> None:
    body = f"p = {POOL} (x) f = Reshape (p, flat) r = Clip (f, c)"
    want = run(model_of(body), images())
    model = model_of(body)
    commute_sign(model.graph)
    assert operators(model) == ["Clip", "Sign", "MaxPool", "Reshape"]
    np.testing.assert_array_equal(run(model, images()), want)

    model = model_of("f = Transpose <perm = [0, 2, 1, 3]> (x) r = Mul (f, up)")
    commute_sign(model.graph)
    assert operators(model) == ["Transpose", "Mul", "Sign"]


def test_the_last_signs_keep_the_name() -> None:
    model = model_of(f"p = {POOL} (x) r = Reshape (p, flat)")
    commute_sign(model.graph)
    records = [sign_record(node.outputs[0]) for node in model.graph]
    assert [r.name for r in records if r is not None] == [
        "act/unshaped/unpooled",
        "act/unshaped",
        "act",
    ]
    assert [r.is_output for r in records if r is not None] == [False, False, True]
    assert [str(node.outputs[0].shape) for node in model.graph][:2] == ["[N,3,6,6]", "[N,3,3,3]"]
