"""The scale and shift of torch's batch norm, to the bit."""

import numpy as np
import onnx_ir as ir
import pytest
import torch
from torch.nn import functional

from bnnkit.errors import UnsupportedError
from bnnkit.export.ir.graph import constant, set_module_path
from bnnkit.export.passes.lower_batch_norms import lower_batch_norms

HEAD = '<ir_version: 10, opset_import: ["" : 21, "bnnkit" : 1]>'
NAMES = ("weight", "bias", "mean", "variance")


def parameters(channels: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    found = {name: torch.randn(channels, generator=generator) * 3 for name in NAMES}
    found["weight"][:4] = torch.tensor([0.0, -2.0, 1e-30, -1e-30])
    found["variance"] = found["variance"].abs()
    found["variance"][4] = 0
    return found


def graph_of(rank: int, values: dict[str, torch.Tensor], epsilon: float = 1e-5) -> ir.Graph:
    shape = ["N", 33, 5, 7][:rank]
    ones = ", ".join(["1"] * 33)
    constants = ", ".join(f"float[33] {name} = {{{ones}}}" for name in NAMES)
    text = f"float[{', '.join(map(str, shape))}]"
    graph = ir.from_onnx_text(
        f"{HEAD} g ({text} x) => ({text} y) <{constants}> "
        f"{{ y = BatchNormalization <epsilon = {epsilon}> (x, {', '.join(NAMES)}) }}"
    ).graph
    for name, value in values.items():
        graph.initializers[name].const_value = ir.Tensor(value.numpy())
    set_module_path(graph[0], "norm")
    return graph


@pytest.mark.parametrize("epsilon", [1e-5, 1e-3])
@pytest.mark.parametrize("layout", ["2d", "4d", "channels last"])
def test_scale_and_shift_are_torchs(layout: str, epsilon: float) -> None:
    values = parameters(33)
    x = torch.randn(4, 33) if layout == "2d" else torch.randn(4, 33, 5, 7)
    if layout == "channels last":
        x = x.to(memory_format=torch.channels_last)
    x = x.round()
    graph = graph_of(x.dim(), values, epsilon)
    lower_batch_norms(graph)
    assert [node.op_type for node in graph] == ["Mul", "Add"]
    alpha, beta = (constant(node, 1) for node in graph)
    assert alpha.shape == beta.shape == ((33,) if layout == "2d" else (33, 1, 1))
    want = functional.batch_norm(
        x, values["mean"], values["variance"], values["weight"], values["bias"], eps=epsilon
    ).numpy()
    # Torch's kernel rounds twice, or fuses the multiplication and the addition: float64 shows it,
    # as it holds the product of two float32 exactly.
    rounded_twice = x.numpy() * alpha + beta
    fused = (x.numpy().astype(np.float64) * alpha + beta.astype(np.float64)).astype(np.float32)
    assert np.array_equal(want, rounded_twice) or np.array_equal(want, fused)


def test_alpha_is_rounded_once_at_each_step() -> None:
    values = parameters(33)
    graph = graph_of(2, values)
    lower_batch_norms(graph)
    deviation = np.sqrt(values["variance"].numpy() + np.float32(1e-5))
    want = np.float32(1) / deviation * values["weight"].numpy()
    np.testing.assert_array_equal(constant(graph[0], 1), want)


@pytest.mark.parametrize(
    ("name", "value", "epsilon", "message"),
    [
        ("weight", float("nan"), 1e-5, r"finite parameters and statistics of norm \(BatchNorm"),
        ("mean", float("inf"), 1e-5, "finite parameters"),
        ("variance", -1.0, 1e-5, "negative variance"),
        ("variance", 0.0, 0.0, "expected a finite scale of .*: a variance is 0"),
    ],
)
def test_parameters_that_cannot_be_right(
    name: str, value: float, epsilon: float, message: str
) -> None:
    values = parameters(33)
    values[name][7] = value
    with pytest.raises(UnsupportedError, match=message):
        lower_batch_norms(graph_of(2, values, epsilon))


def test_the_statistics_of_the_batch_are_refused() -> None:
    graph = ir.from_onnx_text(
        HEAD
        + """g (float[N, 3] x) => (float[N, 3] y) <float[3] one = {1, 1, 1}, int64[1] axis = {0}> {
          mean = ReduceMean <keepdims = 0> (x, axis)
          y = BatchNormalization (x, one, one, mean, one)
        }"""
    ).graph
    with pytest.raises(UnsupportedError, match="track_running_stats=True"):
        lower_batch_norms(graph)


def test_parameters_that_are_inputs_stay() -> None:
    graph = ir.from_onnx_text(
        HEAD
        + """g (float[N, 3] x, float[3] m) => (float[N, 3] y) <float[3] one = {1, 1, 1}> {
          y = BatchNormalization (x, one, one, m, one)
        }"""
    ).graph
    lower_batch_norms(graph)
    assert [node.op_type for node in graph] == ["BatchNormalization"]
