"""Files as their writers leave them: functions, order, shapes, branches, expanded constants."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper
from onnx_graphs import assert_same, network, operators

from bnnkit.errors import BnnkitError, FileError, UnsupportedError
from bnnkit.export.from_onnx.convert import from_onnx

SIGN = "p = GreaterOrEqual(x, zero) y = Where(p, one, minus)"
TYPES = ("float[N, 12] x", "float[N, 12] y")
X = np.random.default_rng(0).normal(size=(5, 12)).astype(np.float32)


@pytest.mark.parametrize("opset", [17, 21])
def test_model_local_functions(opset: int) -> None:
    model = network("y = own.Bin(x)", *TYPES, opset=opset)
    text = (
        f'<opset_import: ["" : {opset}], domain: "own"> Bin (a) => (b) {{ '
        "z = Constant<value_float = 0.0>() o = Constant<value_float = 1.0>() "
        "m = Neg(o) g = GreaterOrEqual(a, z) b = Where(g, o, m) }"
    )
    model.functions.append(onnx.parser.parse_function(text))
    model.opset_import.append(helper.make_opsetid("own", 1))
    assert "Sign" in operators(assert_same(model, X))


def test_nodes_in_another_order() -> None:
    model = network(SIGN, *TYPES)
    nodes = list(model.graph.node)[::-1]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    artifact, _ = from_onnx(model)
    assert operators(artifact.model) == ["Sign", "DequantizeLinear"]


def test_values_that_nothing_gives_are_named() -> None:
    model = network("p = Clip(x, low) " + SIGN.replace("p", "q"), *TYPES)
    with pytest.raises(FileError, match=r"that gives 'p' \(Clip\) needs .*'low'"):
        from_onnx(model)


def test_nodes_in_a_circle_are_named() -> None:
    model = network("a = Add(x, b) b = Relu(a) y = Sign(a)", *TYPES)
    with pytest.raises(FileError, match="depends on its own output"):
        from_onnx(model)


def test_outputs_without_a_shape() -> None:
    model = network(SIGN, *TYPES)
    model.graph.output[0].type.tensor_type.ClearField("shape")
    assert "Sign" in operators(assert_same(model, X))


@pytest.mark.parametrize("is_true", [True, False])
def test_branches_of_a_constant(is_true: bool) -> None:
    body = (
        "y = If(c) <then_branch = t () => (float[N, 12] u) { p = GreaterOrEqual(x, zero) "
        "u = Where(p, one, minus) }, else_branch = e () => (float[N, 12] v) "
        "{ p = Greater(x, t) v = Where(p, one, minus) }>"
    )
    artifact = assert_same(network(body, *TYPES, {"c": np.array(is_true)}), X)
    assert operators(artifact) == (
        ["Sign", "DequantizeLinear"] if is_true else ["Sub", "Sign", "DequantizeLinear"]
    )


def test_types_that_are_those_of_a_value() -> None:
    body = "b = GreaterOrEqual(x, zero) o = CastLike(i, x) m = Neg(o) y = Where(b, o, m)"
    model = network(body, *TYPES, {"i": np.int64(1)})
    assert operators(assert_same(model, X)) == ["Sign", "DequantizeLinear"]


@pytest.mark.parametrize("batch", [1, 3])
def test_constants_at_full_size_are_narrowed(batch: int) -> None:
    """A bias that is expanded to the input, as ReActNet's exporters leave it."""
    bias = np.random.default_rng(1).normal(size=(1, 4, 1, 1)).astype(np.float32)
    full = np.broadcast_to(bias, (batch, 4, 5, 5)).copy()
    body = "a = Add(x, bias) p = GreaterOrEqual(a, zero) y = Where(p, ones, minus)"
    types = (f"float[{batch}, 4, 5, 5] x", f"float[{batch}, 4, 5, 5] y")
    model = network(body, *types, {"bias": full, "ones": np.ones_like(full)})
    x = np.random.default_rng(2).normal(size=(batch, 4, 5, 5)).astype(np.float32)
    artifact = assert_same(model, x)
    shapes = [tuple(tensor.dims) for tensor in artifact.graph.initializer]
    assert (4, 1, 1) in shapes
    assert (batch, 4, 5, 5) not in shapes


def test_a_constant_that_gives_the_shape_keeps_it() -> None:
    body = "a = Add(x, bias) p = GreaterOrEqual(a, zero) y = Where(p, one, minus)"
    model = network(body, "float[N, 1] x", "float[N, 7] y", {"bias": np.ones(7, np.float32)})
    assert_same(model, X[:, :1])


def test_half_precision_is_named() -> None:
    body = "h = Cast<to = 10>(x) s = Sign(h) y = Cast<to = 1>(s)"
    with pytest.raises(UnsupportedError, match=r"'h' \(Cast\) computes in FLOAT16: export it in"):
        from_onnx(network(body, *TYPES))


def test_batch_norms_in_training_are_named() -> None:
    body = "n, m1, v1 = BatchNormalization<training_mode = 1>(x, g, g, g, g) y = Sign(n)"
    with pytest.raises(UnsupportedError, match="in inference mode"):
        from_onnx(network(body, *TYPES, {"g": np.ones(12, np.float32)}))


def test_weights_in_a_file_that_is_missing(tmp_path: Path) -> None:
    from bnnkit.export.from_onnx import convert_onnx

    model = network(SIGN, *TYPES, {"w": np.zeros(999, np.float32)})
    onnx.save(model, tmp_path / "a.onnx", save_as_external_data=True, location="w.bin")
    (tmp_path / "w.bin").unlink()
    with pytest.raises(BnnkitError, match=r"w\.bin"):
        convert_onnx(tmp_path / "a.onnx", tmp_path / "b.onnx")
