"""Operators that read, write or sort by computed places, and recurrent layers, in NumPy."""

from typing import Any

import numpy as np
import onnx
import pytest
from against_onnxruntime import ort
from artifacts import Array, ArtifactBuilder
from onnx import helper

from bnnkit.artifact.standard import SEVERAL_OUTPUTS, STANDARD_OPERATORS, arguments
from bnnkit.errors import BnnkitError, UnsupportedError
from bnnkit.runtime import Model

RNG = np.random.default_rng(0)
X = RNG.standard_normal((2, 4, 5, 6)).astype(np.float32)
PLACES = RNG.integers(-4, 4, (2, 3, 5, 6))
SEQUENCE = RNG.standard_normal((7, 2, 3)).astype(np.float32)


def numbers(*shape: int) -> Array:
    found: Array = RNG.standard_normal(shape).astype(np.float32)
    return found


def in_onnxruntime(kind: str, attributes: dict[str, Any], *inputs: Array | None) -> list[Array]:
    """Compute all outputs of an operator in ONNX Runtime."""
    names = ["" if x is None else f"x{i}" for i, x in enumerate(inputs)]
    schema = onnx.defs.get_schema(kind, 21, "")
    count = schema.max_output if kind in SEVERAL_OUTPUTS else 1
    outputs = [f"y{i}" for i in range(count)]
    infos = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(x.dtype), x.shape)
        for name, x in zip(names, inputs, strict=True)
        if x is not None
    ]
    graph = helper.make_graph(
        [helper.make_node(kind, names, outputs, **attributes)],
        "one",
        infos,
        [onnx.ValueInfoProto(name=name) for name in outputs],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    inferred = onnx.shape_inference.infer_shapes(model)
    session = ort.InferenceSession(
        inferred.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    feeds = {name: x for name, x in zip(names, inputs, strict=True) if x is not None}
    return list(session.run(None, feeds))


def in_numpy(kind: str, attributes: dict[str, Any], *inputs: Array | None) -> list[Array]:
    words = {
        name: value.encode() if isinstance(value, str) else value
        for name, value in attributes.items()
    }
    if kind in SEVERAL_OUTPUTS:
        return list(SEVERAL_OUTPUTS[kind](words, *arguments(inputs)))
    return [STANDARD_OPERATORS[kind](words, *arguments(inputs))]


REDUCTIONS = ["none", "add", "mul", "max", "min"]
CASES: list[tuple[str, dict[str, Any], list[Any]]] = [
    ("GatherElements", {"axis": 1}, [X, PLACES]),
    ("GatherND", {}, [X, RNG.integers(0, 2, (3, 2, 2))]),
    ("GatherND", {"batch_dims": 1}, [X, RNG.integers(-4, 4, (2, 3, 2))]),
    *(("ScatterElements", {"axis": 1, "reduction": r}, [X, PLACES, numbers(2, 3, 5, 6)])
      for r in REDUCTIONS[1:]),
    ("ScatterElements", {"axis": 2}, [X, np.tile([[[[4], [0], [1]]]], (2, 4, 1, 6)), X[:, :, :3]]),
    *(("ScatterND", {"reduction": r}, [X, np.array([[1, 2], [0, 3]]), numbers(2, 5, 6)])
      for r in REDUCTIONS),
    ("OneHot", {}, [PLACES[0], np.array(4), np.array([0.5, 2], np.float32)]),
    ("OneHot", {"axis": 0}, [PLACES, np.array(3), np.array([1, 7])]),
    ("OneHot", {"axis": -2}, [PLACES, np.array(5), np.array([1, 7])]),
    ("TopK", {"axis": 1}, [X, np.array([3])]),
    ("TopK", {"largest": 0}, [np.round(X), np.array([4])]),
    ("TopK", {"axis": -2}, [np.round(X), np.array([5])]),
    ("Col2Im", {"strides": [2, 1], "pads": [1, 0, 1, 2], "dilations": [1, 2]},
     [numbers(2, 12, 15), np.array([5, 5]), np.array([2, 2])]),
    ("Col2Im", {}, [numbers(2, 6, 4), np.array([6]), np.array([3])]),
    *(("MaxPool", {"kernel_shape": [3, 2], **more}, [np.round(X)])
      for more in ({}, {"strides": [2, 2], "pads": [1, 1, 1, 0]}, {"dilations": [1, 3]})),
    *(("Resize", {"mode": m, "antialias": 1, **place},
       [X, None, np.array([1, 1, *scales], np.float32)])
      for m in ("linear", "cubic") for scales in ((0.4, 0.5), (2.0, 0.5))
      for place in ({}, {"coordinate_transformation_mode": "align_corners"})),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "attributes", "inputs"), CASES)
def test_places(kind: str, attributes: dict[str, Any], inputs: list[Array | None]) -> None:
    want = in_onnxruntime(kind, attributes, *inputs)
    got = in_numpy(kind, attributes, *inputs)
    for w, g in zip(want, got, strict=True):
        assert (w.dtype, w.shape) == (g.dtype, g.shape)
        np.testing.assert_allclose(g, w, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
@pytest.mark.parametrize("mode", ["linear", "nearest", "cubic"])
@pytest.mark.parametrize("aligned", [0, 1])
def test_grid_sample(mode: str, padding: str, aligned: int) -> None:
    grid = RNG.uniform(-1.6, 1.6, (2, 3, 4, 2)).astype(np.float32)
    attributes = {"mode": mode, "padding_mode": padding, "align_corners": aligned}
    (want,) = in_onnxruntime("GridSample", attributes, X, grid)
    (got,) = in_numpy("GridSample", attributes, X, grid)
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4)


GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
RECURRENT: list[tuple[str, dict[str, Any]]] = [
    *((kind, {"direction": d}) for kind in GATES for d in ("forward", "reverse", "bidirectional")),
    ("GRU", {"linear_before_reset": 1}),
    ("LSTM", {"input_forget": 1}),
    ("RNN", {"activations": ["Relu"]}),
    ("LSTM", {"activations": ["Sigmoid", "Relu", "Tanh"]}),
]


@pytest.mark.parametrize("has_state", [False, True])
@pytest.mark.parametrize(("kind", "attributes"), RECURRENT)
def test_recurrent_layers(kind: str, attributes: dict[str, Any], has_state: bool) -> None:
    directions, rows = 1 + (attributes.get("direction") == "bidirectional"), 5 * GATES[kind]
    inputs: list[Array | None] = [
        SEQUENCE, numbers(directions, rows, 3), numbers(directions, rows, 5),
    ]  # fmt: skip
    if has_state:
        inputs += [numbers(directions, 2 * rows), np.full(2, 7, np.int32)]
        inputs += [numbers(directions, 2, 5) for _ in range(1 + (kind == "LSTM"))]
        inputs += [numbers(directions, 15)] if kind == "LSTM" else []
    want = in_onnxruntime(kind, {"hidden_size": 5, **attributes}, *inputs)
    got = in_numpy(kind, {"hidden_size": 5, **attributes}, *inputs)
    assert len(want) == len(got) == 2 + (kind == "LSTM")
    for w, g in zip(want, got, strict=True):
        np.testing.assert_allclose(g, w, rtol=1e-5, atol=1e-5)


def test_recurrent_layers_with_the_batch_first() -> None:
    weights = [numbers(2, 20, 3), numbers(2, 20, 5), numbers(2, 40)]
    attributes: dict[str, Any] = {"hidden_size": 5, "direction": b"bidirectional"}
    y, h, c = SEVERAL_OUTPUTS["LSTM"](attributes, SEQUENCE, *weights)
    found = SEVERAL_OUTPUTS["LSTM"]({**attributes, "layout": 1}, SEQUENCE.swapaxes(0, 1), *weights)
    np.testing.assert_array_equal(found[0], y.transpose(2, 0, 1, 3))
    np.testing.assert_array_equal(found[1], h.swapaxes(0, 1))
    np.testing.assert_array_equal(found[2], c.swapaxes(0, 1))


@pytest.mark.parametrize(
    ("attributes", "more"),
    [
        ({"activations": [b"Elu", b"Tanh", b"Tanh"]}, []),
        ({"activations": [b"Tanh"]}, []),
        ({"clip": 0.5}, []),
        ({}, [None, np.array([7, 3], np.int32)]),
    ],
)
def test_forms_of_recurrent_layers_that_are_refused(
    attributes: dict[str, Any], more: list[Any]
) -> None:
    with pytest.raises(UnsupportedError):
        SEVERAL_OUTPUTS["LSTM"](attributes, SEQUENCE, numbers(1, 20, 3), numbers(1, 20, 5), *more)


MIXED: list[tuple[str, dict[str, Any], list[Array]]] = [
    ("CumSum", {}, [np.array(0)]),
    ("TopK", {"axis": 0}, [np.array([2])]),
    ("GatherElements", {"axis": 0}, [np.zeros((2, 4, 5, 6), np.int64)]),
    ("GatherND", {}, [np.array([[1], [0]])]),
    ("ScatterND", {}, [np.array([[1], [0]]), X]),
    ("Einsum", {"equation": "nchw->cnhw"}, []),
    ("Einsum", {"equation": "nchw,n->nchw"}, [np.ones(2, np.float32)]),
    ("Trilu", {}, []),
    ("EyeLike", {}, []),
]


@pytest.mark.parametrize(("kind", "attributes", "constants"), MIXED)
def test_operators_that_mix_images_are_refused(
    kind: str, attributes: dict[str, Any], constants: list[Array]
) -> None:
    a = ArtifactBuilder()
    shape: tuple[int, ...] = (5,) if kind in ("Trilu", "EyeLike") else (4, 5, 6)
    out = a.add(kind, "x", *map(a.constant, constants), **attributes)
    with pytest.raises(BnnkitError, match=kind):
        Model(a.artifact(shape, out))


def test_all_outputs_that_something_reads_are_computed() -> None:
    a = ArtifactBuilder()
    k = a.constant(np.array([2]))
    a.nodes.append(helper.make_node("TopK", ["x", k], ["values", "places"], name="t", axis=1))
    a.nodes.append(
        helper.make_node("TopK", ["x", k], ["unread", "least"], name="u", axis=1, largest=0)
    )
    values, places, least = Model(a.artifact((4, 5, 6), "values", "places", "least")).run(X)
    np.testing.assert_array_equal(places, np.argsort(-X, 1)[:, :2])
    np.testing.assert_array_equal(values, np.take_along_axis(X, places, 1))
    np.testing.assert_array_equal(least, np.argsort(X, 1)[:, :2])


def test_a_small_file_cannot_take_much_memory_or_time() -> None:
    a = ArtifactBuilder()
    columns = a.add("Reshape", "x", a.constant(np.array([0, 4, 30])))
    sizes, block = (a.constant(np.array(n)) for n in ([5, 6], [2, 2]))
    wide = a.add("Col2Im", columns, sizes, block, pads=[1 << 23] * 4, strides=[1 << 24] * 2)
    with pytest.raises(BnnkitError, match=r"Col2Im.*(too large|numbers|not valid)"):
        Model(a.artifact((4, 5, 6), wide))
    b = ArtifactBuilder()
    triple = b.add("Einsum", "x", "x", "x", equation="nabc,ndef,nghi->n")
    with pytest.raises(UnsupportedError, match=r"Einsum.*more than"):
        Model(b.artifact((40, 50, 60), triple))
