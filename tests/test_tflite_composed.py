"""Operators that TFLite lacks, as several that it has, and those that move elements."""

from typing import Any

import numpy as np
import onnx
import pytest
from artifacts import ArtifactBuilder
from onnx import helper
from tflite_runs import assert_equal_in_tflite, needs_lce, normal

from bnnkit.artifact.artifact import Artifact
from bnnkit.errors import UnsupportedError
from bnnkit.export.tflite import to_tflite

MAP, LINE, VECTOR = (8, 4, 6), (8, 12), (12,)
EIGHT = np.linspace(0.5, 2, 8, dtype=np.float32)
CASES: list[tuple[str, tuple[int, ...], dict[str, Any], list[Any]]] = [
    *((kind, MAP, {}, []) for kind in (
        "Selu", "Mish", "Softsign", "Sign", "Floor", "Ceil", "Round", "Sin", "Cos")),
    ("Celu", MAP, {"alpha": 0.7}, []),
    ("GroupNormalization", MAP, {"num_groups": 2}, [EIGHT, EIGHT]),
    ("GroupNormalization", LINE, {"num_groups": 4, "epsilon": 0.1}, [EIGHT, -EIGHT]),
    ("InstanceNormalization", MAP, {}, [EIGHT, EIGHT]),
    ("LayerNormalization", MAP, {}, [np.arange(6, dtype=np.float32), np.ones(6, np.float32)]),
    ("LayerNormalization", LINE, {"axis": 1}, [np.linspace(0, 1, 96, dtype="f").reshape(8, 12)]),
    ("LayerNormalization", VECTOR, {}, [np.arange(12, dtype=np.float32)]),
    *((kind, MAP, {"keepdims": keeps}, [np.array([1])])
      for kind in ("ReduceL1", "ReduceL2", "ReduceSumSquare", "ReduceLogSumExp", "ReduceMin",
                   "ReduceProd") for keeps in (0, 1)),
    ("CumSum", MAP, {}, [np.array(2)]),
    ("CumSum", LINE, {"reverse": 1, "exclusive": 1}, [np.array(-1)]),
    ("Trilu", MAP, {}, []),
    ("Trilu", MAP, {"upper": 0}, [np.array(-1)]),
    ("Softmax", MAP, {"axis": 2}, []),
    ("LogSoftmax", MAP, {"axis": 3}, []),
    ("Softmax", LINE, {"axis": 1}, []),
    ("Gather", MAP, {"axis": 1}, [np.array([7, -1, 0])]),
    ("Gather", MAP, {"axis": 2}, [np.array(1)]),
    ("Gather", LINE, {"axis": 2}, [np.array([[0, 1], [2, 3]])]),
    ("Tile", MAP, {}, [np.array([1, 2, 1, 3])]),
    ("Slice", MAP, {}, [np.array([-1, 3]), np.array([-(2**40), 0]), np.array([1, 3]),
                        np.array([-1, -2])]),
    ("DepthToSpace", MAP, {"blocksize": 2}, []),
    ("DepthToSpace", MAP, {"blocksize": 2, "mode": "CRD"}, []),
    ("SpaceToDepth", MAP, {"blocksize": 2}, []),
    ("ArgMax", MAP, {"axis": 1}, []),
    ("ArgMin", MAP, {"axis": 2, "keepdims": 0}, []),
    ("MatMul", MAP, {}, [np.linspace(-1, 1, 30, dtype=np.float32).reshape(6, 5)]),
    *(("Einsum", form, {"equation": equation}, constants) for form, equation, constants in (
        (MAP, "nchw,oc->nohw", [np.linspace(-1, 1, 24, dtype=np.float32).reshape(3, 8)]),
        (MAP, "nchw->nwc", []),
        (VECTOR, "nc,oc->no", [np.linspace(-1, 1, 36, dtype=np.float32).reshape(3, 12)]))),
    ("AveragePool", LINE, {"kernel_shape": [3], "strides": [2], "pads": [1, 0]}, []),
    ("MaxPool", LINE, {"kernel_shape": [2], "strides": [2]}, []),
    ("Conv", LINE, {"group": 2, "dilations": [2], "strides": [2], "pads": [1, 0]},
     [np.linspace(-1, 1, 72, dtype="f").reshape(6, 4, 3), np.ones(6, "f")]),
    ("ConvTranspose", LINE, {"strides": [2]}, [np.ones((8, 2, 3), "f")]),
    ("Pad", LINE, {}, [np.array([0, 0, 1, 0, 0, 2]), np.float32(0.5)]),
    ("Resize", LINE, {}, [np.zeros(0, "f"), np.array([1, 1, 2], "f")]),
]  # fmt: skip


