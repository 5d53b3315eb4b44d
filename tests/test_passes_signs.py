import onnx_ir as ir
import pytest

from bnnkit.errors import UnsupportedError
from bnnkit.export.ir.graph import set_module_path
from bnnkit.export.passes.lower_signs import SignRecord, dequantized, lower_signs, sign_record

HEAD = '<ir_version: 10, opset_import: ["" : 21, "bnnkit" : 1]>'


def test_a_mark_becomes_signs_and_a_dequantization() -> None:
    graph = ir.from_onnx_text(
        HEAD
        + """g (float[N, 3] x) => (float[N, 3] y) <float[N, 3] a, float[N, 3] b> {
          a = bnnkit.Sign <noise = "uniform"> (x)
          b = Neg (a)
          y = bnnkit.Sign <noise = "logistic"> (b)
        }"""
    ).graph
    for node in graph:
        set_module_path(node, "block.act")
    lower_signs(graph)
    assert [n.op_type for n in graph] == [
        "Sign",
        "DequantizeLinear",
        "Neg",
        "Sign",
        "DequantizeLinear",
    ]
    first, second = (node.outputs[0] for node in graph if node.op_type == "Sign")
    assert first.dtype == second.dtype == ir.DataType.UINT8
    assert sign_record(first) == SignRecord("block.act", "uniform")
    assert sign_record(second) == SignRecord("block.act#2", "logistic")
    assert dequantized(graph[2].inputs[0]) is first
    assert dequantized(graph.outputs[0]) is second
    assert dequantized(graph.inputs[0]) is None
    assert sign_record(graph.inputs[0]) is None


def test_another_scale_is_no_dequantization_of_signs() -> None:
    graph = ir.from_onnx_text(
        HEAD
        + """g (uint8[N, 3] x) => (float[N, 3] y) <float s = {0.5}, uint8 z = {1}> {
          y = DequantizeLinear (x, s, z)
        }"""
    ).graph
    assert dequantized(graph.outputs[0]) is None


def test_signs_of_another_type_are_refused() -> None:
    graph = ir.from_onnx_text(
        HEAD
        + """g (float16[N, 3] x) => (float16[N, 3] y) { y = bnnkit.Sign <noise = "none"> (x) }"""
    ).graph
    set_module_path(graph[0], "act")
    with pytest.raises(UnsupportedError, match=r"float32 input of act \(Sign\), got FLOAT16"):
        lower_signs(graph)
