import json
import subprocess
import sys
from dataclasses import asdict

import onnx
import onnx.parser
import pytest
import torch
from torch import nn

import bnnkit.nn as bnn
from bnnkit.artifact.artifact import Artifact
from bnnkit.artifact.bit_planes import bit_planes
from bnnkit.artifact.format.graph_view import GraphView
from bnnkit.artifact.layer_report import LayerReport
from bnnkit.artifact.report import report
from bnnkit.cli.report_table import summary
from bnnkit.export.from_torch.export_onnx import from_torch

HEAD = '<ir_version: 10, opset_import: ["" : 21, "bnnkit" : 1]>'


def chain() -> nn.Sequential:
    return nn.Sequential(
        bnn.IntegerConv2d(1, 8, 3, padding=1, zero_point=[9]),
        nn.BatchNorm2d(8),
        bnn.Sign(),
        bnn.BinaryConv2d(8, 16, 3, padding=1, groups=2),
        nn.MaxPool2d(2),
        nn.BatchNorm2d(16),
        bnn.Sign(),
        nn.Flatten(),
        bnn.BinaryLinear(64, 5),
        bnn.Sign(),
        nn.Linear(5, 3),
    )


def test_a_chain() -> None:
    torch.manual_seed(0)
    images = torch.zeros(1, 1, 4, 4, dtype=torch.uint8)
    artifact = from_torch(chain(), images, mode="deterministic")
    size = len(artifact.model.SerializeToString())
    result = report(artifact, size)
    assert result.layers == (
        LayerReport(
            "0",
            "IntegerConv2d",
            "integer",
            "first layer: 8-bit input x 12-bit weights",
            macs=16 * 8 * 9,
            stored_bytes=8 * 9 * 2 + 1,
            ideal_bytes=8 * 9 * 2 + 1,
        ),
        LayerReport("3", "BinaryConv2dThreshold", "binary", "", 16 * 16 * 36, 72 + 64, 72 + 64),
        LayerReport("8", "BinaryLinear", "binary", "", 64 * 5, 40, 40),
        LayerReport("10", "Gemm", "float", "weights are real-valued", 15, 72, 72),
    )
    assert [(sign.name, sign.is_threshold, sign.reason) for sign in result.signs] == [
        ("2", True, "threshold on the sum of 0"),
        ("6", True, "threshold inside 3"),
        ("9", True, "threshold on the sum of 8"),
    ]
    assert result.macs == {"binary": 9216 + 320, "integer": 1152, "float": 15}
    assert result.stored_bytes == {"binary": 176, "integer": 145, "float": 72}
    constants = sum(onnx.numpy_helper.to_array(t).nbytes for t in artifact.model.graph.initializer)
    assert result.ideal_bytes == constants == result.other_bytes + 176 + 145 + 72
    assert result.file_bytes == size
    assert result.is_near_ideal_size
    assert json.loads(json.dumps(asdict(result)))["layers"][1]["kind"] == "binary"


def test_a_stochastic_chain_with_draws_of_its_weights() -> None:
    torch.manual_seed(0)
    images = torch.zeros(1, 1, 4, 4, dtype=torch.uint8)
    artifact = from_torch(chain(), images, weight_draws=3)
    result = report(artifact, len(artifact.model.SerializeToString()))
    assert [(layer.kind, layer.stored_bytes, layer.ideal_bytes) for layer in result.layers] == [
        ("integer", 145, 145),
        ("binary", 4 * 72, 4 * 72),
        ("binary", 4 * 40, 4 * 40),
        ("float", 72, 72),
    ]
    assert (result.weight_draws, result.draw_bytes) == (3, 3 * (72 + 40))
    assert summary(result)[-1] == "draws of each noisy weight: 3; 336 B"
    assert [(sign.name, sign.is_threshold, sign.noise, sign.reason) for sign in result.signs] == [
        ("2", True, "logistic", "threshold and noise on the sum of 0"),
        ("6", True, "logistic", "threshold and noise on the sum of 3"),
        ("9", True, "logistic", "threshold and noise on the sum of 8"),
    ]
    assert result.is_near_ideal_size


