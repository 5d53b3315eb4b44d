"""First layers for uint8 images: weights on an integer grid, exact outputs on every engine."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from typing_extensions import Self

from bnnkit.artifact.format.sample import is_integer
from bnnkit.errors import UsageError
from bnnkit.nn.base import arguments
from bnnkit.nn.base.placement import Device, convert, made_on
from bnnkit.nn.conv_geometry import ConvGeometry, IntOrSizes
from bnnkit.nn.integer_grid import grid_exponent, power_of_two, round_to_grid


class _IntegerLayer(nn.Module, ABC):
    """A linear map of x - zero_point, with a grid for the weights of each output channel.

    Channels are axis 1 of input and output, and axis 0 of the weights is the output channel.
    """

    exponent: Tensor
    zero_point: Tensor
    _is_checked = False

    def __init__(
        self,
        weight_shape: tuple[int, ...],
        zero_point: int | Sequence[int],
        n_inputs: int,
        device: Device,
        dtype: torch.dtype | None,
    ) -> None:
        super().__init__()
        with made_on(device):
            self.weight = nn.Parameter(torch.empty(weight_shape))
            self.register_buffer("exponent", torch.zeros(weight_shape[0], dtype=torch.int32))
            self.register_buffer("zero_point", _zero_point(zero_point, n_inputs))
        convert(self, dtype)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Initialise weights as `torch.nn.Conv2d` and `torch.nn.Linear` do, and fit the grid."""
        nn.init.kaiming_uniform_(self.weight, a=5**0.5)
        self.refit()

    @torch.no_grad()
    def refit(self) -> None:
        """Fit the grid to the current weights."""
        self.exponent.copy_(grid_exponent(self.weight))

    def train(self, mode: bool = True) -> Self:
        """Switch between training and evaluation; refit the grid when training ends.

        The last step of the optimiser changed the weights after the last forward pass.
        """
        if self.training and not mode:
            self.refit()
        return super().train(mode)

    def integer_weight(self) -> Tensor:
        """Return the weights as integers, int16, of the shape of `weight`, from -2047 to 2047."""
        return self._on_grid().detach().to(torch.int16)

    def forward(self, x: Tensor) -> Tensor:
        """Compute step times the integer sum of weight times (x - zero_point)."""
        axes, channels = self.weight.dim(), len(self.zero_point)
        if x.dim() != axes or x.shape[1] != channels:
            raise UsageError(
                f"expected an input of {axes} axes with {channels} channels in axis 1, "
                f"got shape {tuple(x.shape)}"
            )
        if torch.onnx.is_in_onnx_export():
            return self._mark(x)
        self._check_numbers(x)
        if self.training:
            self.refit()
        with _without_autocast(x):
            sums = self._sum(x.float() - _as_channels(self.zero_point.float(), x), self._on_grid())
            y = sums * _as_channels(power_of_two(self.exponent), sums)
        return y.to(self.weight.dtype)

    def _check_numbers(self, x: Tensor) -> None:
        """Check the first floating-point input; one check is enough to find images in 0..1."""
        if self._is_checked or not x.is_floating_point() or _has_no_numbers(x):
            return
        if not bool(((x == x.round()) & (x >= 0) & (x <= 255)).all()):
            raise UsageError(
                "expected images with integers from 0 to 255, got floating-point numbers from"
                f" {x.min():g} to {x.max():g}; multiply images in 0..1 by 255 and round them"
            )
        self._is_checked = True

    def _on_grid(self) -> Tensor:
        step = power_of_two(self.exponent).view(-1, *[1] * (self.weight.dim() - 1))
        return round_to_grid(self.weight.float() / step)

    @abstractmethod
    def _sum(self, centred: Tensor, weight: Tensor) -> Tensor:
        """Compute the linear map of float32 tensors that hold integers."""

    @abstractmethod
    def _mark(self, x: Tensor) -> Tensor:
        """Return the layer's operator in an exported graph."""


