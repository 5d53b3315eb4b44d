"""The binary parts of a network, all with the same noise, estimator and weight rule."""

from collections.abc import Mapping
from typing import Any, TypedDict, Unpack

from bnnkit.nn import BinaryConv2d, BinaryLinear, Estimator, Noise, Sign, WeightRule


class BinaryOptions(TypedDict, total=False):
    """Options that every network takes.

    Attributes:
        noise: The noise of the signs, or its name; "logistic" by default.
        weight_noise: The noise of the weights, or its name; the rule's own by default.
        estimator: The estimator of the signs, or its name; "st" by default.
        estimator_options: Of the estimator that is named.
        weight_rule: The rule of the weights, or its name; "mirror-descent" by default.
        weight_rule_options: Of the rule that is named.
        weight_scale: Of each output channel: "none" by default, "learned", or "mean-abs".
        padding_value: What convolutions pad with, "ones" by default, or "zeros".
    """

    noise: str | Noise
    weight_noise: str | Noise | None
    estimator: str | Estimator
    estimator_options: Mapping[str, Any]
    weight_rule: str | WeightRule
    weight_rule_options: Mapping[str, Any]
    weight_scale: str
    padding_value: str


class BinaryParts:
    """Makes the signs and the binary layers of a network.

    Args:
        options: Of the network.
    """

    def __init__(self, **options: Unpack[BinaryOptions]) -> None:
        self._options = options

    def sign(self) -> Sign:
        """A sign."""
        return Sign(
            self._options.get("noise", "logistic"),
            self._options.get("estimator", "st"),
            **self._options.get("estimator_options", {}),
        )

    def conv(
        self, in_channels: int, out_channels: int, kernel_size: int = 3, *, stride: int = 1
    ) -> BinaryConv2d:
        """A convolution, padded by half its kernel."""
        return BinaryConv2d(
            in_channels,
            out_channels,
            kernel_size,
            stride=stride,
            padding=kernel_size // 2,
            padding_value=self._options.get("padding_value", "ones"),
            **self._weights(),
        )

    def linear(self, in_features: int, out_features: int) -> BinaryLinear:
        """A linear layer."""
        return BinaryLinear(in_features, out_features, **self._weights())

    def _weights(self) -> dict[str, Any]:
        return {
            "noise": self._options.get("weight_noise"),
            "weight_rule": self._options.get("weight_rule", "mirror-descent"),
            "weight_rule_options": self._options.get("weight_rule_options"),
            "scale": self._options.get("weight_scale", "none"),
        }
