"""Sources that ask for much memory, or are damaged, are refused before a pass reads them."""

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from bnnkit.errors import FileError, UnsupportedError
from bnnkit.export.from_onnx.convert import from_onnx

Nodes = list[onnx.NodeProto]
Constants = dict[str, Any]
LARGE = 1 << 33


def source(total: Nodes, constants: Constants, *, doubled: str = "x") -> onnx.ModelProto:
    """A binary convolution of the sign of an image plus `t`, a number that some nodes compute."""
    weight = np.random.default_rng(0).choice([-1, 1], (8, 4, 3, 3)).astype(np.float32)
    nodes = [
        *total,
        helper.make_node("Add", [doubled, "t"], ["z"]),
        helper.make_node("Sign", ["z"], ["s"]),
        helper.make_node("Conv", ["s", "w"], ["c"]),
        helper.make_node("Mul", ["c", "half"], ["m"]),
        helper.make_node("Sign", ["m"], ["y"]),
    ]
    known = {"w": weight, "half": np.float32(0.5), "t": np.float32(0.25), **constants}
    made = {name for node in total for name in node.output}
    graph = helper.make_graph(
        nodes,
        "source",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 4, 6, 6])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 8, None, None])],
        [numpy_helper.from_array(np.asarray(x), k) for k, x in known.items() if k not in made],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


def doubled_constants() -> onnx.ModelProto:
    doublings = [
        helper.make_node("Concat", [f"c{i}", f"c{i}"], [f"c{i + 1}"], axis=0) for i in range(30)
    ]
    total = helper.make_node("ReduceSum", ["c30"], ["t"], keepdims=0)
    return source([*doublings, total], {"c0": np.ones(4, np.float32)})


def expanded_constant() -> onnx.ModelProto:
    nodes = [
        helper.make_node("Expand", ["half", "shape"], ["large"]),
        helper.make_node("ReduceSum", ["large"], ["t"], keepdims=0),
    ]
    return source(nodes, {"shape": np.array([LARGE])})


def range_of_numbers() -> onnx.ModelProto:
    nodes = [
        helper.make_node("Range", ["zero", "end", "one"], ["large"]),
        helper.make_node("ReduceSum", ["large"], ["t"], keepdims=0),
    ]
    return source(nodes, {"zero": np.array(0), "end": np.array(LARGE), "one": np.array(1)})


def padded_image() -> onnx.ModelProto:
    pads = np.array([0, 0, 0, 0, 0, 0, 40000, 40000])
    return source([helper.make_node("Pad", ["x", "pads"], ["q"])], {"pads": pads}, doubled="q")


def test_a_source_of_ordinary_size() -> None:
    artifact, _ = from_onnx(source([], {}))
    assert "BinaryConv2dThreshold" in {node.op_type for node in artifact.model.graph.node}


@pytest.mark.parametrize(
    "build", [doubled_constants, expanded_constant, range_of_numbers, padded_image]
)
def test_small_sources_that_ask_for_much(build: Callable[[], onnx.ModelProto]) -> None:
    with pytest.raises(UnsupportedError, match=r"a file of (this|its) size"):
        from_onnx(build())


def test_a_constant_of_two_values() -> None:
    constant = helper.make_node("Constant", [], ["t"], value_float=0.5, value_int=1)
    with pytest.raises(FileError, match="the constant 't' has 2 values"):
        from_onnx(source([constant], {}))
