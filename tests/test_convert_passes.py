"""The passes of conversions, each alone."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from bnnkit.artifact.binary_scales import scales
from bnnkit.cli.group import bnnkit_command
from bnnkit.errors import UnsupportedError
from bnnkit.export.from_onnx.convert import from_onnx
from bnnkit.export.from_onnx.module_paths import set_module_paths
from bnnkit.export.from_onnx.piecewise.comparisons import at_least
from bnnkit.export.from_onnx.qonnx_quantizers import lower_quantizers
from bnnkit.export.from_onnx.split_batch_norms import split_batch_norms

ort = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")

Array = NDArray[Any]
QONNX = "qonnx.custom_op.general"


def model_of(*nodes: onnx.NodeProto, shape: tuple[int, ...], **constants: Any) -> Any:
    """A model from `x` to `y`, float32 of that shape."""
    real = TensorProto.FLOAT
    ends = [helper.make_tensor_value_info(name, real, shape) for name in "xy"]
    tensors = [numpy_helper.from_array(np.asarray(c), name) for name, c in constants.items()]
    graph = helper.make_graph(list(nodes), "g", ends[:1], ends[1:], tensors)
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid(QONNX, 2)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10)


def run(model: onnx.ModelProto, x: Array) -> Array:
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    result: Array = session.run(None, {"x": x})[0]
    return result


ROUND: dict[str, Callable[[Array], Array]] = {
    "ROUND": np.rint,
    "HALF_EVEN": np.rint,
    "FLOOR": np.floor,
    "CEIL": np.ceil,
    "UP": lambda v: np.asarray(np.sign(v) * np.ceil(np.abs(v))),
    "DOWN": np.fix,
    "HALF_UP": lambda v: np.asarray(np.sign(v) * np.floor(np.abs(v) + np.float32(0.5))),
    "HALF_DOWN": lambda v: np.asarray(np.sign(v) * np.ceil(np.abs(v) - np.float32(0.5))),
}
"""`resolve_rounding_mode` of qonnx 1.0.0."""


def qonnx_quant(
    x: Array, scale: Array, zero: float, bits: int, signed: bool, narrow: bool, mode: str
) -> Array:
    """`int_quant` of qonnx 1.0.0, in float32."""
    y = x / scale + np.float32(zero)
    if bits == 1 and signed:
        y = np.where(y >= 0, np.float32(1), np.float32(-1))
    else:
        low = -(2 ** (bits - 1)) + narrow if signed else 0
        high = 2 ** (bits - 1) - 1 if signed else 2**bits - 1 - narrow
        y = np.clip(y, low, high)
        y = ROUND[mode](y)
    return np.asarray((y - np.float32(zero)) * scale, np.float32)


@pytest.mark.parametrize("mode", ROUND)
@pytest.mark.parametrize("narrow", [False, True])
@pytest.mark.parametrize(("bits", "signed", "zero"), [(8, 1, 0), (4, 0, 3), (2, 1, 0), (1, 1, 0)])
def test_quantizers_are_qonnx(
    bits: int, signed: int, zero: float, narrow: bool, mode: str
) -> None:
    rng = np.random.default_rng(bits)
    scale = (2.0 ** rng.integers(-3, 2, (1, 7, 1, 1)) * 1.1).astype(np.float32)
    x = rng.normal(0, 3, (2, 7, 3, 4)).astype(np.float32)
    x[0] = scale[0] * rng.integers(-9, 9, (7, 3, 4)) / 2  # ties, limits and zeros
    node = helper.make_node(
        "Quant", ["x", "s", "z", "n"], ["y"], domain=QONNX,
        signed=signed, narrow=int(narrow), rounding_mode=mode,
    )  # fmt: skip
    number = {"s": scale, "z": np.float32(zero), "n": np.float32(bits)}
    model = ir.from_proto(model_of(node, shape=x.shape, **number))
    lower_quantizers(model.graph)
    model.opset_imports.pop(QONNX)
    want = qonnx_quant(x, scale, zero, bits, bool(signed), narrow, mode)
    np.testing.assert_array_equal(run(ir.to_proto(model), x), want)


@pytest.mark.parametrize("mode", ROUND)
@pytest.mark.parametrize("zero", [0, 3])
@pytest.mark.parametrize("has_new_scale", [False, True])
def test_truncations_are_qonnx(mode: str, zero: float, has_new_scale: bool) -> None:
    """`trunc_v1` and `trunc_v2` of qonnx 1.0.0: from 6 bits to 4, the scale 0.3 and then 1.2."""
    rng = np.random.default_rng(0)
    scale, z = np.float32(0.3), np.float32(zero)
    x = (scale * rng.integers(-160, 160, (40, 7)) / 4).astype(np.float32)
    names = ["x", "s", "z", "from", "t", "to"] if has_new_scale else ["x", "s", "z", "from", "to"]
    node = helper.make_node("Trunc", names, ["y"], domain=QONNX, rounding_mode=mode)
    number = {"s": scale, "z": z, "from": np.float32(6), "to": np.float32(4)}
    number |= {"t": np.float32(4) * scale} if has_new_scale else {}
    model = ir.from_proto(model_of(node, shape=x.shape, **number))
    lower_quantizers(model.graph)
    model.opset_imports.pop(QONNX)
    integers = np.rint(x / scale + z) / np.float32(4)
    if has_new_scale:
        want = (ROUND[mode](np.clip(integers, -8, 7)) - z / np.float32(4)) * (
            np.float32(4) * scale
        )
    else:
        want = (ROUND[mode](integers) - z) * scale
    np.testing.assert_array_equal(run(ir.to_proto(model), x), want.astype(np.float32))


@pytest.mark.parametrize(
    ("attributes", "bits", "words"),
    [
        ({"rounding_mode": "HALF_ODD"}, 4, "HALF_ODD"),
        ({}, 0.5, "bits"),
        ({}, 40, "bits"),
    ],
)
def test_quantizers_that_are_not_known(attributes: Any, bits: float, words: str) -> None:
    node = helper.make_node("Quant", ["x", "s", "z", "n"], ["y"], domain=QONNX, **attributes)
    number = {"s": np.float32(1), "z": np.float32(0), "n": np.float32(bits)}
    model = ir.from_proto(model_of(node, shape=(2, 3), **number))
    with pytest.raises(UnsupportedError, match=words):
        lower_quantizers(model.graph)


@pytest.mark.parametrize("domain", ["onnx.brevitas", "finn.custom_op.general", QONNX])
def test_every_name_of_the_domain(domain: str) -> None:
    node = helper.make_node("BipolarQuant", ["x", "s"], ["y"], domain=domain)
    model = model_of(node, shape=(2, 3), s=np.float32(0.5))
    model.opset_import.append(helper.make_opsetid("finn.custom_op.general", 1))
    model.opset_import.append(helper.make_opsetid("onnx.brevitas", 1))
    artifact, differences = from_onnx(model)
    x = np.array([[0, -0.0, 3], [-1, 1, -1e-30]], np.float32)
    session = ort.InferenceSession(
        artifact.model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    np.testing.assert_array_equal(
        session.run(None, {"input": x})[0], [[0.5, 0.5, 0.5], [-0.5, 0.5, -0.5]]
    )
    assert differences.remapped == ()


@pytest.mark.parametrize("shape", [(5, 1000), (2, 1000, 3, 5), (3, 1000, 1, 1)])
def test_batch_norms_are_rounded_as_onnxruntime_does(shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    norm = {name: rng.normal(0, 3, 1000).astype(np.float32) for name in "gbm"}
    norm["v"] = rng.uniform(0.001, 90, 1000).astype(np.float32)
    node = helper.make_node("BatchNormalization", ["x", *"gbmv"], ["y"], epsilon=1e-4)
    source = model_of(node, shape=shape, **norm)
    x = rng.integers(-999, 999, shape).astype(np.float32)
    model = ir.from_proto(source)
    split_batch_norms(model.graph)
    split = ir.to_proto(model)
    assert [n.op_type for n in split.graph.node] == ["Mul", "Add"]
    np.testing.assert_array_equal(run(split, x), run(source, x))


def test_comparisons_take_the_next_number() -> None:
    x = ir.Value(name="x")
    limit = np.float32(0.3)
    above, below = np.nextafter(limit, np.float32(1)), np.nextafter(limit, np.float32(0))
    weak = at_least(x, 0.3)
    assert (weak.strict().limit, weak.strict().is_lower) == (above, True)
    assert (weak.negated().limit, weak.negated().is_lower) == (below, False)
    assert weak.negated().negated() == weak
    assert weak.strict().negated().limit == limit


def test_scales_of_weights() -> None:
    signs = np.random.default_rng(0).choice([-1.0, 1.0], (3, 2, 2, 2)).astype(np.float32)
    want = np.array([0.1, 2, 3], np.float32)
    weight = signs * want.reshape(3, 1, 1, 1)
    found = scales(weight)
    assert found is not None
    assert found.deviation == 0
    np.testing.assert_array_equal(found.sizes, want)
    for place, number in (((1, 1, 1, 1), 2.0001), ((2, 0, 0, 0), np.nan)):
        other = weight.copy()
        other[place] = number
        assert scales(other) is None
    assert scales(np.ones((4, 1), np.float32)) is None  # a product is no sum
    assert scales(np.full((2, 3), np.inf, np.float32)) is None


@pytest.mark.parametrize(
    ("name", "weight", "path"),
    [
        ("/layer1/layer1.0/conv1/Conv", "w", "layer1.0.conv1"),
        ("/features.2/act_quant/export_handler/Conv", "w", "features.2"),
        ("/Conv", "w", "Conv"),
        ("node_conv", "features.2.weight", "features.2"),
        ("a/b/Conv2D", "w", "a.b.Conv2D"),
        ("", "w", "Conv"),
    ],
)
def test_paths(name: str, weight: str, path: str) -> None:
    node = helper.make_node("Conv", ["x", weight], ["y"], name=name)
    model = ir.from_proto(
        model_of(node, shape=(1, 1, 3, 3), **{weight: np.ones((1, 1, 1, 1), np.float32)})
    )
    set_module_paths(model.graph)
    assert ir.to_proto(model).graph.node[0].metadata_props[0].value == repr(["", path, "Conv"])


def write_source(path: Path) -> None:
    """Dense, 6 inputs with ONNX's own signs, 4 scores."""
    nodes = [
        helper.make_node("Sign", ["x"], ["s"], name="first"),
        helper.make_node("MatMul", ["s", "w"], ["y"], name="dense"),
    ]
    model = model_of(*nodes, shape=(2, 6), w=np.ones((6, 4), np.float32))
    model.graph.output[0].type.tensor_type.shape.dim[1].dim_value = 4
    onnx.save(model, path)


