"""Networks exported as C give the bits of the runtime."""

import ctypes
from collections.abc import Sequence
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest
from artifacts import ArtifactBuilder, noisy_digits_like, noisy_real_like
from c_networks import (
    STRICT,
    Array,
    CNetwork,
    address,
    bits,
    check_bits,
    compile_c,
    in_tuple,
    needs_gcc,
)
from onnx import TensorProto

from bnnkit.artifact.artifact import Artifact
from bnnkit.runtime import Model, open_artifact
from bnnkit.runtime.c_code import export_c
from bnnkit.runtime.c_code.steps import OPERATIONS
from bnnkit.runtime.kernels import reals


@needs_gcc
def test_a_noisy_network_gives_the_bits_of_the_runtime(tmp_path: Path) -> None:
    artifact, images = noisy_digits_like()
    network = CNetwork(artifact, tmp_path, "-O1")
    check_bits(artifact, network, images[:3], [0, 1, 3])


@needs_gcc
@pytest.mark.slow
@pytest.mark.parametrize("flags", [("-DBNN_PORTABLE",), ("-mssse3",), ("-O2", "-march=native")])
def test_every_form_of_the_kernels_gives_these_bits(tmp_path: Path, flags: tuple[str]) -> None:
    for artifact, images in (noisy_digits_like(3), noisy_real_like()):
        network = CNetwork(artifact, tmp_path / str(len(images)), *flags)
        check_bits(artifact, network, images[:3], [0, 2])


