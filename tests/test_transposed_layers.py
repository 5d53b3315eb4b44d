"""Binary transposed convolutions: the layers, and ordinary binary convolutions in their files."""

from typing import Any

import numpy as np
import pytest
import torch
from against_reference import kinds
from tflite_runs import needs_lce
from torch import Tensor, nn

import bnnkit.nn as bnn
from bnnkit.artifact.artifact import Artifact
from bnnkit.engines import open_engine
from bnnkit.errors import UsageError
from bnnkit.export.from_torch.export_onnx import from_torch
from bnnkit.verification.verify import verify

MAPS: dict[str, tuple[dict[str, Any], int]] = {
    # options, parts
    "blocks": ({"kernel_size": 2, "stride": 2}, 4),
    "overlapping": ({"kernel_size": 4, "stride": 2, "padding": 1}, 4),
    "of unequal taps": (
        {"kernel_size": 3, "stride": 2, "padding": 1, "output_padding": 1, "bias": True},
        4,
    ),
    "cut": ({"kernel_size": 3, "stride": 2, "padding": 1}, 4),
    "no stride": ({"kernel_size": 3, "padding": 1, "dilation": 1}, 1),
    "unequal strides": ({"kernel_size": (3, 4), "stride": (1, 2), "padding": (1, 1)}, 2),
    "dilated": ({"kernel_size": 3, "stride": 2, "dilation": 3, "padding": 2, "groups": 2}, 4),
}


class Decoder(nn.Module):
    """A transposed layer between signs, with a batch norm behind it."""

    def __init__(
        self, layer: nn.Module, norm: nn.Module, first: nn.Module, last: nn.Module
    ) -> None:
        super().__init__()
        self.first, self.last, self.up, self.norm = first, last, layer, norm
        self.sign, self.sign2 = bnn.Sign(noise="none"), bnn.Sign(noise="none")

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.last(self.sign2(self.norm(self.up(self.sign(self.first(x))))))
        return y


def decoder(options: dict[str, Any], n_axes: int = 2, channels: int = 6) -> Decoder:
    torch.manual_seed(0)
    conv, norm, up = (
        (nn.Conv2d, nn.BatchNorm2d, bnn.BinaryConvTranspose2d)
        if n_axes == 2
        else (nn.Conv1d, nn.BatchNorm1d, bnn.BinaryConvTranspose1d)
    )
    layer = up(4, channels, **options)
    binary = bnn.BinaryConv2d if n_axes == 2 else bnn.BinaryConv1d
    model = Decoder(layer, norm(channels), conv(3, 4, 1), binary(channels, 5, 3))
    model.train()(inputs(8, n_axes))  # so that the batch norm knows both signs
    with torch.no_grad():
        model.norm.weight[::2] *= -1  # type: ignore[index, operator]
    return model.eval()


def inputs(n: int, n_axes: int) -> Tensor:
    return torch.randn(n, 3, *(5, 6)[:n_axes])


@pytest.mark.parametrize("name", MAPS)
def test_sums_are_those_of_zeros_between_the_signs(name: str) -> None:
    """A transposed convolution is a convolution of the input with zeros between its pixels."""
    options = {**MAPS[name][0], "bias": False}
    layer = bnn.BinaryConvTranspose2d(4, 6, **options).eval()
    x = torch.where(torch.randn(2, 4, 5, 6) >= 0, 1.0, -1.0)
    want = slow(x, torch.where(layer.latent >= 0, 1.0, -1.0), options)
    assert torch.equal(layer(x), want)


def slow(x: Tensor, weight: Tensor, options: dict[str, Any]) -> Tensor:
    """Add each pixel's multiple of the kernel, one by one."""

    def pair(name: str, default: int) -> tuple[int, int]:
        given = options.get(name, default)
        return given if isinstance(given, tuple) else (given, given)

    kernel, stride, pad = pair("kernel_size", 1), pair("stride", 1), pair("padding", 0)
    dilation, more = pair("dilation", 1), pair("output_padding", 0)
    groups = options.get("groups", 1)
    full = [
        (x.shape[2 + i] - 1) * stride[i] + dilation[i] * (kernel[i] - 1) + 1 + more[i]
        for i in range(2)
    ]
    y = torch.zeros(len(x), weight.shape[1] * groups, *full)
    parts = y.chunk(groups, 1)
    for part, pixels, w in zip(parts, x.chunk(groups, 1), weight.chunk(groups, 0), strict=True):
        for row in range(x.shape[2]):
            for column in range(x.shape[3]):
                for k in range(kernel[0]):
                    for m in range(kernel[1]):
                        at = (
                            row * stride[0] + k * dilation[0],
                            column * stride[1] + m * dilation[1],
                        )
                        part[:, :, at[0], at[1]] += pixels[:, :, row, column] @ w[:, :, k, m]
    return y[:, :, pad[0] : full[0] - pad[0], pad[1] : full[1] - pad[1]]


