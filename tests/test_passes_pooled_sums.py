"""A pool that stays before a sign compares integers: the same signs, and nothing is rounded."""

from typing import Any

import numpy as np
import onnx_ir as ir
import onnxruntime as ort
import pytest
from numpy.typing import NDArray
from onnx_ir.passes import common

from bnnkit.artifact.format.bits import pack_weight
from bnnkit.export.assembly.assemble import with_functions
from bnnkit.export.ir.graph import constant, set_module_path
from bnnkit.export.passes.clean_up import remove_dead
from bnnkit.export.passes.compare_pooled_sums import compare_pooled_sums

HEAD = '<ir_version: 10, opset_import: ["" : 21, "bnnkit" : 1]>'
POOL = "MaxPool <kernel_shape = [3, 2], strides = [2, 1], pads = [1, 0, 0, 1]>"
CONSTANTS = """float[3, 1, 1] step = {0.5, 2, 0}, float[3, 1, 1] mixed = {0.5, -2, 0},
    float[3, 1, 1] shift = {-1.5, 4, 0}, float half = {0.5}"""
COMPARED = ["BinaryConv2d", "Cast", "MaxPool", "Mul", "Add", "Sign"]


def model_of(chain: str, outputs: str = "uint8[] y") -> ir.Model:
    """A convolution of 3 channels, then `chain` from `a` to `r`, then the sign."""
    packed = pack_weight(np.random.default_rng(0).choice([-1, 1], (3, 3, 3, 2)))
    weight = ", ".join(map(str, packed.tolist()))
    model = ir.from_onnx_text(
        f"{HEAD} g (uint8[N, 2, 7, 7] x) => ({outputs}) <{CONSTANTS}, uint8[7] w = {{{weight}}}>"
        "{ s = bnnkit.BinaryConv2d <strides = [1, 1], pads = [1, 1, 1, 1], dilations = [1, 1],"
        f" group = 1, weight_shape = [3, 3, 3, 2]> (x, w) a = Cast <to = 1> (s)"
        f" {chain} y = bnnkit.Sign (r) }}"
    )
    for output in model.graph.outputs:
        output.shape = None
    model.graph[0].outputs[0].shape = ir.Shape(["N", 3, 7, 7])
    model.graph[0].outputs[0].type = ir.TensorType(ir.DataType.INT32)
    common.ShapeInferencePass()(model)
    for node in model.graph:
        set_module_path(node, "act" if node.op_type == "Sign" else "conv")
    return model


def run(model: ir.Model) -> list[NDArray[Any]]:
    x = np.random.default_rng(1).choice(np.array([0, 2], np.uint8), (7, 2, 7, 7))
    content = with_functions(model).SerializeToString()
    session = ort.InferenceSession(content, providers=["CPUExecutionProvider"])
    found: list[NDArray[Any]] = session.run(None, {"x": x})
    return found


def operators(model: ir.Model) -> list[str]:
    remove_dead(model.graph)
    return [node.op_type for node in model.graph]


@pytest.mark.parametrize(
    ("chain", "after"),
    [
        (f"p = {POOL} (a) q = Mul (p, mixed) r = Add (q, shift)", COMPARED),
        (f"b = Mul (a, step) p = {POOL} (b) q = Neg (p) r = Sub (q, half)", COMPARED),
        (
            f"b = Relu (a) p = {POOL} (b) c = Add (p, half) q = {POOL} (c) r = Sub (half, q)",
            ["BinaryConv2d", "Cast", "MaxPool", "MaxPool", "Mul", "Add", "Sign"],
        ),
    ],
)
def test_signs_of_pooled_sums(chain: str, after: list[str]) -> None:
    want = run(model_of(chain))
    model = model_of(chain)
    compare_pooled_sums(model.graph)
    assert operators(model) == after
    side, shift = (constant(node, 1) for node in model.graph if node.op_type in ("Mul", "Add"))
    assert side.shape == shift.shape == (3, 1, 1)
    assert set(side.ravel()) <= {-1.0, 1.0}
    np.testing.assert_array_equal(shift, shift.round())
    np.testing.assert_array_equal(run(model)[0], want[0])


@pytest.mark.parametrize(
    ("chain", "outputs"),
    [
        ("r = Mul (a, mixed)", "uint8[] y"),  # no pool
        (f"b = Mul (a, mixed) p = {POOL} (b) r = Neg (p)", "uint8[] y"),  # falls before the pool
        (f"p = {POOL} (a) q = Exp (p) r = Neg (q)", "uint8[] y"),
        (f"p = {POOL} (a) r = Neg (p)", "uint8[] y, float[] p"),
        (f"p = {POOL} (a) r = Neg (p)", "uint8[] y, float[] r"),
    ],
)
def test_other_chains_stay(chain: str, outputs: str) -> None:
    model = model_of(chain, outputs)
    before = operators(model)
    compare_pooled_sums(model.graph)
    assert operators(model) == before
