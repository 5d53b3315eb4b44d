import onnx_ir as ir
import pytest

from bnnkit.export.passes.clean_up import clean_up

HEAD = '<ir_version: 10, opset_import: ["" : 21]>'


def test_dead_nodes_and_constants_go() -> None:
    graph = ir.from_onnx_text(
        HEAD
        + """g (float[N, 3] x) => (float[N, 3] y) <float a = {1}, float b = {2}, float c = {3}> {
          d = Mul (x, a)
          e = Add (d, b)
          y = Sub (x, c)
        }"""
    ).graph
    clean_up(graph)
    assert [node.op_type for node in graph] == ["Sub"]
    assert list(graph.initializers) == ["c"]


@pytest.mark.parametrize(
    ("x", "shape", "after"),
    [
        ("float[N, 2, 3, 4]", "{-1, 24}", "Flatten"),
        ("uint8[N, 2, 12]", "{-1, 24}", "Flatten"),
        ("float[N, 2, 3, 4]", "{2, -1}", "Reshape"),
        ("float[N, 4, 3, 4]", "{-1, 24}", "Reshape"),
        ("float[N, 2, H, 4]", "{-1, 24}", "Reshape"),
    ],
)
def test_flatten(x: str, shape: str, after: str) -> None:
    graph = ir.from_onnx_text(
        f"{HEAD} g ({x} x) => ({x[: x.index('[')]}[] y) <int64[2] shape = {shape}>"
        "{ y = Reshape (x, shape) }"
    ).graph
    clean_up(graph)
    assert [node.op_type for node in graph] == [after]
    assert graph[0].outputs[0].dtype == graph.inputs[0].dtype
    assert ("shape" in graph.initializers) == (after == "Reshape")