@pytest.mark.parametrize(
    ("module", "reason"),
    [
        (nn.Hardtanh(), "2/Clip limits it"),
        (nn.Flatten(), "Flatten 2/Flatten stands before it"),
    ],
)
def test_why_a_noisy_sign_is_of_a_real_number(module: nn.Module, reason: str) -> None:
    model = nn.Sequential(
        bnn.IntegerConv2d(1, 8, 3, zero_point=[9]), nn.BatchNorm2d(8), module, bnn.Sign("uniform")
    )
    artifact = from_torch(model, torch.zeros(1, 1, 4, 4, dtype=torch.uint8))
    (sign,) = report(artifact, 1).signs
    assert (sign.is_threshold, sign.noise) == (False, "uniform")
    assert reason in sign.reason


def layers_of(body: str) -> list[tuple[str, str, str]]:
    """Name, kind and reason of the layers of a graph on signs `x` and real `r` and `t`."""
    values = ", ".join(f"float[N, 8, 2, 2] {name}" for name in ("s", "p", "y"))
    flat = "float[N, 8] f, float[8, N] g, float[N, N] m, float[8, 8, 1, 1] u, float[8, 8, 1, 1] q"
    model = onnx.parser.parse_model(
        f"{HEAD} g (uint8[N, 8, 2, 2] x, float[N, 8, 2, 2] r, float[N, 8] t) => (float[] y)"
        f"<{values}, {flat}, float one = {{1}}, uint8 z = {{1}}, float half = {{0.5}},"
        f" float[1, 2, 1, 1] ones = {{-1, 1}}, float[2, 2] rows = {{-2, 3, 2, -3}},"
        f" float[2, 2] turned = {{-2, 2, 3, -3}},"
        f" int64[8] pads = {{0, 0, 0, 0, 0, 0, 0, 0}}, uint8[8] b = {{1, 2, 3, 4, 5, 6, 7, 8}}>"
        f"{{ s = DequantizeLinear (x, one, z) {body} }}"
    )
    for node in model.graph.node:
        node.name = node.op_type
    return [(layer.name, layer.kind, layer.reason) for layer in report(Artifact(model), 1).layers]


UNPACK = "u = bnnkit.BinaryWeight <weight_shape = [8, 1, 1, 8]> (b)"


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (f"{UNPACK} y = Conv (r, u)", "input is real-valued: no Sign stands before it"),
        (
            f"{UNPACK} p = Mul (s, half) q = Relu (p) y = Conv (q, u)",
            "Mul, Relu stand between the signs of x and this layer",
        ),
        (
            f"{UNPACK} p = AveragePool <kernel_shape = [1, 1]> (s) y = Conv (p, u)",
            "AveragePool stands between the signs of x and this layer",
        ),
        (f"{UNPACK} p = Add (s, r) y = Conv (p, u)", "stands before it (it comes from Add)"),
        ("y = Conv (s, ones)", "weights are +-1, up to a scale, but stored in float"),
        ("y = MatMul (t, rows)", "weights are +-1, up to a scale, but stored in float"),
        ("y = MatMul (t, turned)", "weights and input are real-valued"),
        (
            f"{UNPACK} p = Pad (s, pads) y = Conv (p, u)",
            "padded with a value other than -1 and +1",
        ),
        (f"{UNPACK} q = Mul (u, half) y = Conv (s, q)", "changed before the layer; scale its out"),
        (
            f'{UNPACK} y = Conv <auto_pad = "SAME_UPPER"> (s, u)',
            "no bnnkit operator has this form",
        ),
        ("g = Transpose (t) y = MatMul (t, g)", "it multiplies two activations"),
    ],
)
def test_why_a_layer_is_not_binary(body: str, reason: str) -> None:
    ((_, kind, found),) = layers_of(body)
    assert kind == "float"
    assert reason in found


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("a = Sign (r)", "it is the sign of the network's real-valued input"),
        ("b = Add (r, c) a = Sign (b)", "it is the sign of the network's real-valued input"),
        (
            "b = Add (r, r) d = Mul (b, c) a = Sign (d)",
            "Add joins two real values: a skip connection, or bit planes",
        ),
        (
            "b = Conv (r, w) d = Neg (b) a = Sign (d)",
            "it is the sign of the real-valued layer Conv",
        ),
        (
            "b = MaxPool <kernel_shape = [1, 1]> (r) d = Mul (b, c) a = Sign (d)",
            "it falls behind MaxPool on some channels, or the pool has other uses",
        ),
        (
            "i = bnnkit.BinaryConv2d (x, p) b = Cast <to = 1> (i) d = Mul (b, c) a = Sign (d)",
            "the sum of BinaryConv2d has other uses",
        ),
        ("b = Tanh (r) a = Sign (b)", "Tanh Tanh stands before it"),
    ],
)
def test_why_a_sign_is_no_threshold(body: str, reason: str) -> None:
    model = onnx.parser.parse_model(
        f"{HEAD} g (uint8[N, 8, 2, 2] x, float[N, 8, 2, 2] r) => (uint8[N, 8, 2, 2] a)"
        "<float c = {-1}, float[8, 8, 1, 1] w, uint8[8] p, float[N, 8, 2, 2] b,"
        " int32[N, 8, 2, 2] i>"
        f"{{ {body.replace('Sign', 'bnnkit.Sign')} }}"
    )
    for node in model.graph.node:
        node.name = node.op_type
    ((name, is_threshold, found),) = [
        (sign.name, sign.is_threshold, sign.reason) for sign in report(Artifact(model), 1).signs
    ]
    assert (name, is_threshold, found) == ("a", False, reason)


