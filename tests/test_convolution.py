"""Kernels against the reference, bit for bit, where they can break."""

import numpy as np
import pytest
from artifacts import Array, ArtifactBuilder
from grids import grid
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto

from bnnkit.artifact.artifact import Artifact
from bnnkit.artifact.operators.convolution import convolve
from bnnkit.artifact.reference import Reference
from bnnkit.runtime import Model

CHANNELS = [1, 31, 32, 33, 63, 64, 65, 127, 128, 129, 200]


def assert_equal_everywhere(model: Artifact, x: Array) -> None:
    """The runtime gives the reference's outputs for every number of threads."""
    want = Reference(model).run(x)
    runtime = Model(model)
    for threads in (1, 2, 3):
        got = runtime.run(x, threads=threads)
        got = got if isinstance(got, tuple) else (got,)
        for w, g in zip(want, got, strict=True):
            assert w.dtype == g.dtype
            np.testing.assert_array_equal(g, w)


def reals(a: ArtifactBuilder, batch: int, *shape: int) -> Array:
    return a.rng.standard_normal((batch, *shape)).astype(np.float32)


def both_outputs(
    a: ArtifactBuilder, source: str, inputs: int, outputs: int, kernel: int, **options: object
) -> list[str]:
    """The same kind of layer with thresholds and with integer sums."""
    return [
        a.binary_conv2d(source, inputs, outputs, kernel, thresholds=thresholds, **options)  # type: ignore[arg-type]
        for thresholds in (True, False)
    ]


@grid("inputs, outputs", CHANNELS, [1, 33, 64, 129])
def test_input_channels(inputs: int, outputs: int) -> None:
    a = ArtifactBuilder(inputs)
    outs = both_outputs(a, a.sign("x"), inputs, outputs, 3, pads=(1, 1, 1, 1))
    assert_equal_everywhere(a.artifact((inputs, 5, 6), *outs), reals(a, 2, inputs, 5, 6))


@pytest.mark.parametrize("outputs", CHANNELS)
@pytest.mark.parametrize("batch", [1, 7])
def test_output_channels_and_batch(outputs: int, batch: int) -> None:
    a = ArtifactBuilder(outputs)
    outs = both_outputs(a, a.sign("x"), 65, outputs, 2)
    assert_equal_everywhere(a.artifact((65, 4, 4), *outs), reals(a, batch, 65, 4, 4))


@pytest.mark.parametrize("kernel", [1, 2, 3, 5])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("dilation", [1, 2])
@pytest.mark.parametrize("padding", ["none", "zeros", "ones", "both"])
def test_windows(kernel: int, stride: int, dilation: int, padding: str) -> None:
    a = ArtifactBuilder(kernel)
    source = a.sign("x")
    if padding in ("ones", "both"):
        source = a.pad_with_ones(source, 1, 2, 0, 3)
    pads = (2, 0, 1, 1) if padding in ("zeros", "both") else (0, 0, 0, 0)
    outs = both_outputs(a, source, 40, 70, kernel, stride=stride, dilation=dilation, pads=pads)
    assert_equal_everywhere(a.artifact((40, 11, 9), *outs), reals(a, 2, 40, 11, 9))


@pytest.mark.parametrize("size", [(1, 1), (1, 2), (2, 2), (2, 5)])
@pytest.mark.parametrize("padding", ["zeros", "ones"])
def test_maps_smaller_than_the_kernel(size: tuple[int, int], padding: str) -> None:
    a = ArtifactBuilder(7)
    source = a.sign("x")
    if padding == "ones":
        source = a.pad_with_ones(source, 2, 2, 2, 2)
    pads = (2, 2, 2, 2) if padding == "zeros" else (0, 0, 0, 0)
    outs = both_outputs(a, source, 64, 64, 5, pads=pads)
    assert_equal_everywhere(a.artifact((64, *size), *outs), reals(a, 3, 64, *size))


@pytest.mark.parametrize(
    ("groups", "inputs", "outputs"),
    [(2, 64, 64), (2, 128, 128), (3, 99, 33), (4, 256, 256), (5, 5, 5), (8, 8, 16), (2, 130, 200)],
)
@pytest.mark.parametrize("padding", ["zeros", "ones"])
def test_groups(groups: int, inputs: int, outputs: int, padding: str) -> None:
    a = ArtifactBuilder(groups)
    source = a.sign("x")
    if padding == "ones":
        source = a.pad_with_ones(source, 1, 1, 1, 1)
    pads = (1, 1, 1, 1) if padding == "zeros" else (0, 0, 0, 0)
    outs = both_outputs(a, source, inputs, outputs, 3, groups=groups, pads=pads, dilation=2)
    assert_equal_everywhere(a.artifact((inputs, 7, 7), *outs), reals(a, 2, inputs, 7, 7))


@pytest.mark.parametrize("columns", [3, 6, 7, 11])
def test_rows_that_leave_three_pixels_or_two(columns: int) -> None:
    """Wide blocks of channels have a tile of three pixels, single vectors do not."""
    a = ArtifactBuilder(columns)
    outs = both_outputs(a, a.sign("x"), 65, 72, 3, pads=(1, 1, 1, 1), stride=1)
    pooled = a.add("MaxPool", outs[0], kernel_shape=[2, 2], strides=[2, 2])
    model = a.artifact((65, 4, columns), pooled, outs[1])
    assert_equal_everywhere(model, reals(a, 2, 65, 4, columns))


