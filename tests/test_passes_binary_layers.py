from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
from numpy.typing import NDArray

from bnnkit.artifact.format.bits import unpack_weight
from bnnkit.errors import UnsupportedError
from bnnkit.export.ir.graph import constant, set_module_path
from bnnkit.export.passes.lower_binary_layers import lower_binary_layers

HEAD = '<ir_version: 10, opset_import: ["" : 21, "bnnkit" : 1]>'
CONSTANTS = "float one = {1}, uint8 z = {1}, float[2] bias = {0.5, -3}"
CONV = "Conv <strides = [2, 1], pads = [0, 1, 2, 3], dilations = [1, 2], group = 1>"


def graph_of(body: str, latent: NDArray[Any], x: str = "uint8[N, 3, 4, 4] x") -> ir.Graph:
    """A graph with latent weights `latent`; the signs `x` are real as `s`."""
    shape = ", ".join(map(str, latent.shape))
    graph = ir.from_onnx_text(
        f"{HEAD} g ({x}) => (float[] y) <{CONSTANTS}, float[{shape}] latent>"
        '{ w = bnnkit.BinaryWeight <noise = "none"> (latent) s = DequantizeLinear (x, one, z) '
        f"{body} }}"
    ).graph
    graph[1].outputs[0].shape = graph.inputs[0].shape
    graph.outputs[0].shape = ir.Shape(["N", 2, 3, 4] if "3, 4, 4" in x else ["N", 2])
    value = graph[0].inputs[0]
    assert value is not None
    value.const_value = ir.Tensor(latent.astype(np.float32), name="latent")
    for node in graph:
        set_module_path(node, "block.conv")
    return graph


def latents(*shape: int) -> NDArray[Any]:
    latent = np.random.default_rng(0).normal(size=shape)
    latent.flat[:4] = [0.0, -0.0, 1e-40, -1e-40]
    return latent


def binary_operators(graph: ir.Graph) -> list[str]:
    return [n.op_type for n in graph if n.op_type != "DequantizeLinear"]


def test_a_convolution_of_signs() -> None:
    latent = latents(2, 3, 2, 2)
    graph = graph_of(f"y = {CONV} (s, w, bias)", latent)
    lower_binary_layers(graph)
    assert binary_operators(graph) == ["BinaryConv2d", "Cast", "Add"]
    layer = next(n for n in graph if n.domain == "bnnkit")
    packed = constant(layer, 1)
    assert {
        name: tuple(a.as_ints()) for name, a in layer.attributes.items() if name != "group"
    } == {
        "strides": (2, 1),
        "pads": (0, 1, 2, 3),
        "dilations": (1, 2),
        "weight_shape": (2, 2, 2, 3),
    }
    assert layer.attributes["group"].as_int() == 1
    signs = unpack_weight(packed, (2, 2, 2, 3)).transpose(0, 3, 1, 2)
    np.testing.assert_array_equal(signs, np.where(latent >= 0, 1, -1))
    assert signs.ravel()[:4].tolist() == [1, 1, 1, -1]
    np.testing.assert_array_equal(constant(graph[-1], 1), [[[0.5]], [[-3.0]]])
    assert layer.inputs[1] is not None
    assert layer.inputs[1].name == "block.conv.weight"


@pytest.mark.parametrize(
    ("body", "after"),
    [
        ("y = Gemm <transB = 1> (s, w)", ["BinaryLinear", "Cast"]),
        ("y = Gemm <transB = 1> (s, w, bias)", ["BinaryLinear", "Cast", "Add"]),
        ("v = Transpose <perm = [1, 0]> (w) y = MatMul (s, v)", ["BinaryLinear", "Cast"]),
        ("y = Gemm <transB = 1, alpha = 2.0> (s, w)", ["BinaryWeight", "Gemm"]),
        ("r = Relu (s) y = Gemm <transB = 1> (r, w)", ["BinaryWeight", "Relu", "Gemm"]),
    ],
)
def test_linear_maps(body: str, after: list[str]) -> None:
    latent = latents(2, 3)
    graph = graph_of(body, latent, "uint8[N, 3] x")
    lower_binary_layers(graph)
    assert binary_operators(graph) == after
    node = next(n for n in graph if n.domain == "bnnkit")
    packed = constant(node, len(node.inputs) - 1)
    np.testing.assert_array_equal(unpack_weight(packed, (2, 3)), np.where(latent >= 0, 1, -1))


@pytest.mark.parametrize(
    "body",
    [
        f"r = Relu (s) y = {CONV} (r, w)",
        'y = Conv <auto_pad = "SAME_UPPER"> (s, w)',
        f"v = Mul (w, one) y = {CONV} (s, v)",
    ],
)
def test_binary_weights_of_other_layers_are_packed_too(body: str) -> None:
    graph = graph_of(body, latents(2, 3, 2, 2))
    lower_binary_layers(graph)
    assert binary_operators(graph)[0] == "BinaryWeight"
    mark = next(n for n in graph if n.domain == "bnnkit")
    assert binary_operators(graph)[-1] == "Conv"
    assert tuple(mark.attributes["weight_shape"].as_ints()) == (2, 2, 2, 3)


def test_layers_with_the_same_latent_weights_share_them() -> None:
    graph = graph_of(f"a = {CONV} (s, w) b = {CONV} (s, w) y = Add (a, b)", latents(2, 3, 2, 2))
    for node in graph:
        node.outputs[0].shape = (
            ir.Shape(["N", 2, 2, 2]) if node.op_type == "Conv" else node.outputs[0].shape
        )
    lower_binary_layers(graph)
    first, second = (node for node in graph if node.op_type == "BinaryConv2d")
    assert first.inputs[1] is second.inputs[1]


@pytest.mark.parametrize(
    ("latent", "message"),
    [
        (
            np.full((2, 3, 2, 2), np.nan),
            r"numbers as latent weights of block\.conv \(BinaryWeight\), got NaN",
        ),
        (np.ones((2, 3, 1, 1, 1, 1)), r"a convolution in .* got shape \(2, 3, 1, 1, 1, 1\)"),
    ],
)
def test_weights_that_cannot_be_packed(latent: NDArray[Any], message: str) -> None:
    graph = graph_of("y = Conv (s, w)", latent)
    with pytest.raises(UnsupportedError, match=message):
        lower_binary_layers(graph)


def test_computed_latent_weights_are_refused() -> None:
    graph = ir.from_onnx_text(
        f"{HEAD} g (float[2, 3] x) => (float[2, 3] y)"
        '{ y = bnnkit.BinaryWeight <noise = "none"> (x) z = Relu (y) }'
    ).graph
    with pytest.raises(
        UnsupportedError, match=r"input 0 of .* to be a parameter, got a computed value"
    ):
        lower_binary_layers(graph)
