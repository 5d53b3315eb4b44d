"""Maps that become larger or smaller: Resize and ConvTranspose."""

from typing import Any

import numpy as np
import pytest
import torch
from artifacts import ArtifactBuilder
from tflite_runs import all_results, assert_equal, assert_equal_in_tflite, needs_lce, normal
from torch import nn
from torch.nn import functional

import bnnkit.nn as bnn
from bnnkit.artifact.artifact import Artifact
from bnnkit.errors import UnsupportedError
from bnnkit.export.from_torch.export_onnx import from_torch
from bnnkit.export.tflite import to_tflite

pytestmark = needs_lce

MODES = ["asymmetric", "align_corners", "half_pixel", "pytorch_half_pixel"]


def resized(
    scales: tuple[float, float] | None = None,
    sizes: tuple[int, int] | None = None,
    **attributes: Any,
) -> Artifact:
    """An artifact with one Resize of a map (5, 6, 4)."""
    a = ArtifactBuilder()
    given = ["", "", ""]
    if scales is not None:
        given[1] = a.constant(np.array([1, 1, *scales], np.float32))
    elif sizes is not None:
        given[2] = a.constant(np.array([2, 5, *sizes]))
    return a.artifact((5, 6, 4), a.add("Resize", "x", *given, **attributes))


@pytest.mark.parametrize("rounding", ["floor", "ceil", "round_prefer_floor", "round_prefer_ceil"])
@pytest.mark.parametrize(
    ("mode", "scales"),
    [
        (mode, scales)
        for mode in MODES
        for scales in ((2, 2), (3, 1), (0.5, 1.5), (0.375, 2.25))
        if mode != "align_corners" or scales[0] != 0.375  # refused
    ],
)
def test_the_nearest_pixel(rounding: str, mode: str, scales: tuple[float, float]) -> None:
    form: dict[str, Any] = {
        "nearest_mode": rounding,
        "coordinate_transformation_mode": mode,
    }
    model = resized(scales, mode="nearest", **form)
    assert_equal_in_tflite(model, normal((2, 5, 6, 4)))


@pytest.mark.parametrize("mode", ["asymmetric", "half_pixel"])
@pytest.mark.parametrize("rounding", ["floor", "ceil", "round_prefer_floor", "round_prefer_ceil"])
@pytest.mark.parametrize(("before", "scale"), [(10, 2.4), (14, 6 / 14), (10, 1.5), (9, 1 / 3)])
def test_the_nearest_pixel_is_that_of_onnxruntime_or_refused(
    before: int, scale: float, rounding: str, mode: str
) -> None:
    """It computes in float32, which decides where a place is next to the middle of two pixels."""
    onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    a = ArtifactBuilder()
    scales = a.constant(np.array([1, 1, scale, 1], np.float32))
    form = {"nearest_mode": rounding, "coordinate_transformation_mode": mode}
    model = a.artifact((1, before, 1), a.add("Resize", "x", "", scales, mode="nearest", **form))
    images = normal((1, 1, before, 1))
    session = onnxruntime.InferenceSession(model.model.SerializeToString())
    (wanted,) = session.run(None, {"x": images})
    try:
        results = list(all_results(model, images))
    except UnsupportedError as error:
        assert "engines do not agree" in str(error)  # noqa: PT017
        assert scale != 1.5
        return
    for found in results:
        np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("scales", [(2, 2), (3, 1), (0.5, 1.5), (1.5, 0.5)])
def test_linear_between_pixels(mode: str, scales: tuple[float, float]) -> None:
    model = resized(scales, mode="linear", coordinate_transformation_mode=mode)
    assert_equal_in_tflite(model, normal((2, 5, 6, 4)))


@pytest.mark.parametrize("mode", ["nearest", "linear"])
@pytest.mark.parametrize("sizes", [(7, 9), (3, 2), (12, 4)])
def test_sizes(mode: str, sizes: tuple[int, int]) -> None:
    assert_equal_in_tflite(resized(sizes=sizes, mode=mode), normal((2, 5, 6, 4)))


