"""A batch that leaves the first axis and comes back: right for every batch, or refused by name."""

from pathlib import Path

import numpy as np
import pytest
import torch
from exporter_cache import ask_torch
from onnx_graphs import network, operators, run
from torch import Tensor, nn
from torch.nn import functional

import bnnkit.nn as bnn
from bnnkit.engines.ort import OnnxRuntime
from bnnkit.errors import UnsupportedError
from bnnkit.export import convert_onnx
from bnnkit.export.from_onnx.convert import from_onnx
from bnnkit.export.from_torch.export_onnx import from_torch
from bnnkit.export.passes.batch_place import FRONT, Place, place_in
from bnnkit.runtime import Model, load
from bnnkit.verification.verify import verify

RNG = np.random.default_rng(0)
SIGN = "p = GreaterOrEqual(a, zero) s = Where(p, one, minus) "
LAYER = f"{SIGN} c = MatMul(s, w) "
CONSTANTS = {
    "w": RNG.choice([-1.0, 1.0], (6, 9)).astype(np.float32),
    "k": RNG.choice([-1.0, 1.0], (4, 3, 3, 3)).astype(np.float32),
    "g": RNG.normal(size=9).astype(np.float32) + 2,
    "h": RNG.normal(size=9).astype(np.float32),
    "v": RNG.random(9).astype(np.float32) + 1,
    "v6": RNG.random(6).astype(np.float32) + 1,
    "flat": np.array([-1, 6]), "tokens": np.array([-1, 10, 9]),
    "halves": np.array([-1, 2, 3, 10]), "joined": np.array([-1, 10, 6]),
    "windows": np.array([-1, 2, 5, 6]), "window": np.array([-1, 5, 6]),
    "back": np.array([-1, 2, 5, 9]), "frames": np.array([-1, 3, 6, 6]),
    "unframed": np.array([-1, 2, 4, 4, 4]), "heads": np.array([10, -1, 2]),
    "n0": np.array(0), "i0": np.array([0]), "i1": np.array([1]), "i2": np.array([2]),
    "i4": np.array([4]), "i8": np.array([8]),
    "gain": RNG.normal(size=(1, 6)).astype(np.float32),
}  # fmt: skip
TOKENS = "float[N, 10, 6] x"
FORMS = {
    "rows of tokens": (
        TOKENS,
        f"a = Reshape(x, flat) {LAYER} y = Reshape(c, tokens)",
        "float[N, 10, 9] y",
    ),
    "dense layers and a batch norm of rows": (
        TOKENS,
        "r = Reshape(x, flat) m = Mul(r, gain) n = BatchNormalization(m, v6, v6, v6, v6) "
        f"a = Relu(n) {SIGN} f = Gemm<transB = 1>(s, wt, h) q = GreaterOrEqual(f, zero) "
        "d = Where(q, one, minus) y = Reshape(d, tokens)",
        "float[N, 10, 9] y",
    ),
    "time first": (
        TOKENS,
        f"a = Transpose<perm = [1, 0, 2]>(x) {LAYER} b = Add(c, h) e = Softmax<axis = -1>(b) "
        "y = Transpose<perm = [1, 0, 2]>(e)",
        "float[N, 10, 9] y",
    ),
    "one step of time first": (
        TOKENS,
        f"a = Transpose<perm = [1, 0, 2]>(x) {LAYER} y = Gather<axis = 0>(c, n0)",
        "float[N, 9] y",
    ),
    "mean of time first": (
        TOKENS,
        f"a = Transpose<perm = [1, 0, 2]>(x) {LAYER} y = ReduceMean<keepdims = 0, axes = [0]>(c)",
        "float[N, 9] y",
    ),
    "parts of time first": (
        TOKENS,
        f"a = Transpose<perm = [1, 0, 2]>(x) {LAYER} d = Slice(c, i0, i4, i2) "
        "e, f = Split<axis = 2>(d, two_two) j = Concat<axis = 0>(e, f) "
        "y = Transpose<perm = [1, 0, 2]>(j)",
        "float[N, 20, 2] y",
    ),
    "heads in the batch": (
        "float[N, 10, 6] x",
        f"a = Mul(x, half) {SIGN} c = MatMul(s, u) b = Transpose<perm = [1, 0, 2]>(c) "
        "r = Reshape(b, heads) e = Transpose<perm = [1, 0, 2]>(r) "
        "f = Transpose<perm = [0, 2, 1]>(e) m = MatMul(e, f) o = Softmax<axis = -1>(m) "
        "z = MatMul(o, e) d = Transpose<perm = [1, 0, 2]>(z) j = Reshape(d, timed) "
        "y = Transpose<perm = [1, 0, 2]>(j)",
        "float[N, 10, 6] y",
    ),
    "windows": (
        TOKENS,
        f"q = Reshape(x, windows) a = Reshape(q, window) {LAYER} y = Reshape(c, back)",
        "float[N, 2, 5, 9] y",
    ),
    "padded steps": (
        TOKENS,
        f"a = Transpose<perm = [1, 0, 2]>(x) {LAYER} d = Pad(c, sides, half) "
        'e = Pad<mode = "edge">(d, side) y = Transpose<perm = [1, 0, 2]>(e)',
        "float[N, 13, 11] y",
    ),
    "repeated steps": (
        TOKENS,
        f"a = Transpose<perm = [1, 0, 2]>(x) {LAYER} d = Tile(c, twice) "
        "y = Transpose<perm = [1, 0, 2]>(d)",
        "float[N, 20, 9] y",
    ),
    "expanded steps": (
        TOKENS,
        f"a = Transpose<perm = [1, 0, 2]>(x) {LAYER} d = Unsqueeze(c, i0) e = Expand(d, thrice) "
        "f = ReduceSum<keepdims = 0>(e, i0) y = Transpose<perm = [1, 0, 2]>(f)",
        "float[N, 10, 9] y",
    ),
    "class tokens": (
        TOKENS,
        f"a = Transpose<perm = [1, 0, 2]>(x) {LAYER} n = Shape<start = 1, end = 2>(c) "
        "l = Concat<axis = 0>(i1, n, i1) o = Expand(token, l) q = Concat<axis = 0>(o, c, o) "
        "y = Transpose<perm = [1, 0, 2]>(q)",
        "float[N, 12, 9] y",
    ),
    "running sums": (
        TOKENS,
        f"a = Transpose<perm = [1, 0, 2]>(x) {LAYER} d = CumSum<reverse = 1>(c, n0) "
        "y = Transpose<perm = [1, 0, 2]>(d)",
        "float[N, 10, 9] y",
    ),
    "places of the largest": (
        TOKENS,
        f"a = Transpose<perm = [1, 0, 2]>(x) {LAYER} d = ArgMax<axis = 2, keepdims = 0>(c) "
        "e = Cast<to = 1>(d) y = Transpose<perm = [1, 0]>(e)",
        "float[N, 10] y",
    ),
    "products by letters": (
        TOKENS,
        f"a = Transpose<perm = [1, 0, 2]>(x) {LAYER} b = Mul(c, half) "
        'd = Einsum<equation = "tnc,snc->tsn">(b, c) y = Transpose<perm = [2, 0, 1]>(d)',
        "float[N, 10, 10] y",
    ),
    "images of a film": (
        "float[N, 2, 3, 6, 6] x",
        f"q = Reshape(x, frames) a = Mul(q, half) {SIGN} c = Conv(s, k) r = Relu(c) "
        "y = Reshape(r, unframed)",
        "float[N, 2, 4, 4, 4] y",
    ),
}
MORE = {
    "wt": np.ascontiguousarray(CONSTANTS["w"].T),
    "u": RNG.choice([-1.0, 1.0], (6, 6)).astype(np.float32),
    "two_two": np.array([2, 2]),
    "timed": np.array([10, -1, 6]),
    "sides": np.array([1, 0, 0, 1, 0, 2]),
    "side": np.array([0, 0, 0, 1, 0, 0]),
    "twice": np.array([2, 1, 1]),
    "thrice": np.array([3, 1, 1, 1]),
    "token": RNG.normal(size=(1, 1, 9)).astype(np.float32),
}