BEHIND_A_RELU = "+1 for every input: its numbers are never negative, as behind a ReLU"


@pytest.mark.parametrize(
    ("body", "is_constant"),
    [
        ("b = Conv (r, w) d = Relu (b) a = Sign (d)", True),
        ("d = Relu (r) b = MaxPool <kernel_shape = [1, 1]> (d) a = Sign (b)", True),
        ("d = Relu (r) b = Add (d, d) a = Sign (b)", True),
        ("d = Relu (r) b = Mul (d, c) a = Sign (b)", False),
        ("d = Relu (r) b = Add (d, r) a = Sign (b)", False),
        ("d = Relu (r) b = Sub (d, d) a = Sign (b)", False),
        ("d = Clip (r, l) b = Pad (d, k) a = Sign (b)", True),
        ("d = Clip (r, c) a = Sign (d)", False),
        ("b = Softmax (r) a = Sign (b)", True),
        ("b = Cast <to = 1> (x) a = Sign (b)", True),  # uint8
        ("b = Identity (r) a = Sign (b)", False),
        ("d = Relu (r) b = AveragePool <kernel_shape = [1, 1]> (d) a = Sign (b)", True),
        ('d = Relu (r) b = Resize <mode = "linear"> (d, , s) a = Sign (b)', True),
        ('d = Relu (r) b = Resize <mode = "cubic"> (d, , s) a = Sign (b)', False),
        ("d = Cast <to = 2> (r) b = Cast <to = 1> (d) a = Sign (b)", False),
        ("d = Relu (r) b = Cast <to = 3> (d) a = Sign (b)", False),  # 200 is -56 as int8
        ("d = Relu (r) b = Cast <to = 10> (d) a = Sign (b)", True),
        ("d = Cast <to = 6> (x) b = Cast <to = 1> (d) a = Sign (b)", True),
        ("d = Cast <to = 3> (x) b = Cast <to = 1> (d) a = Sign (b)", False),
        ("d = Clip (r, l, c) a = Sign (d)", False),
        ("d = Clip (r, l, l) a = Sign (d)", True),
        ("d = Sigmoid (r) e = Relu (r) b = Concat <axis = 1> (d, e) a = Sign (b)", True),
    ],
)
def test_signs_of_numbers_that_are_never_negative(body: str, is_constant: bool) -> None:
    model = onnx.parser.parse_model(
        f"{HEAD} g (uint8[N, 8, 2, 2] x, float[N, 8, 2, 2] r) => (uint8[N, 8, 2, 2] a)"
        "<float c = {-1}, float l = {0}, float[4] s = {1, 1, 2, 2},"
        "int64[8] k = {0,0,0,0,0,0,0,0}, float[8, 8, 1, 1] w>"
        f"{{ {body.replace('Sign', 'bnnkit.Sign')} }}"
    )
    (sign,) = report(Artifact(model), 1).signs
    assert sign.is_constant == is_constant
    assert (sign.reason == BEHIND_A_RELU) == is_constant


