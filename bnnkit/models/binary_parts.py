"""The quantizers of activations and the binary layers of a network, all with the same options."""

from collections.abc import Mapping
from typing import Any, TypedDict

from torch import nn
from typing_extensions import Unpack

from bnnkit.errors import UsageError
from bnnkit.nn import (
    BinaryConv1d,
    BinaryConv2d,
    BinaryLinear,
    Estimator,
    Noise,
    Quantize,
    Sign,
    WeightRule,
)
from bnnkit.nn.base import arguments


class BinaryOptions(TypedDict, total=False):
    """Options of every network.

    Attributes:
        noise: The noise of the signs, or its name; "logistic" by default.
        weight_noise: The noise of the weights, or its name; by default that of the rule.
        estimator: The estimator of the signs, or its name; "st" by default.
        estimator_options: The options of an estimator given by name.
        weight_rule: The rule of the weights, or its name; "mirror-descent" by default.
        weight_rule_options: The options of a rule given by name.
        weight_scale: The scale of each output channel: "none" (default), "learned", "mean-abs".
        padding_value: The value with which convolutions pad: "ones" or "zeros"; by default zeros
            behind activations of several bits, of which 1 is not the greatest level, else ones.
        activation_bits: Bits of the activations: 1 (default) for signs; 2 to 4 for `Quantize`,
            by default with the estimator "deterministic-st" and the noise "uniform".
        activation_step: "fixed" (default), or "learned", of activations of several bits.
    """

    noise: str | Noise
    weight_noise: str | Noise | None
    estimator: str | Estimator
    estimator_options: Mapping[str, Any]
    weight_rule: str | WeightRule
    weight_rule_options: Mapping[str, Any]
    weight_scale: str
    padding_value: str
    activation_bits: int
    activation_step: str


class BinaryParts:
    """Creates the quantizers of activations and the binary layers of a network.

    Args:
        options: The options of the network.

    Raises:
        UsageError: If the number of bits is below 1, or the word for the step is unknown; if the
            step is learned, but activations have one bit.
    """

    def __init__(self, **options: Unpack[BinaryOptions]) -> None:
        self._options = options
        self._bits = arguments.integer("activation_bits", options.get("activation_bits", 1))
        self._step = options.get("activation_step", "fixed")
        arguments.choice("activation_step", self._step, ("fixed", "learned"))
        if self._bits == 1 and self._step == "learned":
            raise UsageError("activation_step: learned needs activation_bits of 2 to 4, got 1")

    def quantizer(self) -> nn.Module:
        """Create a `Sign`, or a `Quantize` if activations have several bits."""
        options = self._options.get("estimator_options", {})
        if self._bits == 1:
            noise = self._options.get("noise", "logistic")
            return Sign(noise, self._options.get("estimator", "st"), **options)
        return Quantize(
            self._bits,
            learned=self._step == "learned",
            noise=self._options.get("noise", "uniform"),
            estimator=self._options.get("estimator", "deterministic-st"),
            **options,
        )

    def conv(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 3,
        *,
        stride: int = 1,
        groups: int = 1,
    ) -> BinaryConv2d:
        """Create a convolution, padded by half its kernel."""
        return BinaryConv2d(
            in_channels,
            out_channels,
            kernel_size,
            stride=stride,
            padding=kernel_size // 2,
            groups=groups,
            padding_value=self._padding_value,
            **self._weights(),
        )

    def conv1d(
        self, in_channels: int, out_channels: int, kernel_size: int, *, stride: int = 1
    ) -> BinaryConv1d:
        """Create a convolution of sequences (N, C, T), padded by half its kernel."""
        return BinaryConv1d(
            in_channels,
            out_channels,
            kernel_size,
            stride=stride,
            padding=kernel_size // 2,
            padding_value=self._padding_value,
            **self._weights(),
        )

    def linear(self, in_features: int, out_features: int) -> BinaryLinear:
        """Create a linear layer."""
        return BinaryLinear(in_features, out_features, **self._weights())

    @property
    def _padding_value(self) -> str:
        return self._options.get("padding_value", "ones" if self._bits == 1 else "zeros")

    def _weights(self) -> dict[str, Any]:
        return {
            "noise": self._options.get("weight_noise"),
            "weight_rule": self._options.get("weight_rule", "mirror-descent"),
            "weight_rule_options": self._options.get("weight_rule_options"),
            "scale": self._options.get("weight_scale", "none"),
        }
