"""Plain ONNX graphs from elsewhere: layers, batch, opsets, and what is refused."""

import contextlib
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx_graphs import assert_same, dense_with_sign, network, operators, run

from bnnkit.errors import BnnkitError, FileError, UnsupportedError, UsageError
from bnnkit.export.from_onnx import convert_onnx
from bnnkit.export.from_onnx.convert import from_onnx
from bnnkit.runtime import Model

LAYERS = {
    "MatMul": ("c = MatMul(s, w)", (12, 8)),
    "Gemm": ("c = Gemm(s, w, b)", (12, 8)),
    "Gemm, transposed": ("c = Gemm<transB = 1>(s, w, b)", (8, 12)),
    "Gemm, alpha and beta": ("c = Gemm<alpha = 0.5, beta = 2.0>(s, w, b)", (12, 8)),
    "Sign of weights": ("v = Sign(w) c = MatMul(s, v)", (12, 8)),
    "compared weights": (
        "q = GreaterOrEqual(w, zero) v = Where(q, one, minus) c = MatMul(s, v)",
        (12, 8),
    ),
}


@pytest.mark.parametrize("scale", [1, 0.25])
@pytest.mark.parametrize("form", LAYERS)
def test_binary_dense_layers(form: str, scale: float) -> None:
    body, shape = LAYERS[form]
    rng = np.random.default_rng(1)
    weight = (scale * rng.choice([-1.0, 1.0], shape)).astype(np.float32)
    bias = rng.normal(size=8).astype(np.float32)
    sign = "p = GreaterOrEqual(x, zero) s = Where(p, one, minus) "
    constants = {"w": weight, "b": bias}
    source = network(sign + body, "float[N, 12] x", "float[N, 8] c", constants)
    x = rng.normal(size=(9, 12)).astype(np.float32)
    artifact = assert_same(source, x)
    assert "BinaryLinear" in operators(artifact)


CONVOLUTIONS = [
    ("", (8, 6, 3, 3)),
    ("pads = [1, 1, 1, 1], strides = [2, 2]", (8, 6, 3, 3)),
    ("pads = [2, 0, 1, 3], dilations = [2, 1]", (8, 6, 3, 2)),
    ("group = 3", (9, 2, 3, 3)),
    ('auto_pad = "SAME_UPPER", strides = [2, 2]', (8, 6, 3, 3)),
    ('auto_pad = "SAME_LOWER"', (8, 6, 2, 2)),
    ('auto_pad = "VALID"', (8, 6, 2, 2)),
]


@pytest.mark.parametrize(("options", "shape"), CONVOLUTIONS)
def test_binary_convolutions_with_scales(options: str, shape: tuple[int, ...]) -> None:
    """Scales of weights and signs that are powers of two, a bias, a pool, a norm, a sign."""
    rng = np.random.default_rng(2)
    channels = shape[0]
    scale = 2.0 ** rng.integers(-3, 3, (channels, 1, 1, 1))
    weight = (scale * rng.choice([-1.0, 1.0], shape)).astype(np.float32)
    norm = rng.normal(size=(3, channels)), rng.random(channels) + 0.1
    g, b, m, v = (row.astype(np.float32) for row in (*norm[0], norm[1]))
    body = (
        "p = GreaterOrEqual(x, t) s = Where(p, half, minus_half) "
        "k = MaxPool<kernel_shape = [2, 2]>(s) "
        f"c = Conv<{options}>(k, w, bias) ".replace("<>", "")
        + "n = BatchNormalization(c, g, b, m, v) "
        "r = MaxPool<kernel_shape = [2, 2], strides = [2, 2]>(n) "
        "q = Greater(r, zero) y = Where(q, one, minus)"
    )
    constants = {"w": weight, "bias": m + 1, "g": g, "b": b, "m": m, "v": v}
    types = ("float[N, 6, 10, 9] x", "float[N, C, H, W] y")
    source = network(body, *types, constants)
    x = rng.normal(size=(3, 6, 10, 9)).astype(np.float32)
    artifact = assert_same(source, x)
    assert {"BinaryConv2d", "BinaryConv2dThreshold"} & set(operators(artifact))
    assert "Conv" not in operators(artifact)


def test_zeros_and_ones_of_a_binary_layer_are_packed() -> None:
    """They are (sign + 1) / 2, and the layer of the ones is a constant."""
    body = "p = Greater(x, zero) s = Cast<to = 1>(p) c = MatMul(s, w)"
    weight = np.random.default_rng(0).choice([-1.0, 1.0], (12, 8)).astype(np.float32)
    source = network(body, "float[N, 12] x", "float[N, 8] c", {"w": weight})
    x = np.random.default_rng(0).normal(size=(4, 12)).astype("f")
    assert "BinaryLinear" in operators(assert_same(source, x))


RESHAPES = {
    "[1, -1]": ("c = Reshape(s, shape)", "1", np.array([1, -1])),
    "[4, -1]": ("c = Reshape(s, shape)", "4", np.array([4, -1])),
    "[-1, 24]": ("c = Reshape(s, shape)", "N", np.array([-1, 24])),
    "computed": (
        "h = Shape(s) i = Gather(h, first) j = Unsqueeze(i, shape) k = Concat<axis = 0>(j, rest) "
        "c = Reshape(s, k)",
        "N",
        np.array([0]),
    ),
}