@pytest.mark.slow
@pytest.mark.parametrize("name", MAPS)
def test_each_part_is_a_packed_layer_with_thresholds(name: str) -> None:
    options, parts = MAPS[name]
    model, x = decoder(options), inputs(3, 2)
    artifact = from_torch(model, x[:1])
    found = [node.kind for node in artifact.graph.nodes]
    assert "ConvTranspose" not in found
    assert found.count("bnnkit.BinaryConv2dThreshold") == parts
    assert verify(artifact, x.numpy(), network=model).is_equal
    assert_traces_are_equal(artifact, x)


@pytest.mark.slow
@needs_lce
def test_larq_compute_engine() -> None:
    """The parts are packed layers of LCE too, and the signs between them are the same."""
    model, x = decoder(MAPS["overlapping"][0]), inputs(3, 2)
    found = verify(from_torch(model, x[:1]), x.numpy(), network=model, with_lce=True)
    assert found.is_equal
    assert "lce" in {comparison.engine for comparison in found.comparisons}


@pytest.mark.slow
@pytest.mark.parametrize("channels", [4, 64, 70])
def test_the_runtime_copies_bits(channels: int) -> None:
    model, x = decoder({"kernel_size": 2, "stride": 2}, channels=channels), inputs(3, 2)
    artifact = from_torch(model, x[:1])
    assert kinds(artifact).count("CopySigns") == 8
    assert "NumpyOperator" not in kinds(artifact)
    assert_traces_are_equal(artifact, x)


@pytest.mark.slow
def test_sequences() -> None:
    options = {"kernel_size": 4, "stride": 2, "padding": 1}
    model, x = decoder(options, n_axes=1), inputs(3, 1)
    artifact = from_torch(model, x[:1])
    assert "ConvTranspose" not in [node.kind for node in artifact.graph.nodes]
    assert verify(artifact, x.numpy(), network=model).is_equal


def assert_traces_are_equal(artifact: Artifact, x: Tensor) -> None:
    wanted = open_engine("reference", artifact).trace(x.numpy())
    for name in ("onnxruntime", "bnnkit"):
        found = open_engine(name, artifact).trace(x.numpy())
        for signs in found.keys() & wanted.keys():
            np.testing.assert_array_equal(found[signs], wanted[signs])


@pytest.mark.slow
@pytest.mark.parametrize(
    "options", [{"kernel_size": 1, "stride": 2}, {"kernel_size": 2, "stride": 2, "padding": 1}]
)
def test_other_forms_stay_one_layer(options: dict[str, Any]) -> None:
    """A place without a kernel element, and pixels that are left out."""
    model, x = decoder(options), inputs(3, 2)
    artifact = from_torch(model, x[:1])
    assert "ConvTranspose" in [node.kind for node in artifact.graph.nodes]
    assert verify(artifact, x.numpy(), network=model).is_equal


def test_binarize() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.ConvTranspose2d(4, 4, 2, 2))
    bnn.binarize_(model, ["2"])
    weight = model.get_submodule("2").weight
    assert isinstance(weight, Tensor)
    assert set(weight.flatten().tolist()) == {-1, 1}
    assert len(list(bnn.latent_parameters(model))) == 1
    assert model(torch.randn(2, 3, 4, 4)).shape == (2, 4, 8, 8)


def test_latent_weights_are_found() -> None:
    layer = bnn.BinaryConvTranspose1d(4, 6, 3, groups=2)
    assert layer.latent.shape == (4, 3, 3)
    assert [id(p) for p in bnn.latent_parameters(layer)] == [id(layer.latent)]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"groups": 3}, "in_channels to be a positive multiple of groups=3, got 4"),
        (
            {"output_padding": 2, "stride": 2},
            r"smaller than the stride or the dilation, got \(2, 2\)",
        ),
        ({"padding": -1}, "expected padding to be one or two ints of at least 0, got -1"),
    ],
)
def test_wrong_sizes(options: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        bnn.BinaryConvTranspose2d(4, 6, 3, **options)