def _many_forms() -> tuple[Artifact, Array]:
    """Groups, depthwise and dilated layers, real sums, pooling, chains, joined and moved maps."""
    a = ArtifactBuilder(11)
    rng = a.rng

    def conv(source: str, weight: tuple[int, ...], **attributes: object) -> str:
        numbers = a.constant(rng.standard_normal(weight).astype(np.float32))
        return a.add("Conv", source, numbers, **attributes)

    scaled = a.add(
        "Mul", a.add("Sub", "x", a.constant(np.float32(0.1))), a.constant(np.float32(3))
    )
    stem = conv(scaled, (24, 3, 3, 3), pads=[1, 1, 1, 1])
    depthwise = conv(stem, (24, 1, 3, 3), group=24, pads=[2, 2, 2, 2], dilations=[2, 2])
    slopes = a.constant(rng.random((24, 1, 1)).astype(np.float32))
    bent = a.add("PRelu", a.add("Add", stem, depthwise), slopes)
    shuffled = a.add("Reshape", bent, a.constant(np.array([0, 2, 12, 10, 10])))
    shuffled = a.add("Transpose", shuffled, perm=[0, 2, 1, 3, 4])
    shuffled = a.add("Reshape", shuffled, a.constant(np.array([0, 24, 10, 10])))
    sums = a.binary_conv2d(
        a.sign(shuffled), 24, 48, 3, groups=2, pads=(1, 1, 1, 1), thresholds=False
    )
    joined = a.add("Concat", a.add("Cast", sums, to=TensorProto.FLOAT), bent, axis=1)
    pooled = a.add("MaxPool", joined, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    mean = a.add("AveragePool", joined, kernel_shape=[2, 2], strides=[2, 2])
    window = {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}
    padded = a.add("AveragePool", joined, **window)
    beyond = {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1}
    counted = a.add("AveragePool", joined, **beyond, count_include_pad=1)
    added = a.add("Add", a.add("Sub", a.add("Add", pooled, mean), padded), counted)
    limits = [a.constant(np.float32(limit)) for limit in (-3, 5)]
    clipped = a.add("Round", a.add("Clip", added, *limits))
    flat = a.add("Flatten", a.add("Mul", clipped, a.add("GlobalAveragePool", added)))
    dense = a.gemm(flat, 72 * 25, 7)
    return a.artifact(
        (3, 10, 10), dense, a.add("Softmax", dense), a.add("Sigmoid", dense)
    ), rng.standard_normal((3, 3, 10, 10)).astype(np.float32)


@needs_gcc
@pytest.mark.slow
def test_real_layers_chains_and_moves(tmp_path: Path) -> None:
    artifact, images = _many_forms()
    network = CNetwork(artifact, tmp_path, "-O1", "-march=native")
    dense, softmax, sigmoid = in_tuple(Model(artifact).run(images))
    got_dense, got_softmax, got_sigmoid = network.run(images, (dense, softmax, sigmoid))
    np.testing.assert_array_equal(bits(got_dense), bits(dense))
    np.testing.assert_array_equal(bits(got_softmax), bits(softmax))
    # NumPy's exponential differs between CPUs, by a few units in the last place.
    np.testing.assert_allclose(got_sigmoid, sigmoid, rtol=1e-6, atol=1e-7)


def _small_groups() -> tuple[Artifact, Array]:
    """Binary convolutions of groups with few channels, to signs and sums, and with noise."""
    a = ArtifactBuilder(6)
    depthwise = a.binary_conv2d(a.sign("x"), 70, 70, 3, pads=(1, 1, 1, 1), groups=70)
    pooled = a.add("MaxPool", depthwise, kernel_shape=[2, 2], strides=[2, 2])
    more = a.binary_conv2d(pooled, 70, 140, 3, pads=(0, 1, 1, 0), groups=35, dilation=2)
    noisy = a.noisy_sum(a.binary_conv2d(more, 140, 35, (1, 2), groups=35, thresholds=False), 35, 3)
    sums = a.binary_conv2d(noisy, 35, 105, 2, groups=35, pads=(1, 0, 0, 1), thresholds=False)
    real = a.add("GlobalAveragePool", a.add("Cast", sums, to=TensorProto.FLOAT))
    images = a.rng.standard_normal((3, 70, 13, 12)).astype(np.float32)
    return a.artifact((70, 13, 12), a.gemm(a.add("Flatten", real), 105, 5)), images


def _pads() -> tuple[Artifact, Array]:
    """Padding with constants: of the image, of reals, of signs, of a vector; and negation."""
    a = ArtifactBuilder(8)

    def pad(source: str, pads: Sequence[int], *number: Any) -> str:
        numbers = [a.constant(value) for value in number]
        return a.add("Pad", source, a.constant(np.array(pads)), *numbers)

    real = pad("x", (0, 1, 1, 0, 0, 0, 2, 3), np.float32(0.25))
    minus = pad(a.sign(a.add("Neg", real)), (0, 0, 0, 2, 0, 0, 1, 0), np.uint8(0))
    sums = a.binary_conv2d(minus, 4, 9, 3, thresholds=False)
    wide = pad(a.add("Cast", sums, to=TensorProto.FLOAT), (0, 2, 0, 0, 0, 0, 0, 1))
    dense = a.gemm(a.add("Flatten", wide), 11 * 6 * 9, 5)
    images = a.rng.standard_normal((3, 3, 4, 5)).astype(np.float32)
    return a.artifact((3, 4, 5), pad(dense, (0, 1, 0, 0), np.float32(-np.inf))), images


@needs_gcc
@pytest.mark.slow
def test_padding_with_a_constant(tmp_path: Path) -> None:
    artifact, images = _pads()
    check_bits(artifact, CNetwork(artifact, tmp_path, "-O1"), images, [0])


@needs_gcc
@pytest.mark.slow
def test_integer_layer_behind_a_flattened_image(tmp_path: Path) -> None:
    a = ArtifactBuilder(9)
    flat = a.add("Flatten", "x")
    weight = a.constant(a.rng.integers(-2047, 2048, (9, 30)).astype(np.int16))
    zero_point = a.constant(a.rng.integers(0, 256, 30).astype(np.uint8))
    sums = a.add("bnnkit.IntegerLinear", flat, weight, zero_point)
    scores = a.add("Cast", sums, to=TensorProto.FLOAT)
    artifact = a.artifact((3, 2, 5), scores, dtype=TensorProto.UINT8)
    images = a.rng.integers(0, 256, (3, 3, 2, 5), np.uint8)
    check_bits(artifact, CNetwork(artifact, tmp_path, "-O1"), images, [0])


@needs_gcc
@pytest.mark.slow
@pytest.mark.parametrize("flags", [("-O2", "-march=native"), ("-O1", "-DBNN_PORTABLE")])
def test_small_groups(flags: tuple[str, ...], tmp_path: Path) -> None:
    artifact, images = _small_groups()
    network = CNetwork(artifact, tmp_path, *flags)
    assert (tmp_path / "bnn_weights.h").read_text().count("BNN_SLICED") >= 4
    check_bits(artifact, network, images, [0, 2])


@needs_gcc
@pytest.mark.slow
def test_binary_weights_with_real_activations_are_added_four_at_once(tmp_path: Path) -> None:
    a = ArtifactBuilder(2)
    packed = a.constant(a.rng.integers(0, 256, (20 * 9 * 10 + 7) // 8).astype(np.uint8))
    weight = a.add("bnnkit.BinaryWeight", packed, weight_shape=[20, 3, 3, 10])
    real = a.add("Conv", "x", weight, pads=[1, 1, 1, 1])
    artifact = a.artifact((10, 5, 4), a.gemm(a.add("Flatten", real), 20 * 20, 3))
    images = a.rng.standard_normal((2, 10, 5, 4)).astype(np.float32)
    (got,) = CNetwork(artifact, tmp_path, "-O1").run(images, in_tuple(Model(artifact).run(images)))
    dense = np.asarray(Model(artifact).run(images), np.float64)
    np.testing.assert_allclose(got, dense, rtol=1e-5, atol=1e-5)


@needs_gcc
@pytest.mark.slow
def test_each_sample_uses_its_draw_of_the_weights(tmp_path: Path) -> None:
    a = ArtifactBuilder(4)
    packed = a.constant(a.rng.integers(0, 256, (4, 30 * 16 // 8)).astype(np.uint8))
    draw = a.add("bnnkit.WeightDraw", packed, "sample")
    signs = a.stochastic_sign("x", channels=16, maps=False)
    sums = a.add("bnnkit.BinaryLinear", signs, draw, weight_shape=[30, 16])
    artifact = a.artifact((16,), a.add("Cast", sums, to=TensorProto.FLOAT))
    images = a.rng.standard_normal((3, 16)).astype(np.float32)
    check_bits(artifact, CNetwork(artifact, tmp_path, "-O1"), images, [0, 1, 2, 3, 7])


@needs_gcc
@pytest.mark.slow
def test_a_network_of_the_zoo(tmp_path: Path) -> None:
    artifact = open_artifact("zoo:cifar10-vgg-ensemble")
    network = CNetwork(artifact, tmp_path, "-O2", "-march=native")
    images = np.random.default_rng(0).integers(0, 256, (4, 3, 32, 32), np.uint8)
    check_bits(artifact, network, images, [0, 2])
    assert network.report.workspace_bytes < 100_000


@needs_gcc
@pytest.mark.slow
def test_threads_share_a_network(tmp_path: Path) -> None:
    artifact, images = noisy_digits_like()
    network = CNetwork(artifact, tmp_path, "-O1")
    like = in_tuple(Model(artifact).predict(images, samples=50, seed=1))
    (want,) = network.predict(images, like, 50, 1)
    found: list[Array] = []
    threads = [
        Thread(target=lambda: found.append(network.predict(images, like, 50, 1)[0]))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    for got in found:
        np.testing.assert_array_equal(bits(got), bits(want))


@needs_gcc
@pytest.mark.slow
def test_two_networks_fit_into_one_program(tmp_path: Path) -> None:
    first, images = noisy_digits_like(0)
    second, _ = noisy_digits_like(1)
    export_c(first, tmp_path / "a", name="first")
    export_c(second, tmp_path / "b", name="second")
    files = [tmp_path / "a/first.c", tmp_path / "b/second.c"]
    compile_c(["gcc", *STRICT, "-shared", "-fPIC", "-o", tmp_path / "both.so", *files])
    library = ctypes.CDLL(str(tmp_path / "both.so"))
    for name, artifact in (("first", first), ("second", second)):
        (want,) = in_tuple(Model(artifact).run(images[:1]))
        got = np.zeros_like(want)
        library[f"{name}_run"](address(images[0]), address(got))
        np.testing.assert_array_equal(bits(got), bits(want))


@needs_gcc
@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_random_networks(seed: int) -> None:
    from fuzz_c import check_seed

    assert check_seed(seed, "-O1", "-march=native") >= 0


def test_every_operation_of_a_chain_is_there() -> None:
    assert {*OPERATIONS} == {*range(reals.MOVE)} - {reals.CAST}