@pytest.mark.parametrize("form", FORMS)
def test_the_batch_comes_back(form: str) -> None:
    x, body, y = FORMS[form]
    source = network(body, x, y, {**CONSTANTS, **MORE})
    artifact, _ = from_onnx(source)
    found = operators(artifact.model)
    assert {"BinaryConv2d", "BinaryConv2dThreshold"} & set(found)
    sizes = [int(size) for size in x.split("N, ")[1].split("]")[0].split(", ")]
    for n_images in (1, 3):
        images = RNG.normal(size=(n_images, *sizes)).astype(np.float32)
        want = run(source, images)
        np.testing.assert_allclose(run(artifact.model, images), want, rtol=0, atol=1e-6)
        np.testing.assert_allclose(Model(artifact).run(images), want, rtol=0, atol=1e-6)


def test_what_mixes_images_is_refused_by_name() -> None:
    body = (
        f"a = Transpose<perm = [1, 0, 2]>(x) {LAYER} e = Softmax<axis = 1>(c) "
        "y = Transpose<perm = [1, 0, 2]>(e)"
    )
    with pytest.raises(UnsupportedError, match=r"'a' .Transpose.* keep the batch as first axis"):
        from_onnx(network(body, TOKENS, "float[N, 10, 9] y", CONSTANTS))


