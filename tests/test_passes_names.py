import numpy as np
import onnx_ir as ir

from bnnkit.export.ir.graph import add_constant, set_module_path
from bnnkit.export.passes.lower_signs import SignRecord, set_sign_record, sign_record
from bnnkit.export.passes.name_values import name_values

HEAD = '<ir_version: 10, opset_import: ["" : 21, "bnnkit" : 1]>'


def test_names_say_where_things_come_from() -> None:
    graph = ir.from_onnx_text(
        HEAD
        + """g (uint8[N, 3] x) => (float[N, 3] y) <float[3] t = {1, 2, 3}> {
          a = bnnkit.IntegerLinear (x, t, t)
          b = Cast <to = 1> (a)
          c = Mul (b, t)
          d = Mul (c, t)
          e = bnnkit.Sign (d)
          y = Cast <to = 1> (e)
        }"""
    ).graph
    for node, path in zip(graph, ["fc", "fc", "norm", "norm", "act", ""], strict=True):
        set_module_path(node, path)
    set_sign_record(graph[4].outputs[0], SignRecord("act", "none"))
    name_values(graph)
    assert [node.name for node in graph] == [
        "fc",
        "fc/Cast",
        "norm/Mul",
        "norm/Mul#2",
        "act",
        "Cast",
    ]
    assert [node.outputs[0].name for node in graph] == [
        "fc/output",
        "fc/Cast/output",
        "norm/Mul/output",
        "norm/Mul#2/output",
        "act",
        "scores",
    ]
    assert graph.inputs[0].name == "image"


def test_a_taken_name_is_numbered_and_a_freed_one_is_not() -> None:
    graph = ir.from_onnx_text(
        HEAD
        + """g (float[N, 3] x) => (float[N, 3] y, float[N, 3] z) <float a = {1}> {
          y = Mul (x, a)
          z = Neg (y)
        }"""
    ).graph
    set_sign_record(graph[1].outputs[0], SignRecord("other", "none"))
    add_constant(graph, "w", np.zeros(1))
    second = add_constant(graph, "w", np.ones(1))
    third = add_constant(graph, "w", np.ones(1))
    assert (second.name, third.name) == ("w#2", "w#3")
    del graph.initializers["w"]
    name_values(graph)
    assert (second.name, third.name) == ("w", "w#2")
    assert [value.name for value in graph.outputs] == ["output_0", "other"]
    assert graph.inputs[0].name == "input"


def test_signs_keep_the_name_of_their_module() -> None:
    """Torch knows them by that name, so the ends of the graph give way."""
    graph = ir.from_onnx_text(
        HEAD
        + """g (float[N, 3] x) => (float[N, 3] y) { s = bnnkit.Sign (x) y = Cast <to = 1> (s) }"""
    ).graph
    set_sign_record(graph[0].outputs[0], SignRecord("scores", "none"))
    name_values(graph)
    assert sign_record(graph[0].outputs[0]) == SignRecord("scores", "none")
    assert graph[0].outputs[0].name == "scores"
    assert graph.outputs[0].name == "scores#2"


def test_a_layer_is_called_after_the_owner_of_its_weight() -> None:
    graph = ir.from_onnx_text(
        HEAD
        + """g (float[N, 3] x) => (float[N, 1] y) <float[3, 1] w = {1, 1, 1}> {
          y = MatMul (x, w)
        }"""
    ).graph
    set_module_path(graph[0], "norm")
    graph.initializers["w"].name = "conv.weight"
    name_values(graph)
    assert graph[0].name == "conv"