class IntegerConv2d(_IntegerLayer):
    r"""Convolution of uint8 images with integer weights: the exact first layer.

    $$y = s\,\mathrm{conv}(x - z, q), \quad q = \mathrm{clip}(\mathrm{rint}(w / s), -2047, 2047)$$

    with the weights w, the zero points z, and the step $s = 2^e$ for the exponent e of the output
    channel. The grid is the finest one on which sums are below $2^{24}$ whatever the image, so the
    sums are exact in float32 in any order, in int32, and on every engine; the product with a power
    of two is exact as well. The gradient passes straight through the rounding. Computed in
    float32, also under autocast and after `.half()`.

    Input x: (N, I, H, W), uint8, or floating-point holding integers 0..255. Output: (N, O, H',
    W'), with H' and W' as in `torch.nn.Conv2d`, and the dtype of the weights: in float16 and
    bfloat16 the exact numbers are rounded. Padding adds pixels equal to the zero point.

    Args:
        in_channels: I.
        out_channels: O.
        kernel_size: Height and width of the kernel; one int for both.
        stride: Step between outputs.
        padding: Pixels added at each side; an int, or a pair (vertical, horizontal).
        dilation: Step between kernel elements.
        groups: G; I and O are multiples of it.
        zero_point: The value of each input channel that counts as 0: I ints from 0 to 255, usually
            the rounded means of the data; or one int for all channels.
        device: Where the weights are made; None is torch's default.
        dtype: Their floating-point dtype; None is torch's default, float32.

    Attributes:
        weight: (O, I/G, KH, KW).
        exponent: int32 (O,), fitted in every forward in training and when training ends.
        zero_point: uint8 (I,).

    Raises:
        UsageError: If the sizes are inconsistent, or the zero points are not I ints from 0 to
            255; in forward, the input has another number of axes or channels, or the first one
            that is floating-point does not hold integers from 0 to 255.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: IntOrSizes,
        stride: IntOrSizes = 1,
        padding: IntOrSizes = 0,
        dilation: IntOrSizes = 1,
        groups: int = 1,
        *,
        zero_point: int | Sequence[int],
        device: Device = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        geometry = ConvGeometry.of(
            in_channels, out_channels, kernel_size, stride, padding, dilation, groups
        )
        super().__init__(geometry.weight_shape, zero_point, geometry.in_channels, device, dtype)
        self.geometry = geometry

    @classmethod
    @torch.no_grad()
    def from_normalised(
        cls, layer: nn.Conv2d, mean: Sequence[float], std: Sequence[float]
    ) -> "IntegerConv2d":
        """Create the first layer of a trained network, for images that are not normalised.

        The network was trained with (x / 255 - mean) / std. Because that is (x - 255 mean) /
        (255 std), the weights are divided by 255 std, and the zero points are 255 mean, rounded.

        Args:
            layer: The first layer, without a bias, padded with zeros.
            mean: I numbers from 0 to 1.
            std: I numbers above 0.

        Raises:
            UsageError: If the layer is not such a convolution, or the numbers are not as above.
        """
        _check_first_layer(layer)
        if not len(mean) == len(std) == layer.in_channels:
            raise UsageError(
                f"expected mean and std of {layer.in_channels} channels, got {len(mean)} and "
                f"{len(std)} numbers"
            )
        if not all(0 <= m <= 1 for m in mean) or not all(s > 0 for s in std):
            raise UsageError(
                f"expected means of pixels in 0..1 and deviations above 0, got {mean} and {std}"
            )
        found = cls(
            *(layer.in_channels, layer.out_channels, layer.kernel_size),
            *(layer.stride, layer.padding, layer.dilation, layer.groups),  # type: ignore[arg-type]
            zero_point=[round(255 * m) for m in mean],
        )
        of_groups = 255 * torch.tensor(std).view(layer.groups, -1)
        scale = of_groups.repeat_interleave(layer.out_channels // layer.groups, 0)
        found.weight.copy_(layer.weight / scale[:, :, None, None])
        found.refit()
        return found.train(layer.training)

    def _sum(self, centred: Tensor, weight: Tensor) -> Tensor:
        return self.geometry.convolve(centred, weight)

    def _mark(self, x: Tensor) -> Tensor:
        geometry = self.geometry
        return torch.onnx.ops.symbolic(
            "bnnkit::IntegerConv2d",
            (x, self.weight, self.exponent, self.zero_point),
            {
                "strides": geometry.stride,
                "pads": geometry.padding * 2,
                "dilations": geometry.dilation,
                "group": geometry.groups,
            },
            dtype=torch.float32,
            shape=geometry.output_shape(x),
            version=1,
        )

    def extra_repr(self) -> str:
        """Return the arguments for print(model)."""
        point = "..." if self.zero_point.is_meta else self.zero_point.tolist()
        return f"{self.geometry}, zero_point={point}"


class IntegerLinear(_IntegerLayer):
    """Linear map of uint8 inputs with integer weights: the exact first layer of an MLP.

    y = step * w_int (x - zero_point); the grid and the gradient are those of `IntegerConv2d`.

    Input x: (N, I), uint8, or floating-point holding integers 0..255. Output: (N, O), the
    dtype of the weights.

    Args:
        in_features: I.
        out_features: O.
        zero_point: The value that counts as 0, from 0 to 255: one int, or one for each input.
        device: Where the weights are made; None is torch's default.
        dtype: Their floating-point dtype; None is torch's default, float32.

    Attributes:
        weight: (O, I).
        exponent: int32 (O,), fitted in every forward in training and when training ends.
        zero_point: uint8 (I,).

    Raises:
        UsageError: If a size is below 1, or the zero points are not ints from 0 to 255; in
            forward, the input has another shape, or as in `IntegerConv2d`.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        zero_point: int | Sequence[int],
        device: Device = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        in_features = arguments.integer("in_features", in_features)
        out_features = arguments.integer("out_features", out_features)
        super().__init__((out_features, in_features), zero_point, in_features, device, dtype)

    def _sum(self, centred: Tensor, weight: Tensor) -> Tensor:
        return functional.linear(centred, weight)

    def _mark(self, x: Tensor) -> Tensor:
        return torch.onnx.ops.symbolic(
            "bnnkit::IntegerLinear",
            (x, self.weight, self.exponent, self.zero_point),
            dtype=torch.float32,
            shape=(x.shape[0], self.weight.shape[0]),
            version=1,
        )

    def extra_repr(self) -> str:
        """Return the sizes for print(model)."""
        out_features, in_features = self.weight.shape
        return f"{in_features}, {out_features}"


