"""The section `model` of a configuration: the network, and how it becomes binary."""

from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal

import pydantic
from pydantic import Field

from bnnkit.errors import ConfigError
from bnnkit.training.plain_yaml import load_keys

SECTION: Final = pydantic.ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
"""How sections are read: an unknown key is an error."""


class BinarizeConfig(pydantic.BaseModel):
    """How a network of convolution, batch norm and ReLU becomes binary.

    Attributes:
        weights: "binary", or "real": signs between real-valued weights.
        activation: What replaces an activation whose value goes around binary layers.
        skips: "each" adds a skip around each binary layer where shapes allow it, "own" none.
        real: Names or patterns of layers that stay real-valued.
        min_inputs: Layers with fewer inputs for each output stay real-valued too.
        noise: The noise of the signs.
        estimator: The estimator of the signs.
        estimator_options: Its options.
        weight_noise: The noise of the weights; None as in `bnnkit.nn.binarize_`.
        weight_rule: The rule of the weights.
        weight_rule_options: Its options.
    """

    model_config = SECTION

    weights: Literal["binary", "real"] = "binary"
    activation: Literal["rprelu", "none"] = "rprelu"
    skips: Literal["each", "own"] = "each"
    real: list[str] = []
    min_inputs: Annotated[int, Field(ge=0)] = 16
    noise: str = "logistic"
    estimator: str = "st"
    estimator_options: dict[str, Any] = {}
    weight_noise: str | None = None
    weight_rule: str = "mirror-descent"
    weight_rule_options: dict[str, Any] = {}


class ModelConfig(pydantic.BaseModel):
    """The network.

    Attributes:
        name: A key of `bnnkit.models.MODELS`, or your own function as "module:function" (see
            `bnnkit.training.own_model`); every other key is an option of that network, or an
            argument of that function.
        binarize: Trains the binary twin of the network (see `bnnkit.models.binary_twin`); None
            trains the network as it is.
        standardize_inputs: Whether the network subtracts the mean of the training data from real
            inputs and divides by the standard deviation, of each channel or feature. Both are
            stored in the checkpoint and in exported files.
        standardize_targets: Whether the same is undone for its outputs, real values; the loss is
            then in units of the standard deviations.
    """

    model_config = pydantic.ConfigDict(extra="allow", frozen=True, allow_inf_nan=False)

    name: str = "convnet"
    binarize: BinarizeConfig | None = None
    standardize_inputs: bool = False
    standardize_targets: bool = False

    @property
    def options(self) -> dict[str, Any]:
        """The keyword arguments of the network."""
        return dict(self.model_extra or {})


def parse_model(name: str, options: Sequence[str]) -> ModelConfig:
    """Make the section `model` from a name and options as "key=value", where the value is YAML.

    Raises:
        ConfigError: An option is wrong.
    """
    values = load_keys("", options, name)
    for key in {"name", "binarize"} & values.keys():
        raise ConfigError(f"{name}: expected arguments of the network, got {key}")
    return ModelConfig.model_validate({"name": name, **values})