@pytest.mark.parametrize("features", CHANNELS)
@pytest.mark.parametrize("batch", [1, 7])
def test_dense(features: int, batch: int) -> None:
    a = ArtifactBuilder(features)
    source = a.sign("x")
    sums = a.binary_linear(source, features, 70)
    thresholds = a.rng.integers(-9, 9, 33).clip(-features, features + 1)
    signs = a.threshold(a.binary_linear(source, features, 33), thresholds)
    assert_equal_everywhere(a.artifact((features,), sums, signs), reals(a, batch, features))


@pytest.mark.parametrize("channels", [3, 64, 100])
def test_dense_behind_a_map_reorders_its_weights(channels: int) -> None:
    a = ArtifactBuilder(channels)
    flat = a.add("Flatten", a.sign("x"))
    sums = a.binary_linear(flat, channels * 12, 20)
    assert_equal_everywhere(a.artifact((channels, 3, 4), sums, flat), reals(a, 3, channels, 3, 4))


@pytest.mark.parametrize("ceil", [0, 1])
@pytest.mark.parametrize("pads", [[0, 0, 0, 0], [1, 0, 1, 1]])
@pytest.mark.parametrize(("size", "stride"), [([2, 2], [2, 2]), ([3, 2], [2, 1])])
def test_pooling_of_signs(ceil: int, pads: list[int], size: list[int], stride: list[int]) -> None:
    a = ArtifactBuilder(3)
    pooled = a.add(
        "MaxPool", a.sign("x"), kernel_shape=size, strides=stride, pads=pads, ceil_mode=ceil
    )
    x = reals(a, 2, 70, 7, 6) - 1  # mostly -1, so that a maximum is not always +1
    assert_equal_everywhere(a.artifact((70, 7, 6), pooled), x)


def test_thresholds_at_ties_and_at_the_ends_of_the_range() -> None:
    a = ArtifactBuilder(5)
    source = a.sign("x")
    sums = a.binary_linear(source, 9, 20)
    # Odd sums: -9, -7, ..., 9. Thresholds meet each sum, lie between, and above all (K + 1).
    outs = [sums, a.threshold(sums, np.arange(-9, 11))]
    assert_equal_everywhere(a.artifact((9,), *outs), reals(a, 64, 9))


@grid("inputs, outputs, stride", [1, 3, 4], [1, 16, 17, 65, 128], [1, 2])
def test_integer_first_layer(inputs: int, outputs: int, stride: int) -> None:
    a = ArtifactBuilder(outputs)
    sums = a.integer_conv2d("x", inputs, outputs, stride=stride)
    alone = a.integer_conv2d("x", inputs, outputs, stride=stride)
    signs = a.threshold(alone, a.rng.integers(-50000, 50000, (outputs, 1, 1)))
    x = a.rng.integers(0, 256, (3, inputs, 9, 5)).astype(np.uint8)
    model = a.artifact((inputs, 9, 5), sums, signs, dtype=TensorProto.UINT8)
    assert_equal_everywhere(model, x)


@settings(deadline=None, max_examples=25)
@given(
    seed=st.integers(0, 2**32 - 1),
    inputs=st.integers(1, 140),
    outputs=st.integers(1, 140),
    kernel=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    stride=st.integers(1, 3),
    dilation=st.integers(1, 2),
    pads=st.tuples(*[st.integers(0, 3)] * 4),
    size=st.tuples(st.integers(7, 12), st.integers(7, 12)),
    batch=st.integers(1, 3),
    thresholds=st.booleans(),
)
def test_random_layers(
    seed: int,
    inputs: int,
    outputs: int,
    kernel: tuple[int, int],
    stride: int,
    dilation: int,
    pads: tuple[int, int, int, int],
    size: tuple[int, int],
    batch: int,
    thresholds: bool,
) -> None:
    a = ArtifactBuilder(seed)
    out = a.binary_conv2d(
        a.sign("x"),
        inputs,
        outputs,
        kernel,
        stride=stride,
        pads=pads,
        dilation=dilation,
        thresholds=thresholds,
    )
    assert_equal_everywhere(a.artifact((inputs, *size), out), reals(a, batch, inputs, *size))


def test_the_reference_convolution_is_the_definition() -> None:
    rng = np.random.default_rng(0)
    x, w = rng.integers(-9, 9, (2, 4, 6, 7)), rng.integers(-9, 9, (6, 2, 3, 2))
    top, left, bottom, right = pads = [1, 2, 0, 1]
    got = convolve(x.astype(float), w.astype(float), [2, 1], pads, [1, 2], 2)
    padded = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)))
    for n, o, i, j in np.ndindex(*got.shape):
        total = 0
        for c, ky, kx in np.ndindex(*w.shape[1:]):
            total += w[o, c, ky, kx] * padded[n, o // 3 * 2 + c, 2 * i + ky, j + 2 * kx]
        assert got[n, o, i, j] == total