@needs_lce
@pytest.mark.parametrize(("kind", "shape", "attributes", "constants"), CASES)
def test_one_operator(
    kind: str, shape: tuple[int, ...], attributes: dict[str, Any], constants: list[Any]
) -> None:
    a = ArtifactBuilder()
    out = a.add(kind, "x", *map(a.constant, constants), **attributes)
    assert_equal_in_tflite(a.artifact(shape, out), normal((2, *shape)))


@needs_lce
@pytest.mark.parametrize("equation", ["nchw,nchv->nwv", "nchw,nkhw->nck", "nchw,nchw->nhw"])
def test_products_of_two_values(equation: str) -> None:
    a = ArtifactBuilder()
    other = a.add("Neg", a.add("Relu", "x"))
    outs = [a.add("Einsum", "x", other, equation=equation)]
    outs.append(a.add("MatMul", "x", a.add("Transpose", other, perm=[0, 1, 3, 2])))
    outs.append(a.add("MatMul", a.constant(np.ones((3, 4), np.float32)), other))
    assert_equal_in_tflite(a.artifact(MAP, *outs), normal((2, *MAP)))


@needs_lce
def test_logic_and_constants_beside_values() -> None:
    a = ArtifactBuilder()
    above = a.add("Greater", "x", a.constant(np.float32(0.2)))
    below = a.add("Not", a.add("Less", "x", a.constant(np.float32(-0.2))))
    either = a.add("Or", above, a.add("And", above, below))
    chosen = a.add("Where", either, "x", a.constant(np.float32(3)))
    same = a.add("Where", a.add("Equal", "x", a.add("Relu", "x")), "x", chosen)
    sizes = a.add("Concat", a.add("Shape", "x", end=1), a.constant(np.array([8, 1, 6])), axis=0)
    row = a.add("Expand", a.constant(np.arange(48, dtype=np.float32).reshape(1, 8, 1, 6)), sizes)
    grown = a.add("Expand", a.add("ReduceMean", "x", a.constant(np.array([2])), keepdims=1),
                  a.constant(np.array([1, 8, 4, 6])))  # fmt: skip
    joined = a.add("Concat", row, "x", axis=2)
    assert_equal_in_tflite(a.artifact(MAP, chosen, same, joined, grown), normal((2, *MAP)))


def test_all_that_tflite_lacks_is_named() -> None:
    a = ArtifactBuilder()
    first, second = a.add("Erf", "x"), a.add("Asinh", "x")
    out = a.add("Add", first, second)
    with pytest.raises(UnsupportedError, match=r"Erf0: .* lacks Erf; Asinh1: .* lacks Asinh$"):
        to_tflite(a.artifact(MAP, out))


def test_constants_that_cannot_be_computed_are_refused_by_name() -> None:
    graph = onnx.parser.parse_graph(
        "g (float[N, 4] x) => (float[N, 4] y) <int64[2] a = {0, 1}, float[3] b = {1, 2, 3}>"
        " { c = CumSum (b, a) y = Add (x, c) }"
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)])
    with pytest.raises(UnsupportedError, match="CumSum"):
        to_tflite(Artifact(model))