def _without_autocast(x: Tensor) -> AbstractContextManager[object]:
    # There is no autocast for the device "meta".
    return nullcontext() if x.is_meta else torch.autocast(x.device.type, enabled=False)


def _has_no_numbers(x: Tensor) -> bool:
    """Whether a tensor only stands for others: on "meta", compiled, or in `torch.func`."""
    return (
        torch.compiler.is_compiling() or x.is_meta or torch._C._are_functorch_transforms_active()
    )


def _as_channels(values: Tensor, like: Tensor) -> Tensor:
    """Reshape values (C,) to broadcast along axis 1 of `like` (N, C, ...)."""
    return values.view(-1, *[1] * (like.dim() - 2))


def _check_first_layer(layer: object) -> None:
    if not isinstance(layer, nn.Conv2d):
        raise UsageError(f"expected a torch.nn.Conv2d, got {type(layer).__name__}")
    if layer.bias is not None:
        raise UsageError(
            "expected a first layer without a bias, with a batch norm behind it; move the bias "
            "into the batch norm"
        )
    if layer.padding_mode != "zeros" or isinstance(layer.padding, str):
        raise UsageError(
            "expected a first layer padded with zeros by a number of pixels, got padding "
            f"{layer.padding!r} with mode {layer.padding_mode!r}"
        )


def _zero_point(values: int | Sequence[int], n_inputs: int) -> Tensor:
    """The zero points as a tensor; one int stands for all inputs."""
    several = isinstance(values, Iterable) and not arguments.is_scalar(values)
    points: list[Any] = list(values) if several else [values] * n_inputs  # type: ignore[arg-type]
    if len(points) != n_inputs:
        raise UsageError(f"expected {n_inputs} zero points, one for each input, got {len(points)}")
    for point in points:
        if not (is_integer(point) and 0 <= point <= 255):
            raise UsageError(f"expected zero points that are ints from 0 to 255, got {point!r}")
    return torch.tensor([int(point) for point in points], dtype=torch.uint8)
