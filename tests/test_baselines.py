"""Every baseline computes what the reference computes; otherwise its times would prove nothing."""

import importlib.util
import sys

import numpy as np
import pytest
from artifacts import Array, ArtifactBuilder, digits_like
from onnx import TensorProto

from bnnkit.artifact.artifact import Artifact
from bnnkit.artifact.format.bits import pack_weight
from bnnkit.artifact.operators.functions import function, names
from bnnkit.bench.baselines import BASELINES, BENCHMARKED, open_benchmarked
from bnnkit.bench.benchmark import benchmark
from bnnkit.engines import open_engine
from bnnkit.engines.ort_int8 import MAX_TWO_BIT_BATCH
from bnnkit.engines.ov import OpenVino
from bnnkit.engines.rewrites.one_bit import ONE_BIT, OneBitRewrite
from bnnkit.engines.rewrites.qdq_int8 import QdqInt8Rewrite
from bnnkit.errors import MissingExtraError, UsageError

PACKAGES = {
    "onnxruntime-int8": "onnxruntime",
    "openvino-int8": "openvino",
    "openvino-1bit": "openvino",
    "lce": "larq_compute_engine",
}


@pytest.fixture(params=list(BASELINES))
def baseline(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    if importlib.util.find_spec(PACKAGES[name]) is None:
        pytest.skip(f"{PACKAGES[name]} is not installed")
    if name == "lce" and np.lib.NumpyVersion(np.__version__) >= "2.0.0":
        pytest.skip("LCE's interpreter needs NumPy below 2")
    return name


def _complete(model: Artifact) -> Artifact:
    model.model.functions.extend(function(name) for name in names())
    return model


def _digits() -> tuple[Artifact, Array]:
    model, images = digits_like()
    return _complete(model), images


def _wide() -> tuple[Artifact, Array]:
    """Padding with +1 and with 0, pooling, dense layers of whole blocks: all fast forms."""
    a = ArtifactBuilder(1)
    first_sums = a.integer_conv2d("x", 1, 32)
    signs = a.threshold(first_sums, a.rng.integers(-9000, 9000, (32, 1, 1)))
    one = a.binary_conv2d(a.pad_with_ones(signs, 1, 1, 1, 1), 32, 64)
    two = a.binary_conv2d(a.pad_with_ones(one, 1, 0, 1, 2), 64, 32)
    pooled = a.add("MaxPool", two, kernel_shape=[2, 2], strides=[2, 2])
    three = a.binary_conv2d(pooled, 32, 16, pads=(1, 1, 1, 1))
    flat = a.add("Flatten", three)
    first = a.threshold(a.binary_linear(flat, 256, 128), a.rng.integers(-20, 20, 128))
    second = a.threshold(a.binary_linear(first, 128, 24), a.rng.integers(-20, 20, 24))
    scores = a.gemm(a.to_real(second), 24, 10)
    images = a.rng.integers(0, 256, (9, 1, 8, 8)).astype(np.uint8)
    model = a.artifact((1, 8, 8), scores, dtype=TensorProto.UINT8, sizes={scores: (10,)})
    return _complete(model), images


def _residual() -> tuple[Artifact, Array]:
    """Sums that meet real numbers, groups, stride and dilation."""
    a = ArtifactBuilder(2)
    signs = a.pad_with_ones(a.sign("x"), 1, 1, 1, 1)
    sums = a.binary_conv2d(signs, 16, 16, thresholds=False)
    total = a.add("Add", a.add("Cast", sums, to=TensorProto.FLOAT), "x")
    again = a.sign(total)
    grouped = a.binary_conv2d(again, 16, 8, pads=(1, 1, 1, 1), groups=2, thresholds=False)
    shift = a.constant(a.rng.standard_normal((8, 1, 1)).astype(np.float32))
    real = a.add("Add", a.add("Cast", grouped, to=TensorProto.FLOAT), shift)
    last = a.binary_conv2d(a.sign(real), 8, 5, 2, stride=2, pads=(1, 0, 0, 1), dilation=2)
    scores = a.gemm(a.to_real(a.add("Flatten", last)), 5 * 3 * 3, 4)
    images = a.rng.standard_normal((4, 16, 7, 7)).astype(np.float32)
    images[0, :, 0] = 0
    images[1, :, 0] = -0.0
    return _complete(a.artifact((16, 7, 7), scores, sizes={scores: (4,)})), images


def _extreme_thresholds() -> tuple[Artifact, Array]:
    """Thresholds that are always or never reached, and ties."""
    a = ArtifactBuilder(3)
    weight = a.signs(8, 1, 1, 8)
    operands = [a.sign("x"), a.constant(pack_weight(weight))]
    operands.append(a.constant(np.array([-8, 9, 0, 8, -7, 1, 2, -2], np.int32)))
    window = {"strides": [1, 1], "pads": [0] * 4, "dilations": [1, 1], "group": 1}
    out = a.add("bnnkit.BinaryConv2dThreshold", *operands, weight_shape=weight.shape, **window)
    scores = a.gemm(a.to_real(a.add("Flatten", out)), 8 * 9, 3)
    images = a.rng.choice(np.array([-1, 1], np.float32), (32, 8, 3, 3))
    return _complete(a.artifact((8, 3, 3), scores, sizes={scores: (3,)})), images


NETWORKS = {
    "digits": _digits,
    "wide": _wide,
    "residual": _residual,
    "extreme thresholds": _extreme_thresholds,
}


@pytest.mark.parametrize("network", list(NETWORKS))
def test_baselines_equal_the_reference(baseline: str, network: str) -> None:
    model, images = NETWORKS[network]()
    reference, found = open_engine("reference", model), open_benchmarked(baseline, model)
    for batch in (images, images[:1]):
        (want,), (have,) = reference.run(batch), found.run(batch)
        assert have.dtype == want.dtype
        np.testing.assert_array_equal(have.argmax(1), want.argmax(1))
        np.testing.assert_allclose(have, want, rtol=0, atol=1e-4)  # order of real sums
    signs = reference.trace(images)
    traced = found.trace(images)
    assert traced
    for name, values in traced.items():
        np.testing.assert_array_equal(values, signs[name], err_msg=name)


def test_small_and_large_batches_use_different_rewrites() -> None:
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    model, images = _wide()
    assert len(images) > MAX_TWO_BIT_BATCH
    engine = open_benchmarked("onnxruntime-int8", model)
    (together,) = engine.run(images)
    alone = np.concatenate([engine.run(image[None])[0] for image in images])
    np.testing.assert_allclose(together, alone, rtol=0, atol=1e-5)


def test_threshold_needs_no_operator_of_its_own() -> None:
    model, _ = _wide()
    kinds = [node.op_type for node in QdqInt8Rewrite(model).model().graph.node]
    # The one comparison turns the last signs into real numbers.
    assert kinds.count("QuantizeLinear") == 6
    assert kinds.count("GreaterOrEqual") == 1
    assert "Pad" not in kinds
    assert "MatMul" not in kinds


def test_one_bit_rewrite_marks_the_value_outside_of_the_image() -> None:
    model, _ = _wide()
    marked = [
        n.name for n in OneBitRewrite(model).model().graph.node if n.name.startswith(ONE_BIT)
    ]
    assert [name.split(".")[1] for name in marked] == ["1", "1", "0", "-1", "-1"]


def _kernels(engine: OpenVino) -> list[tuple[str, str, str]]:
    """Kind, kernel and output precision of what OpenVINO executes."""
    found = []
    for node in engine.compile(1).get_runtime_model().get_ordered_ops():
        told = node.get_rt_info()
        keys = ("layerType", "primitiveType", "outputPrecisions")
        kind, kernel, precision = (str(told[key].astype(str)) for key in keys)
        found.append((kind, kernel, precision))
    return found


def test_openvino_uses_its_int8_kernels() -> None:
    pytest.importorskip("openvino", reason="openvino is not installed")
    engine = open_benchmarked("openvino-int8", _wide()[0])
    assert isinstance(engine, OpenVino)
    layers = [k for k in _kernels(engine) if k[0] == "Convolution"]
    assert [kernel.rpartition("_")[2] for _, kernel, _ in layers] == ["f32", "I8", "I8", "I8"]


def test_openvino_uses_its_one_bit_kernels_and_keeps_signs_packed() -> None:
    pytest.importorskip("openvino", reason="openvino is not installed")
    engine = open_benchmarked("openvino-1bit", _wide()[0])
    assert isinstance(engine, OpenVino)
    layers = [k for k in _kernels(engine) if k[0] == "BinaryConvolution"]
    assert [kernel.rpartition("_")[2] for _, kernel, _ in layers] == ["u1"] * 5
    assert layers[0][2] == "u1"  # its threshold is inside, and its output bits


def test_missing_package_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    model, _ = _digits()
    with pytest.raises(MissingExtraError, match=r"pip install 'bnnkit\[openvino\]'"):
        open_benchmarked("openvino-int8", model)
    measured = benchmark(model, engines=("bnnkit", "openvino-1bit"), seconds=0.001)
    assert [m.engine for m in measured.measurements] == ["bnnkit"]
    assert "bnnkit[openvino]" in measured.left_out["openvino-1bit"]


def test_engines_and_baselines_open_alike() -> None:
    model, _ = _digits()
    assert open_benchmarked("reference", model).name == "reference"
    assert len(set(BENCHMARKED)) == len(BENCHMARKED)
    with pytest.raises(UsageError, match="threads, got 0"):
        open_benchmarked("onnxruntime-int8", model, threads=0)
    with pytest.raises(UsageError, match="got 'tf'"):
        open_benchmarked("tf", model)