def test_thresholds_beyond_every_sum_are_constant() -> None:
    def with_thresholds(*limits: int) -> bool:
        model = onnx.parser.parse_model(
            f"{HEAD} g (uint8[N, 8, 2, 2] x) => (uint8[N, 2, 2, 2] a)"
            f"<uint8[2] p, int32[2] t = {{{', '.join(map(str, limits))}}}>"
            "{ a = bnnkit.BinaryConv2dThreshold <weight_shape = [2, 1, 1, 8], strides = [1, 1],"
            " pads = [0, 0, 0, 0], dilations = [1, 1], group = 1> (x, p, t) }"
        )
        (sign,) = report(Artifact(model), 1).signs
        return sign.is_constant

    assert with_thresholds(-8, -8)
    assert with_thresholds(-8, 9)
    assert not with_thresholds(-8, 8)
    assert not with_thresholds(-7, 9)


def test_transposed_layers_and_products() -> None:
    model = onnx.parser.parse_model(
        HEAD
        + """g (float[N, 4, 5, 5] x, float[6, N] t) => (float[N, 2, 7, 7] y, float[N, 3] z)
        <float[4, 2, 3, 3] w, float[6, 3] v> {
          y = ConvTranspose (x, w)
          z = Gemm <transA = 1> (t, v)
        }"""
    )
    assert [layer.macs for layer in report(Artifact(model), 1).layers] == [100 * 18, 3 * 6]


def test_shared_constants_are_counted_once() -> None:
    model = onnx.parser.parse_model(
        HEAD
        + """g (float[N, 2] x) => (float[N, 2] y) <float[2, 2] w = {1, 2, 3, 4}, float[N, 2] a> {
          a = MatMul (x, w)
          y = MatMul (a, w)
        }"""
    )
    result = report(Artifact(model), 99)
    assert [layer.stored_bytes for layer in result.layers] == [16, 0]
    assert result.ideal_bytes == 16


def test_shapes_that_the_file_lacks_are_inferred() -> None:
    model = onnx.parser.parse_model(
        HEAD
        + """g (float[N, 2] x) => (float[N, 2] y) <float[2, 2] w = {1, 2, 3, 4}> {
          a = MatMul (x, w)
          y = Relu (a)
        }"""
    )
    assert [layer.macs for layer in report(Artifact(model), 99).layers] == [4]


def test_unknown_shapes_are_unknown_operations() -> None:
    model = onnx.parser.parse_model(
        """<ir_version: 10, opset_import: ["" : 21, "strange" : 1]>
        g (float[N, 2] x) => (float[N, 2] y) <float[2, 2] w = {1, 2, 3, 4}> {
          known = MatMul (x, w)
          a = strange.Own (known)
          y = MatMul (a, w)
          b = MatMul (a, a)
        }"""
    )
    result = report(Artifact(model), 99)
    assert [layer.macs for layer in result.layers] == [4, None, None]
    assert result.macs["float"] == 4
    assert "unknown for 2 of 3 layers" in summary(result)[0]


def test_a_large_file_is_not_near_its_ideal_size() -> None:
    artifact = from_torch(nn.Linear(4, 3), torch.zeros(1, 4))
    assert report(artifact, 64_000 + 60).is_near_ideal_size
    assert not report(artifact, 64_000 + 66).is_near_ideal_size


def test_it_needs_no_torch() -> None:
    code = (
        "import sys, bnnkit.artifact.report; "
        "sys.exit('torch' in sys.modules or 'onnx_ir' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


class CountingView(GraphView):
    """Counts how often it is asked."""

    asked = 0

    def producer(self, value: str) -> onnx.NodeProto | None:
        self.asked += 1
        return super().producer(value)


def test_long_chains_of_additions_take_linear_time() -> None:
    """A file may have a hundred thousand nodes."""
    adds = "".join(f"s{n + 1} = Add (s{n}, s0) " for n in range(500))
    model = onnx.parser.parse_model(
        f"{HEAD} agraph (float[N, 4] s0) => (float[N, 4] s500) {{{adds}}}"
    )
    view = CountingView(model.graph)
    assert bit_planes(view) == {}
    assert view.asked < 10 * 500
