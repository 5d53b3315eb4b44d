"""The signs and binary layers of a network, all with the same options."""

from collections.abc import Mapping
from typing import Any, TypedDict

from typing_extensions import Unpack

from bnnkit.nn import BinaryConv2d, BinaryLinear, Estimator, Noise, Sign, WeightRule


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
        padding_value: The value with which convolutions pad: "ones" (default) or "zeros".
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
    """Creates the signs and the binary layers of a network.

    Args:
        options: The options of the network.
    """

    def __init__(self, **options: Unpack[BinaryOptions]) -> None:
        self._options = options

    def sign(self) -> Sign:
        """Create a sign."""
        return Sign(
            self._options.get("noise", "logistic"),
            self._options.get("estimator", "st"),
            **self._options.get("estimator_options", {}),
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
            padding_value=self._options.get("padding_value", "ones"),
            **self._weights(),
        )

    def linear(self, in_features: int, out_features: int) -> BinaryLinear:
        """Create a linear layer."""
        return BinaryLinear(in_features, out_features, **self._weights())

    def _weights(self) -> dict[str, Any]:
        return {
            "noise": self._options.get("weight_noise"),
            "weight_rule": self._options.get("weight_rule", "mirror-descent"),
            "weight_rule_options": self._options.get("weight_rule_options"),
            "scale": self._options.get("weight_scale", "none"),
        }
