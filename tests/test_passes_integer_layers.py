from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
import torch
from numpy.typing import NDArray

import bnnkit.nn as bnn
from bnnkit.artifact.operators.integer_sums import largest_image_sums
from bnnkit.errors import UnsupportedError
from bnnkit.export.ir.graph import constant, set_module_path
from bnnkit.export.passes.lower_integer_layers import lower_integer_layers

HEAD = '<ir_version: 10, opset_import: ["" : 21, "bnnkit" : 1]>'


def graph_of(weights: list[float], image: str = "uint8") -> ir.Graph:
    graph = ir.from_onnx_text(
        f"{HEAD} g ({image}[N, 2, 1, 1] x) => (float[N, 2, 1, 1] y)"
        "<float[2, 2, 1, 1] w, int32[2] e = {0, -9}, uint8[2] z = {7, 200}>"
        "{ y = bnnkit.IntegerConv2d <strides = [1, 1], pads = [0, 0, 0, 0], dilations = [1, 1],"
        " group = 1> (x, w, e, z) }"
    ).graph
    set_content(graph, 1, np.array(weights, np.float32).reshape(2, 2, 1, 1))
    set_module_path(graph[0], "stem")
    return graph


def set_content(graph: ir.Graph, index: int, content: NDArray[Any]) -> None:
    value = graph[0].inputs[index]
    assert value is not None
    value.const_value = ir.Tensor(content)


def test_weights_are_rounded_on_the_grid_of_their_channel() -> None:
    graph = graph_of([0.5, 1.5, 5, -5])  # in steps: 0.5, 1.5 (ties to even), 2560, -2560
    lower_integer_layers(graph)
    assert [node.op_type for node in graph] == ["IntegerConv2d", "Cast", "Mul"]
    layer, _, scale = graph
    weight, zero_point, step = constant(layer, 1), constant(layer, 2), constant(scale, 1)
    assert [a.dtype.name for a in (weight, zero_point, step)] == ["int16", "uint8", "float32"]
    np.testing.assert_array_equal(weight.reshape(2, 2), [[0, 2], [2047, -2047]])
    np.testing.assert_array_equal(zero_point, [[[7]], [[200]]])
    np.testing.assert_array_equal(step.ravel(), [1, 2.0**-9])
    assert step.shape == (2, 1, 1)


@pytest.mark.parametrize("groups", [1, 2])
def test_the_rounding_is_that_of_the_trained_layer(groups: int) -> None:
    torch.manual_seed(0)
    layer = bnn.IntegerConv2d(4, 6, 3, groups=groups, zero_point=[0, 9, 200, 255]).eval()
    weight, exponent = layer.weight.detach().numpy(), layer.exponent.numpy()
    graph = ir.from_onnx_text(
        f"{HEAD} g (uint8[N, 4, 5, 5] x) => (float[N, 6, 3, 3] y)"
        f"<float[6, {4 // groups}, 3, 3] w, int32[6] e, uint8[4] z = {{0, 9, 200, 255}}>"
        "{ y = bnnkit.IntegerConv2d <strides = [1, 1], pads = [0, 0, 0, 0], dilations = [1, 1],"
        f" group = {groups}> (x, w, e, z) }}"
    ).graph
    set_content(graph, 1, weight)
    set_content(graph, 2, exponent)
    lower_integer_layers(graph)
    got = constant(graph[0], 1)
    np.testing.assert_array_equal(got, layer.integer_weight().numpy())


def test_the_largest_sums_are_those_of_the_worst_image() -> None:
    rng = np.random.default_rng(1)
    weight = rng.integers(-9, 10, (4, 1, 2, 2)).astype(np.int16)
    zero_point = np.array([[[3]], [[250]]], np.uint8)
    bound = largest_image_sums(weight, zero_point, group=2)
    for channel in range(4):
        z = int(zero_point[channel // 2, 0, 0])
        ends = [np.where(side * weight[channel] > 0, 255 - z, -z) for side in (1, -1)]
        worst = max(abs(int((weight[channel] * x.astype(np.int64)).sum())) for x in ends)
        assert worst <= bound[channel] == np.abs(weight[channel]).sum() * max(z, 255 - z)


@pytest.mark.parametrize(
    ("graph", "message"),
    [
        (
            graph_of([1, 2, 3, 4], image="float"),
            r"uint8 images as input of stem \(IntegerConv2d\)",
        ),
        (graph_of([1, 2, np.nan, 4]), "expected finite weights of .*, got NaN"),
    ],
)
def test_what_is_no_integer_layer(graph: ir.Graph, message: str) -> None:
    with pytest.raises(UnsupportedError, match=message):
        lower_integer_layers(graph)


def test_sums_that_float32_cannot_hold_are_refused() -> None:
    graph = ir.from_onnx_text(
        f"{HEAD} g (uint8[N, 40] x) => (float[N, 1] y)"
        "<float[1, 40] w, int32[1] e = {0}, uint8[40] z>"
        "{ y = bnnkit.IntegerLinear (x, w, e, z) }"
    ).graph
    set_content(graph, 1, np.full((1, 40), 2000, np.float32))
    set_content(graph, 3, np.zeros(40, np.uint8))
    with pytest.raises(UnsupportedError, match=r"below 2\^24, but an image can give 20400000"):
        lower_integer_layers(graph)
