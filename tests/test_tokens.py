"""Binary layers of tokens (N, T, C), of grids (N, H, W, C), and of sequences (N, C, L)."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from c_networks import CNetwork, compiler
from onnx_graphs import network, operators, run
from torch import Tensor, nn

import bnnkit.nn as bnn
from bnnkit.artifact.artifact import Artifact
from bnnkit.engines.ort import OnnxRuntime
from bnnkit.export import export_tflite
from bnnkit.export.from_onnx.convert import from_onnx
from bnnkit.export.from_torch.export_onnx import from_torch
from bnnkit.runtime import Model, load
from bnnkit.verification.verify import verify

RNG = np.random.default_rng(0)
SIGN = "p = GreaterOrEqual(a, zero) s = Where(p, one, minus) "
CONSTANTS = {
    "w": RNG.choice([-0.5, 0.5], (9, 70)).astype(np.float32),
    "v": RNG.choice([-1.0, 1.0], (70, 9)).astype(np.float32),
    "g": RNG.normal(size=70).astype(np.float32),
    "b": RNG.normal(size=70).astype(np.float32),
    "places": RNG.normal(size=(5, 9)).astype(np.float32),
}


@pytest.mark.parametrize("sizes", [(5,), (3, 5), (2, 3, 5)])
def test_two_layers_with_channels_last(sizes: tuple[int, ...]) -> None:
    """Scale, bias and sign between them are a threshold; nothing but the ends is transposed."""
    body = (
        f"a = Add(x, places) {SIGN} c = MatMul(s, w) d = Mul(c, g) e = Add(d, b) "
        "q = GreaterOrEqual(e, zero) k = Where(q, one, minus) f = MatMul(k, v) y = Add(f, x)"
    )
    shape = ", ".join(map(str, sizes))
    source = network(body, f"float[N, {shape}, 9] x", f"float[N, {shape}, 9] y", CONSTANTS)
    artifact, _ = from_onnx(source)
    found = operators(artifact.model)
    assert found.count("BinaryConv2dThreshold") == found.count("BinaryConv2d") == 1
    assert found.count("Transpose") == 2
    x = RNG.normal(size=(3, *sizes, 9)).astype(np.float32)
    want = run(source, x)
    np.testing.assert_array_equal(run(artifact.model, x), want)
    for threads in (1, 2):
        np.testing.assert_array_equal(Model(artifact).run(x, threads=threads), want)


def test_three_layers_share_the_map_of_their_input() -> None:
    """Queries, keys and values: the signs of the input are taken and packed once."""
    body = f"a = Mul(x, half) {SIGN} c = MatMul(s, w) d = MatMul(s, u) e = Mul(c, d) y = Neg(e)"
    constants = {**CONSTANTS, "u": RNG.choice([-1.0, 1.0], (9, 70)).astype(np.float32)}
    source = network(body, "float[N, 5, 9] x", "float[N, 5, 70] y", constants)
    artifact, _ = from_onnx(source)
    found = operators(artifact.model)
    assert (found.count("Sign"), found.count("BinaryConv2d"), found.count("Transpose")) == (
        1,
        2,
        2,
    )
    x = RNG.normal(size=(3, 5, 9)).astype(np.float32)
    np.testing.assert_array_equal(Model(artifact).run(x), run(source, x))


def test_transposes_between_tokens_and_sequences_are_views() -> None:
    """A batch norm of (N, C, T) between layers of (N, T, C) is part of the threshold."""
    body = (
        f"a = Mul(x, half) {SIGN} c = MatMul(s, w) h = Transpose<perm = [0, 2, 1]>(c) "
        "n = BatchNormalization(h, g, b, g, u) r = Transpose<perm = [0, 2, 1]>(n) "
        "q = GreaterOrEqual(r, zero) k = Where(q, one, minus) y = MatMul(k, v)"
    )
    constants = {**CONSTANTS, "u": RNG.random(70).astype(np.float32) + 1}
    source = network(body, "float[N, 5, 9] x", "float[N, 5, 9] y", constants)
    artifact, _ = from_onnx(source)
    assert "BinaryConv2dThreshold" in operators(artifact.model)
    x = RNG.normal(size=(3, 5, 9)).astype(np.float32)
    np.testing.assert_array_equal(Model(artifact).run(x), run(source, x))


class Tokens(nn.Module):
    """A block with a skip connection, of (N, ..., 12)."""

    def __init__(self, noise: str) -> None:
        super().__init__()
        options: dict[str, Any] = {"noise": noise}
        self.embed = nn.Linear(12, 24)
        self.sign_1, self.sign_2 = bnn.Sign(**options), bnn.Sign(**options)
        self.up = bnn.BinaryLinear(24, 70, bias=True, noise="none")
        self.down = bnn.BinaryLinear(70, 24, scale="learned", noise="none")
        self.scores = nn.Linear(24, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x)
        x = x + self.down(self.sign_2(self.up(self.sign_1(x))))
        scores: Tensor = self.scores(x.flatten(1, -2).mean(1))
        return scores


class Sequence(nn.Module):
    """Convolutions of (N, 4, L), as networks for signals have them."""

    def __init__(self, noise: str, layer: type[nn.Module] = bnn.BinaryConv1d) -> None:
        super().__init__()
        options: dict[str, Any] = {} if layer is nn.Conv1d else {"noise": "none"}
        padding: dict[str, Any] = {} if layer is nn.Conv1d else {"padding_value": "zeros"}
        self.first = nn.Conv1d(4, 32, 5, stride=2, padding=2)
        self.signs = nn.ModuleList(bnn.Sign(noise=noise) for _ in range(3))
        self.norms = nn.ModuleList(nn.BatchNorm1d(n) for n in (32, 64, 64))
        self.middle = layer(32, 64, 3, padding=1, **padding, **options)
        self.pool = nn.MaxPool1d(2)
        self.wide = layer(64, 64, 3, padding=2, dilation=2, groups=2, **options)
        self.last = layer(64, 6, 1, bias=True, **options)

    def forward(self, x: Tensor) -> Tensor:
        x = self.signs[0](self.norms[0](self.first(x)))
        x = self.signs[1](self.pool(self.norms[1](self.middle(x))))
        x = self.signs[2](self.norms[2](self.wide(x)))
        scores: Tensor = self.last(x).mean(2)
        return scores


class _Map(Sequence):
    """Without the mean over the length, which exported C lacks."""

    def forward(self, x: Tensor) -> Tensor:
        x = self.signs[0](self.norms[0](self.first(x)))
        x = self.signs[1](self.pool(self.norms[1](self.middle(x))))
        scores: Tensor = self.last(self.signs[2](self.norms[2](self.wide(x))))
        return scores


def _trained(module: nn.Module) -> nn.Module:
    generator = torch.Generator().manual_seed(0)
    for norm in (m for m in module.modules() if isinstance(m, nn.BatchNorm1d)):
        for tensor in (norm.running_mean, norm.weight, norm.bias):
            assert tensor is not None
            tensor.data.normal_(generator=generator)
    return module.eval()


def _check_engines(module: nn.Module, x: Tensor) -> Artifact:
    artifact = from_torch(module, x)
    found = verify(artifact, x.numpy(), network=module)
    assert {comparison.engine for comparison in found.comparisons} >= {"torch", "onnxruntime"}
    for comparison in found.comparisons:
        assert comparison.is_equal, comparison
        assert not comparison.uncovered
    return artifact


@pytest.mark.slow
@pytest.mark.parametrize(
    ("shape", "noise"), [((10, 12), "none"), ((2, 5, 12), "none"), ((10, 12), "logistic")]
)
def test_tokens_are_the_same_in_all_engines(shape: tuple[int, ...], noise: str) -> None:
    torch.manual_seed(0)
    artifact = _check_engines(_trained(Tokens(noise)), torch.randn(3, *shape))
    assert operators(artifact.deterministic.model).count("MatMul") <= 2


@pytest.mark.slow
@pytest.mark.parametrize("noise", ["none", "logistic"])
def test_sequences_are_the_same_in_all_engines(noise: str) -> None:
    torch.manual_seed(0)
    artifact = _check_engines(_trained(Sequence(noise)), torch.randn(3, 4, 40))
    found = operators(artifact.model)
    assert (found.count("Conv"), "BinaryWeight" in found) == (1, False)


@pytest.mark.slow
def test_binarized_layers_of_sequences_are_packed() -> None:
    torch.manual_seed(0)
    module = bnn.binarize_(
        Sequence("none", nn.Conv1d), ["middle", "wide", "last"], signs=[], noise="none"
    )
    found = operators(_check_engines(_trained(module), torch.randn(3, 4, 40)).model)
    assert (found.count("Conv"), "BinaryWeight" in found) == (1, False)


@pytest.mark.slow
def test_tflite(tmp_path: Path) -> None:
    torch.manual_seed(0)
    for module, x in (
        (Tokens("none"), torch.randn(1, 10, 12)),
        (Sequence("none"), torch.randn(1, 4, 40)),
    ):
        artifact = from_torch(_trained(module), x)
        export_tflite(artifact, tmp_path / "m.tflite")
        (want,) = OnnxRuntime(artifact).run(x.numpy())
        got = load(tmp_path / "m.tflite").run(x.numpy())
        np.testing.assert_allclose(got, want, rtol=0, atol=1e-5)


@pytest.mark.slow
@pytest.mark.skipif(compiler("gcc") is None, reason="gcc is not installed")
def test_exported_c(tmp_path: Path) -> None:
    torch.manual_seed(0)
    artifact = from_torch(_trained(_Map("none")), torch.randn(1, 4, 40))
    x = np.random.default_rng(0).normal(size=(3, 4, 40)).astype(np.float32)
    want = OnnxRuntime(artifact).run(x)[0]
    (got,) = CNetwork(artifact, tmp_path / "c").run(x, [want])
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-5)


class _Named(nn.Module):
    """Tokens whose signs are turned, in modules named as the ends of the graph would be."""

    def __init__(self) -> None:
        super().__init__()
        self.input, self.scores = bnn.Sign(noise="none"), bnn.Sign(noise="none")
        self.layer = bnn.BinaryConv1d(8, 8, 3, padding=1, noise="none")

    def forward(self, x: Tensor) -> Tensor:
        y = self.layer(self.input(x).transpose(1, 2))
        z: Tensor = y + self.scores(-x) @ self.input(y)
        return z


@pytest.mark.slow
def test_signs_of_tokens_are_compared_by_the_names_of_their_modules() -> None:
    torch.manual_seed(0)
    module, x = _Named().eval(), torch.randn(3, 8, 8)
    artifact = _check_engines(module, x)
    assert {"input", "input#2", "scores"} <= set(artifact.signs)
