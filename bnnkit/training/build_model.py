"""The network of a configuration: built by its name, made binary, standardised."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

import torch
from torch import Tensor, nn

from bnnkit import models
from bnnkit.border import border
from bnnkit.data.own_code import is_own
from bnnkit.errors import ConfigError, UsageError
from bnnkit.nn.evaluating import evaluating
from bnnkit.training.model_config import BinarizeConfig, ModelConfig
from bnnkit.training.own_model import build_own


class DataDescription(Protocol):
    """What a network must know of its data: a data set, or the metadata of a checkpoint."""

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes, labels or values."""

    @property
    def input_shape(self) -> tuple[int, ...]:
        """(C, H, W), (C, T) or (F,)."""

    @property
    def input_dtype(self) -> str:
        """The dtype of the inputs, "uint8" or "float32"."""

    @property
    def zero_point(self) -> tuple[int, ...] | None:
        """The zero point of each channel of uint8 images; None for real inputs."""


def build_model(config: ModelConfig, inputs: DataDescription) -> nn.Module:
    """Build the network of a configuration, with fresh weights, for inputs as described.

    Raises:
        ConfigError: The network or an option is unknown, or it does not accept such inputs.
    """
    with _building(config, inputs):
        network = _build_plain(config, inputs)
        if config.binarize is not None:
            network = models.binary_twin(network, _example(inputs), **_options(config.binarize))
        return _standardized(network, config, inputs)


def changes_of_twin(config: ModelConfig, inputs: DataDescription) -> models.Changes:
    """Say how the binary twin of a network differs from it; arguments as for `build_model`.

    Raises:
        ConfigError: As for `build_model`, or the network does not have an output for each class.
    """
    with _building(config, inputs):
        network, options = _build_plain(config, inputs), config.binarize or BinarizeConfig()
        twin, changes = models.twin_with_changes(network, _example(inputs), **_options(options))
        with evaluating(twin):
            found, expected = tuple(twin(_example(inputs)).shape), (1, len(inputs.classes))
        if found != expected:
            raise UsageError(
                f"expected an output for each class, {expected} for one input, got {found};"
                " a function of your own gets their number if it has a parameter n_classes"
            )
        return changes


def _standardized(network: nn.Module, config: ModelConfig, inputs: DataDescription) -> nn.Module:
    if not (config.standardize_inputs or config.standardize_targets):
        return network
    if config.standardize_inputs and inputs.zero_point is not None:
        raise ConfigError(
            "standardize_inputs is for real inputs; the first layer subtracts the mean of uint8 "
            "images by itself: leave it out"
        )
    return models.Standardized(
        network,
        inputs.input_shape,
        len(inputs.classes),
        of_inputs=config.standardize_inputs,
        of_outputs=config.standardize_targets,
    )


@contextmanager
def _building(config: ModelConfig, inputs: DataDescription) -> Iterator[None]:
    """Say which network and inputs an error is about."""
    axes = {3: "(C, H, W)", 2: "(C, T)"}.get(len(inputs.input_shape), "(F,)")
    place = f"model {config.name} for inputs {axes} = {inputs.input_shape}"
    reserved = {"input_shape", "n_classes", "zero_point"} & config.options.keys()
    if reserved:
        raise ConfigError(f"{place}: {min(reserved)} comes from the data and cannot be set")
    with border(ConfigError, place):
        try:
            yield
        except UsageError as error:
            raise ConfigError(f"{place}: {error}") from error


def _build_plain(config: ModelConfig, inputs: DataDescription) -> nn.Module:
    build = build_own if is_own(config.name) else models.build
    return build(
        config.name,
        input_shape=inputs.input_shape,
        n_classes=len(inputs.classes),
        zero_point=inputs.zero_point,
        **config.options,
    )


def _example(inputs: DataDescription) -> Tensor:
    """Return one input of zeros."""
    return torch.zeros(1, *inputs.input_shape, dtype=getattr(torch, inputs.input_dtype))


def _options(config: BinarizeConfig) -> models.TwinOptions:
    options: models.TwinOptions = config.model_dump()  # type: ignore[assignment]
    return options