def test_the_command(tmp_path: Path) -> None:
    write_source(tmp_path / "a.onnx")
    words = ["convert", str(tmp_path / "a.onnx"), "-o", str(tmp_path / "b.onnx")]
    table = CliRunner().invoke(bnnkit_command, words)
    assert table.exit_code == 0, table.output
    for part in (
        "BinaryLinear",
        "+1 for an input of 0",
        "a real value",
        f"wrote {tmp_path / 'b.onnx'}",
    ):
        assert part in table.output
    found = json.loads(CliRunner().invoke(bnnkit_command, [*words, "--json"]).output)
    assert found["remapped"] == [{"name": "first", "input": "a real value"}]
    assert found["file_bytes"] == (tmp_path / "b.onnx").stat().st_size
    assert [(layer["name"], layer["kind"]) for layer in found["layers"]] == [("dense", "binary")]
    assert found["standard_operators"] == {"Cast": 1}
    assert found["runtime"] is None


def test_the_command_says_what_the_runtime_lacks(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("BipolarQuant", ["x", "one"], ["s"], domain=QONNX),
        helper.make_node("Hardmax", ["s"], ["y"], name="largest", axis=1),
    ]
    model = model_of(*nodes, shape=(2, 6), one=np.float32(1))
    onnx.save(model, tmp_path / "a.onnx")
    words = ["convert", str(tmp_path / "a.onnx"), "-o", str(tmp_path / "b.onnx")]
    told = CliRunner().invoke(bnnkit_command, words)
    assert told.exit_code == 0, told.output
    assert "ONNX Runtime can" in told.output
    found = json.loads(CliRunner().invoke(bnnkit_command, [*words, "--json"]).output)
    assert "Hardmax" in found["runtime"]


def test_the_command_says_what_is_missing(tmp_path: Path) -> None:
    words = ["convert", str(tmp_path / "none.onnx"), "-o", str(tmp_path / "b.onnx")]
    result = CliRunner().invoke(bnnkit_command, words)
    assert result.exit_code == 2
    assert "none.onnx" in result.output