@pytest.mark.parametrize(
    "form",
    [
        {"scale_factor": 2},
        {"scale_factor": 2, "mode": "bilinear"},
        {"size": (9, 5), "mode": "bilinear", "align_corners": True},
        {"size": (4, 7)},
    ],
)
def test_interpolation_of_torch(form: dict[str, Any]) -> None:
    class Interpolated(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return functional.interpolate(x, **form)

    images = normal((2, 3, 6, 4))
    wanted = Interpolated()(torch.from_numpy(images)).numpy()
    for found in all_results(from_torch(Interpolated(), torch.from_numpy(images)), images):
        assert_equal(found, wanted, f"{form}")


def test_what_is_refused() -> None:
    for model, said in (
        (resized((2, 2), mode="cubic"), "expected nearest or linear without antialias, got cubic"),
        (
            resized((1.3, 2), mode="nearest", coordinate_transformation_mode="align_corners"),
            r"expected a scale that gives 6 pixels a whole size, got 1\.\d+",
        ),
        (
            resized((1.3, 2), mode="linear"),
            r"expected a scale that gives 6 pixels a whole size, got 1\.\d+",
        ),
        (
            resized((7 / 6, 2), mode="nearest"),
            "engines do not agree on the size of 6 pixels x .*",
        ),
        (
            resized((2, 2), mode="linear", coordinate_transformation_mode="half_pixel_symmetric"),
            "expected coordinates as asymmetric, .*, got half_pixel_symmetric",
        ),
    ):
        with pytest.raises(UnsupportedError, match=rf"^Resize0 \(Resize\): {said}$"):
            to_tflite(model)


CONVOLUTIONS: list[dict[str, Any]] = [
    {"kernel_size": 2, "stride": 2},
    {"kernel_size": 3, "stride": 2, "padding": 1, "output_padding": 1},
    {"kernel_size": 4, "stride": 2, "padding": 1},
    {"kernel_size": 3, "stride": 1, "padding": 1, "bias": False},
    {"kernel_size": (3, 2), "stride": (2, 3), "padding": (0, 1), "output_padding": (1, 2)},
    {"kernel_size": 1, "stride": 2, "output_padding": 1},
    {"kernel_size": 3, "stride": 2, "padding": 2, "dilation": 2},
    {"kernel_size": 3, "stride": 2, "padding": 1, "groups": 2},
]


@pytest.mark.parametrize("form", CONVOLUTIONS)
def test_transposed_convolutions_of_torch(form: dict[str, Any]) -> None:
    layer = nn.ConvTranspose2d(4, 6, **form)
    torch.manual_seed(0)
    for parameter in layer.parameters():
        nn.init.normal_(parameter)
    images = normal((2, 4, 5, 3))
    with torch.no_grad():
        wanted = layer(torch.from_numpy(images)).numpy()
    a = ArtifactBuilder()
    operands = [a.constant(parameter.detach().numpy()) for parameter in layer.parameters()]
    node = a.add(
        "ConvTranspose",
        "x",
        *operands,
        strides=layer.stride,
        pads=[*layer.padding] * 2,
        dilations=layer.dilation,
        group=layer.groups,
        output_padding=layer.output_padding,
    )
    for found in all_results(a.artifact((4, 5, 3), node), images):
        assert_equal(found, wanted, f"{form}")


class Mixed(nn.Module):
    """What torch users have beside binary layers, in one network."""

    def __init__(self) -> None:
        super().__init__()
        self.signs = nn.ModuleList(bnn.Sign(noise="none") for _ in range(4))
        self.first = bnn.BinaryConv2d(4, 66, 3, padding=1)
        self.second = bnn.BinaryConv2d(66, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(66)
        self.up = nn.ConvTranspose2d(8, 6, 2, stride=2)
        self.last = bnn.BinaryConv2d(39, 5, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        left, right = x.chunk(2, 1)
        y = self.norm(self.first(self.signs[0](left - right)))
        y = self.signs[1](y)
        y = y.reshape(-1, 3, 22, 6, 4).transpose(1, 2).flatten(1, 2)
        z = self.up(functional.gelu(self.second(y)) * 0.1)
        z = torch.where(z > 0, z, 0.3 * z)
        y = functional.interpolate(y[:, 3:36], scale_factor=2)
        scores: torch.Tensor = self.last(torch.cat([self.signs[2](z - 0.1), y], 1))
        return functional.softplus(scores).amax((2, 3))


def test_a_network_of_all_that() -> None:
    torch.manual_seed(0)
    network, images = Mixed(), normal((2, 8, 6, 4))
    for _ in range(3):
        network(torch.from_numpy(images))
    model = from_torch(network.eval(), torch.from_numpy(images))
    assert_equal_in_tflite(model, images)
