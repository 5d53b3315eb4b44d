"""Thresholds equal what they replace, at every integer sum."""

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx_ir as ir
import onnxruntime as ort
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx_ir.passes import common
from torch.nn import functional

from bnnkit.artifact.format.bits import pack_weight
from bnnkit.errors import UnsupportedError
from bnnkit.export.analysis.find_thresholds import find_thresholds
from bnnkit.export.assembly.assemble import with_functions
from bnnkit.export.ir.graph import constant as content_of
from bnnkit.export.ir.graph import set_module_path
from bnnkit.export.passes.clean_up import remove_dead
from bnnkit.export.passes.fold_thresholds import fold_thresholds
from bnnkit.export.passes.lower_signs import SignRecord, set_sign_record, sign_record

HEAD = '<ir_version: 10, opset_import: ["" : 21, "bnnkit" : 1]>'


def all_signs(
    signs: Callable[[NDArray[np.int64]], NDArray[np.bool_]], bound: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Signs of every sum from -K to K, (2K + 1, O), K the same for all channels."""
    return np.stack([signs(np.full_like(bound, c)) for c in range(-bound[0], bound[0] + 1)])


def assert_equal_everywhere(
    signs: Callable[[NDArray[np.int64]], NDArray[np.bool_]], bound: NDArray[np.int64]
) -> None:
    found = find_thresholds(signs, bound)
    c = np.arange(-bound[0], bound[0] + 1)[:, None]
    np.testing.assert_array_equal(found.side * c >= found.threshold, all_signs(signs, bound))
    assert np.all(-bound <= found.threshold)
    assert np.all(found.threshold <= bound + 1)


def test_bisection_finds_every_place_of_the_change() -> None:
    bound = np.full(2 * 22, 10)
    places = np.arange(-10, 12).repeat(2)
    slope = np.tile([1, -1], 22)
    assert_equal_everywhere(lambda c: slope * c >= places, bound)
    never, always = (
        find_thresholds(lambda c: c > 99, bound),
        find_thresholds(lambda c: c < 99, bound),
    )
    assert set(never.threshold) == {11}
    assert set(always.threshold) == {-10}
    assert set(never.side) == set(always.side) == {1}


def test_channels_have_bounds_of_their_own() -> None:
    bound = np.array([1, 5, 2**23 - 1, 3])
    asked: list[NDArray[np.int64]] = []

    def signs(c: NDArray[np.int64]) -> NDArray[np.bool_]:
        asked.append(c)
        return c >= [1, -4, 2**22 + 1, 9]

    assert find_thresholds(signs, bound).threshold.tolist() == [1, -4, 2**22 + 1, 4]
    assert all((np.abs(c) <= bound).all() for c in asked)


numbers = st.floats(-40, 40, width=32)
scales = st.sampled_from([0.0, -0.0, 1e-38, -1e-30, 1e-7, -1e-7]) | numbers


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.tuples(scales, numbers, numbers, st.floats(0, 99, width=32)), min_size=4, max_size=4
    )
)
def test_torchs_batch_norm_in_any_layout(
    channels: list[tuple[float, float, float, float]],
) -> None:
    weight, bias, mean, variance = torch.tensor(channels).T.contiguous()
    mean[1], bias[1] = mean[1].round(), 0.0  # a tie with the sum
    bound = np.full(4, 67)
    sums = torch.arange(-67, 68).float()[:, None].repeat(1, 4)

    def signs(x: torch.Tensor) -> NDArray[np.bool_]:
        y = functional.batch_norm(x, mean, variance, weight, bias, eps=1e-5)
        return (y >= 0).numpy()

    found = find_thresholds(lambda c: signs(torch.from_numpy(c).float()[None])[0], bound)
    want = signs(sums)
    np.testing.assert_array_equal(
        found.side * sums.numpy().astype(np.int64) >= found.threshold, want
    )
    images = sums.reshape(9, 15, 1, 4).permute(0, 3, 1, 2)  # channels last in memory
    for layout in (images, images.contiguous()):
        np.testing.assert_array_equal(signs(layout).transpose(0, 2, 3, 1).reshape(-1, 4), want)


CHAINS = [
    "r = Identity (a)",
    "r = BatchNormalization (a, gamma, beta, mean, var)",
    "b = Add (a, shift) r = BatchNormalization <epsilon = 0.001> (b, gamma, beta, mean, var)",
    "b = Sub (shift, a) c = Mul (b, scale) d = Div (c, three) e = Neg (d) r = Clip (e, low, high)",
    "b = Mul (scale, a) c = Add (b, shift) r = Relu (c)",
]
LAYERS = {
    "BinaryConv2d": (
        "uint8[N, 3, 4, 4] x",
        "strides = [1, 1], pads = [1, 1, 1, 1], dilations = [1, 1], group = 1,"
        " weight_shape = [5, 2, 2, 3]",
        (5, 1, 1),
    ),
    "BinaryLinear": ("uint8[N, 12] x", "weight_shape = [5, 12]", (5,)),
    "IntegerConv2d": (
        "uint8[N, 3, 4, 4] x",
        "strides = [1, 1], pads = [0, 0, 0, 0], dilations = [1, 1], group = 1",
        (5, 1, 1),
    ),
}


def constant(name: str, content: NDArray[Any]) -> str:
    """An initializer in ONNX's text form."""
    kind = {"float32": "float"}.get(content.dtype.name, content.dtype.name)
    values = ", ".join(map(repr, content.ravel().tolist()))
    return f"{kind}{list(content.shape)} {name} = {{{values}}}"


def model_of(layer: str, chain: str, outputs: str = "uint8[] y") -> ir.Model:
    """The layer with random weights, 5 channels, then `chain` from `a` to `r`, then the sign."""
    image, attributes, column = LAYERS[layer]
    rng = np.random.default_rng(3)
    shapes = {"gamma": (5,), "beta": (5,), "mean": (5,), "scale": column, "shift": column}
    numbers = {name: rng.integers(-3, 4, shape) for name, shape in shapes.items()}
    contents = {name: number.astype(np.float32) for name, number in numbers.items()}
    contents["var"] = np.abs(rng.normal(size=5)).astype(np.float32)
    weight: NDArray[Any] = pack_weight(rng.choice([-1, 1], (5, 12)))
    if layer.startswith("Integer"):
        weight = rng.integers(-9, 10, (5, 3, 2, 2)).astype(np.int16)
    constants = ", ".join(constant(*item) for item in ({"w": weight} | contents).items())
    zero_point = ", zero" if layer.startswith("Integer") else ""
    model = ir.from_onnx_text(
        f"{HEAD} g ({image}) => ({outputs}) <{constants}, float three = {{3}},"
        " float low = {-0.5}, float high = {0.75}, uint8[3, 1, 1] zero = {9, 200, 0}>"
        f"{{ s = bnnkit.{layer} <{attributes}> (x, w{zero_point}) a = Cast <to = 1> (s)"
        f"  {chain} y = bnnkit.Sign (r) }}"
    )
    graph, first, sign = model.graph, model.graph[0], model.graph[-1]
    for output in graph.outputs:
        output.shape = None
    first.outputs[0].shape = ir.Shape(["N", 5, 5, 5] if column != (5,) else ["N", 5])
    first.outputs[0].type = ir.TensorType(ir.DataType.INT32)
    common.ShapeInferencePass()(model)
    for node in graph:
        set_module_path(node, "layer" if node.domain == "bnnkit" else "norm")
    set_sign_record(sign.outputs[0], SignRecord("act", "none"))
    return model


def run(model: ir.Model) -> list[NDArray[Any]]:
    rng = np.random.default_rng(4)
    for output in model.graph.outputs:
        output.shape = None
    x = model.graph.inputs[0]
    shape = (50, 3, 4, 4) if x.shape is not None and len(x.shape) == 4 else (50, 12)
    is_image = any(node.op_type.startswith("Integer") for node in model.graph)
    codes = rng.integers(0, 256, shape) if is_image else rng.choice([0, 2], shape)
    content = with_functions(model).SerializeToString()
    session = ort.InferenceSession(content, providers=["CPUExecutionProvider"])
    found: list[NDArray[Any]] = session.run(None, {"x": codes.astype(np.uint8)})
    return found


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("chain", CHAINS)
def test_layers_with_thresholds_give_the_same_signs(layer: str, chain: str) -> None:
    want = run(model_of(layer, chain))
    model = model_of(layer, chain)
    fold_thresholds(model.graph)
    remove_dead(model.graph)
    fused = layer == "BinaryConv2d"
    assert [n.op_type for n in model.graph] == (
        ["BinaryConv2dThreshold"] if fused else [layer, "Threshold"]
    )
    last = model.graph[-1]
    assert sign_record(last.outputs[0]) == SignRecord("act", "none")
    assert model.graph.initializers["layer.threshold"].shape == (
        (5,) if fused else LAYERS[layer][2]
    )
    np.testing.assert_array_equal(run(model)[0], want[0])


RISING = "b = Mul (a, three) r = Sub (b, low)"
FALLING = "b = Neg (a) r = Sub (b, low)"


@pytest.mark.parametrize(
    ("chain", "also", "after"),
    [
        (RISING, "int32[] s", ["BinaryConv2d", "Threshold"]),
        (RISING, "float[] b", ["BinaryConv2d", "Cast", "Mul", "Threshold"]),
        (FALLING, "int32[] s", ["BinaryConv2d", "Cast", "Neg", "Sub", "Sign"]),
        (FALLING, "float[] a", ["BinaryConv2d", "Cast", "Mul", "Threshold"]),
        (FALLING, "float[] b", ["BinaryConv2d", "Cast", "Mul", "Neg", "Threshold"]),
        (f"c = Mul (a, scale) {RISING.replace('(a', '(c')}", "float[] b", None),
    ],
)
def test_other_uses_of_a_sum_see_the_same_values(
    chain: str, also: str, after: list[str] | None
) -> None:
    want = run(model_of("BinaryConv2d", chain, f"uint8[] y, {also}"))
    model = model_of("BinaryConv2d", chain, f"uint8[] y, {also}")
    fold_thresholds(model.graph)
    remove_dead(model.graph)
    # In the last case, the scale that is negative on some channels takes the sign.
    expected = after or ["BinaryConv2d", "Cast", "Mul", "Mul", "Threshold"]
    assert [node.op_type for node in model.graph] == expected
    for got, value in zip(run(model), want, strict=True):
        np.testing.assert_array_equal(got, value)


def test_shared_weights_are_copied_before_they_are_negated() -> None:
    model = model_of("BinaryLinear", "r = Neg (a)")
    graph, first = model.graph, model.graph[0]
    other = ir.node("BinaryLinear", first.inputs, first.attributes, domain="bnnkit")
    graph.insert_after(first, other)
    graph.outputs.append(other.outputs[0])
    before = content_of(first, 1)
    fold_thresholds(graph)
    np.testing.assert_array_equal(content_of(other, 1), before)
    assert first.inputs[1] is not other.inputs[1]


@pytest.mark.parametrize(
    "chain",
    [
        "r = Exp (a)",
        "r = Add (a, a)",
        "b = Relu (a) c = Neg (a) r = Mul (b, c)",
        "r = Div (three, a)",
    ],
)
def test_other_chains_stay(chain: str) -> None:
    model = model_of("BinaryLinear", chain)
    fold_thresholds(model.graph)
    assert model.graph[-1].op_type == "Sign"


def test_a_sign_of_something_infinite_is_refused() -> None:
    model = model_of("BinaryLinear", "r = Mul (a, scale)")
    huge = np.full(5, np.inf, np.float32)
    model.graph.initializers["scale"].const_value = ir.Tensor(huge)
    with pytest.raises(
        UnsupportedError, match=r"finite input of layer \(Sign\), got NaN or an inf"
    ):
        fold_thresholds(model.graph)