@pytest.mark.parametrize(
    ("sizes", "place", "target", "expected"),
    [
        ((1, 10, 12), FRONT, (70, 12), Place(0, 1, 10)),
        ((10, 1, 12), Place(1), (70, 12), Place(0, 10, 1)),
        ((10, 1, 12), Place(1), (10, 21, 4), Place(1, 1, 3)),
        ((30, 12), Place(0, 5, 6), (5, 42, 12), Place(1, 1, 6)),
        ((10, 12), Place(0, 1, 10), (7, 10, 12), FRONT),
        ((10, 12), Place(0, 1, 10), (5, 14, 12), None),
    ],
)
def test_places_of_seven_images(
    sizes: tuple[int, ...], place: Place, target: tuple[int, ...], expected: Place | None
) -> None:
    assert place_in(sizes, place, target, 7, None) == expected


class Encoder(nn.Module):
    """Torch's own layers put the time first, and the heads into the batch."""

    def __init__(self) -> None:
        super().__init__()
        self.sign = bnn.Sign(noise="none", estimator="deterministic-st")
        self.layer = bnn.BinaryLinear(12, 12, noise="none")
        self.attention = nn.MultiheadAttention(12, 3)

    def forward(self, x: Tensor) -> Tensor:
        y = self.layer(self.sign(x)).transpose(0, 1)
        attended: Tensor = self.attention(y, y, y, need_weights=False)[0]
        return attended.transpose(0, 1)


@pytest.mark.slow
def test_attention_of_torch() -> None:
    torch.manual_seed(0)
    module, x = Encoder().eval(), torch.randn(3, 10, 12)
    artifact = from_torch(module, x)
    with torch.no_grad():
        want = module(x).numpy()
    np.testing.assert_allclose(OnnxRuntime(artifact).run(x.numpy())[0], want, rtol=0, atol=1e-5)
    np.testing.assert_allclose(Model(artifact).run(x.numpy()), want, rtol=0, atol=1e-5)


class Rows(nn.Module):
    """One binary layer of (N * T, C)."""

    def __init__(self, noise: str) -> None:
        super().__init__()
        self.sign = bnn.Sign(noise=noise)
        self.layer = bnn.BinaryLinear(12, 5, noise="none")

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.layer(self.sign(x.flatten(0, 1))).view(x.shape[0], -1, 5)
        return scores


@pytest.mark.slow
def test_noise_needs_the_batch_first() -> None:
    x = torch.randn(3, 10, 12)
    with pytest.raises(UnsupportedError, match=r"first axis of sign .Sign., which draws noise"):
        from_torch(Rows("logistic").eval(), x)
    module = Rows("logistic").eval()
    artifact = from_torch(module, x, mode="deterministic")
    with torch.no_grad():
        np.testing.assert_array_equal(Model(artifact).run(x.numpy()), module(x).numpy())
    found = verify(artifact, x.numpy(), network=module)
    assert {one.engine for one in found.comparisons} >= {"torch", "onnxruntime"}
    assert all(one.is_equal for one in found.comparisons)


class Sizes(nn.Module):
    """Plain torch, with sizes that are computed from the batch behind a transpose."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(36, 12))

    def forward(self, x: Tensor) -> Tensor:
        n, length, channels = x.shape
        weight = torch.where(self.weight >= 0, 1.0, -1.0)
        y = functional.linear(torch.where(x >= 0, 1.0, -1.0), weight)
        queries, keys, values = y.view(n, length, 3, 3, 4).permute(2, 0, 3, 1, 4)
        attended = functional.scaled_dot_product_attention(queries, keys, values)
        return attended.transpose(1, 2).reshape(n, length, channels)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of torch's older exporter
def test_files_of_the_older_exporter(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module, x = Sizes().eval(), torch.randn(3, 10, 12)
    axes = {"x": {0: "n"}}
    path = tmp_path / "a.onnx"
    ask_torch(module, (x,), path, dynamo=False, input_names=["x"], dynamic_axes=axes)
    convert_onnx(path, tmp_path / "b.onnx")
    with torch.no_grad():
        want = module(x).numpy()
    np.testing.assert_allclose(load(tmp_path / "b.onnx").run(x.numpy()), want, rtol=0, atol=1e-5)
