"""Pooling in TFLite, in LCE's three kernels and by XNNPACK."""

from itertools import cycle
from typing import Any

import numpy as np
import pytest
import torch
from artifacts import ArtifactBuilder
from numpy.lib.stride_tricks import sliding_window_view
from tflite_runs import all_results, assert_equal, assert_equal_in_tflite, needs_lce, normal

from bnnkit.export.tflite import to_tflite

pytestmark = needs_lce


# ONNX's own reference pads unsigned integers with a minus infinity that it casts.
@pytest.mark.filterwarnings("ignore:invalid value encountered in cast:RuntimeWarning")
@pytest.mark.parametrize(
    "window",
    [
        {"kernel_shape": [2, 2], "strides": [2, 2]},
        {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]},
        {"kernel_shape": [3, 3], "strides": [1, 1], "pads": [1, 1, 1, 1]},
        {"kernel_shape": [3, 2], "strides": [2, 1], "pads": [0, 0, 1, 1]},
        {"kernel_shape": [2, 2], "strides": [2, 2], "ceil_mode": 1},
        {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1], "ceil_mode": 1},
    ],
)
@pytest.mark.parametrize("size", [(6, 7), (7, 5)])
def test_maximum(window: dict[str, object], size: tuple[int, int]) -> None:
    a = ArtifactBuilder()
    signs = a.sign("x")
    bits, numbers = a.add("MaxPool", signs, **window), a.add("MaxPool", "x", **window)
    after = a.binary_conv2d(bits, 33, 8, 2)  # would see unused bits that are set
    assert_equal_in_tflite(a.artifact((33, *size), bits, numbers, after), normal((2, 33, *size)))


@pytest.mark.parametrize("kernel", [(1, 1), (1, 3), (3, 1), (2, 3), (5, 1)])
@pytest.mark.parametrize("strides", [(1, 1), (2, 2), (3, 3), (1, 2), (2, 1), (1, 3)])
def test_rectangular_pools(kernel: tuple[int, int], strides: tuple[int, int]) -> None:
    """By NumPy, as ONNX's reference cannot do all of them."""
    images, (top, left) = normal((2, 33, 7, 8)), (kernel[0] // 2, kernel[1] // 2)
    window = {"kernel_shape": kernel, "pads": (top, left) * 2, "strides": strides}
    a = ArtifactBuilder()
    signs = a.sign("x")
    outputs = [a.add("MaxPool", x, **window) for x in ("x", signs)]
    outputs.append(a.add("AveragePool", "x", count_include_pad=1, **window))
    around = ((0, 0), (0, 0), (top, top), (left, left))
    lowest, zeros = (np.pad(images, around, constant_values=x) for x in (-np.inf, 0))
    taps, more = (
        sliding_window_view(x, (1, 1, *kernel))[:, :, :: strides[0], :: strides[1]]
        for x in (lowest, zeros)
    )
    maximum = taps.max(axis=(4, 5, 6, 7))
    wanted = [maximum, np.where(maximum >= 0, 2, 0).astype(np.uint8), more.mean(axis=(4, 5, 6, 7))]
    for found, right in zip(all_results(a.artifact((33, 7, 8), *outputs), images), cycle(wanted)):
        assert_equal(found, right, f"{window}")


AVERAGES = [
    {"kernel_size": (2, 2), "stride": (2, 2), "padding": (0, 0), "ceil_mode": True},
    {"kernel_size": (3, 3), "stride": (2, 2), "padding": (0, 0), "ceil_mode": True},
    {"kernel_size": (3, 3), "stride": (2, 2), "padding": (1, 1), "ceil_mode": False},
    {"kernel_size": (3, 3), "stride": (2, 2), "padding": (1, 1), "ceil_mode": True},
    {"kernel_size": (4, 3), "stride": (3, 2), "padding": (2, 1), "ceil_mode": True},
    {"kernel_size": (1, 2), "stride": (2, 3), "padding": (0, 1), "ceil_mode": False},
]


@pytest.mark.parametrize("size", [(7, 7), (8, 9)])
@pytest.mark.parametrize("counted", [True, False])
@pytest.mark.parametrize("form", AVERAGES)
def test_averages_of_torch(form: dict[str, Any], counted: bool, size: tuple[int, int]) -> None:
    pool = torch.nn.AvgPool2d(count_include_pad=counted, **form)
    images = normal((2, 5, *size))
    wanted = pool(torch.from_numpy(images)).numpy()
    a = ArtifactBuilder()
    window = {"kernel_shape": form["kernel_size"], "strides": form["stride"]}
    window |= {"pads": form["padding"] * 2, "ceil_mode": int(form["ceil_mode"])}
    node = a.add("AveragePool", "x", count_include_pad=int(counted), **window)
    model = a.artifact((5, *size), node)
    for found in all_results(model, images):
        assert_equal(found, wanted, f"{form}, {counted}")


def test_ceil_mode_alone_is_one_operator() -> None:
    """Whether pads count does not matter where there are none."""
    a = ArtifactBuilder()
    form = {"kernel_shape": [2, 2], "strides": [2, 2], "ceil_mode": 1, "count_include_pad": 1}
    report = to_tflite(a.artifact((3, 7, 7), a.add("AveragePool", "x", **form))).report
    assert report.operators == {"AVERAGE_POOL_2D": 1}


def test_averages_and_maxima_of_maps() -> None:
    a = ArtifactBuilder()
    pads = [1, 1, 1, 1]
    axes = a.constant(np.array([2, 3]))
    outputs = [
        a.add("GlobalAveragePool", "x"),
        a.add("GlobalMaxPool", "x"),
        a.add("AveragePool", "x", kernel_shape=[2, 2], strides=[2, 2]),
        a.add("AveragePool", "x", kernel_shape=[3, 3], pads=pads),
        a.add("AveragePool", "x", kernel_shape=[3, 3], pads=pads, count_include_pad=1),
        a.add("ReduceMean", "x", axes, keepdims=0),
    ]
    outputs.append(a.gemm(a.add("Flatten", outputs[0]), 5, 3))
    assert_equal_in_tflite(a.artifact((5, 6, 6), *outputs), normal((2, 5, 6, 6)))