@pytest.mark.parametrize("form", RESHAPES)
def test_the_batch_becomes_free(form: str) -> None:
    body, batch, shape = RESHAPES[form]
    sign = "p = Greater(x, zero) s = Where(p, one, minus) "
    constants = {"shape": shape, "first": np.array(0), "rest": np.array([-1])}
    end = " y = MatMul(c, w)"
    weight = np.random.default_rng(0).choice([-1.0, 1.0], (24, 5)).astype(np.float32)
    types = (f"float[{batch}, 6, 2, 2] x", f"float[{batch}, 5] y")
    source = network(sign + body + end, *types, {**constants, "w": weight})
    artifact, _ = from_onnx(source)
    x = np.random.default_rng(1).normal(size=(11, 6, 2, 2)).astype(np.float32)
    want = np.where(x > 0, 1, -1).reshape(11, 24) @ weight
    np.testing.assert_array_equal(run(artifact.model, x), want)
    np.testing.assert_array_equal(Model(artifact).run(x), want)


@pytest.mark.parametrize("opset", [9, 11, 13, 21, 22])
def test_older_and_newer_opsets(opset: int) -> None:
    body = "p = Greater(x, zero) s = Where(p, one, minus) c = MatMul(s, w)"
    weight = np.ones((12, 8), np.float32)
    source = network(body, "float[N, 12] x", "float[N, 8] c", {"w": weight}, opset=opset)
    assert_same(source, np.random.default_rng(0).normal(size=(4, 12)).astype("f"))


REFUSED = {
    "not binary": ("c = Relu(x)", "float[N, 12] x", "signs"),
    "two batches": ("c = Add(x, z)", "float[N, 12] x, float[1, 12] z", "same batch"),
    "float64": ("c = Sign(x)", "double[N, 12] x", "float32"),
    "free sizes": ("c = Sign(x)", "float[N, M] x", "fixed sizes"),
    "mixed batch": ("a = Sign(x) c = Transpose<perm = [1, 0]>(a)", "float[2, 12] x", "Transpose"),
    "one mean": ("a = Sign(x) c = ReduceMean<axes = [0]>(a)", "float[2, 12] x", "ReduceMean"),
    "other domain": ("c = qonnx.custom_op.general.Im2Col(x)", "float[N, 12] x", "Im2Col"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_converted_is_named(case: str) -> None:
    body, x, words = REFUSED[case]
    kind = "double" if "double" in x else "float"
    with pytest.raises(UnsupportedError, match=words):
        from_onnx(network(body, x, f"{kind}[N, M] c"))


def test_files_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "noise").write_bytes(b"\xff" * 100)
    (tmp_path / "empty").write_bytes(b"")
    for name in ("missing", "noise", "empty"):
        with pytest.raises(FileError, match=name):
            convert_onnx(tmp_path / name, tmp_path / "m.onnx")
    assert not (tmp_path / "m.onnx").exists()


def test_an_artifact_is_no_source(tmp_path: Path) -> None:
    onnx.save(dense_with_sign(7, 0), tmp_path / "a.onnx")
    convert_onnx(tmp_path / "a.onnx", tmp_path / "b.onnx")
    with pytest.raises(UsageError, match="an ONNX file of another tool, got an artifact"):
        convert_onnx(tmp_path / "b.onnx", tmp_path / "c.onnx")


def test_damaged_files_end_in_an_error(tmp_path: Path) -> None:
    content = bytearray(dense_with_sign(7, 0).SerializeToString())
    rng = np.random.default_rng(0)
    for _ in range(60):
        damaged = bytearray(content)
        for place in rng.integers(0, len(content), 3):
            damaged[place] = rng.integers(256)
        (tmp_path / "a.onnx").write_bytes(bytes(damaged))
        with contextlib.suppress(BnnkitError):
            convert_onnx(tmp_path / "a.onnx", tmp_path / "b.onnx")


def test_weights_in_another_file(tmp_path: Path) -> None:
    source = dense_with_sign(7, 0)
    path = tmp_path / "a.onnx"
    onnx.save(dense_with_sign(7, 0), path, save_as_external_data=True, size_threshold=0)
    found = convert_onnx(path, tmp_path / "b.onnx")
    assert [layer.kind for layer in found.artifact.layers] == ["binary"]
    assert found.source_bytes > 7 * 4 * 4
    x = np.random.default_rng(0).normal(size=(5, 7)).astype(np.float32)
    np.testing.assert_array_equal(run(onnx.load(tmp_path / "b.onnx"), x), run(source, x))


def test_the_same_source_gives_the_same_bytes() -> None:
    first, second = (from_onnx(dense_with_sign(7, 0))[0] for _ in range(2))
    assert first.model.SerializeToString(deterministic=True) == second.model.SerializeToString(
        deterministic=True
    )


def test_a_tflite_file_needs_no_conversion(tmp_path: Path) -> None:
    path = Path(__file__).parent / "data" / "lce" / "quicknet.tflite"
    with pytest.raises(FileError, match=r"got the TFLite file .*: bnnkit runs it as it is"):
        convert_onnx(path, tmp_path / "out.onnx")
