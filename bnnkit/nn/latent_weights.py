"""The latent weights of a model: found, updated by their rules, replaced by what is deployed."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn.utils.parametrize import ParametrizationList
from torch.utils.hooks import RemovableHandle

from bnnkit.errors import UsageError
from bnnkit.nn.base import arguments
from bnnkit.nn.binary_layers import BinaryConvolution, BinaryLinear
from bnnkit.nn.binary_weight import BinaryWeight
from bnnkit.nn.transposed_layers import BinaryTransposedConvolution
from bnnkit.nn.weight_rules import ScheduledRule


def latent_weights(model: nn.Module) -> Iterator[tuple[BinaryWeight, nn.Parameter]]:
    """Every binary weight of a model with its latent weights, each once.

    They are those of bnnkit's binary layers, and those that `BinaryWeight`
    parametrizes, as `binarize_` does.

    Raises:
        UsageError: If the latent weights of a layer are not a parameter.
    """
    for module in model.modules():
        if isinstance(module, BinaryConvolution | BinaryTransposedConvolution | BinaryLinear):
            yield module.binary_weight, _parameter(module)
        elif isinstance(module, ParametrizationList) and isinstance(module[0], BinaryWeight):
            original = module.original
            assert isinstance(original, nn.Parameter)
            yield module[0], original


def _parameter(
    layer: BinaryConvolution | BinaryTransposedConvolution | BinaryLinear,
) -> nn.Parameter:
    latent = layer._parameters.get("latent")
    if latent is None:
        raise UsageError(
            f"expected the latent weights of a {type(layer).__name__} to be a parameter, but they"
            " are computed from others (pruning, weight_norm or another parametrization); a pruned"
            " binary weight is +1, not 0: call prune.remove or remove_parametrizations first"
        )
    return latent


def latent_parameters(model: nn.Module) -> list[nn.Parameter]:
    """The latent weights of a model, for a group of their own in an optimizer."""
    return [latent for _, latent in latent_weights(model)]


def set_progress(model: nn.Module, progress: float) -> None:
    """Tell the rules of a model how far its training is; some change with it.

    Args:
        model: Any module.
        progress: The share of the training that is done, from 0 to 1.

    Raises:
        UsageError: If the share is not a number from 0 to 1.
    """
    if arguments.real("the progress of a training", progress) > 1:
        raise UsageError(f"expected a progress from 0 to 1, got {progress!r}")
    for weight, _ in latent_weights(model):
        if isinstance(weight.rule, ScheduledRule):
            weight.rule.progress.fill_(progress)


def after_step(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Complete an update by the rules of a model; `attach_rules` does it after every step."""
    lr = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    for weight, latent in latent_weights(model):
        if id(latent) in lr:
            weight.after_step(latent.detach(), lr[id(latent)])


def attach_rules(model: nn.Module, optimizer: torch.optim.Optimizer) -> RemovableHandle:
    """Let the weight rules of a model complete each step of an optimizer.

    Rules that clip, shrink or read latent weights after a step need it: `binary-connect`,
    `projected-gradient`, `variational-bayes`, `proxquant`, `bayesbinn` and `bop`. To the others it
    does nothing.

    Args:
        model: The model that is trained.
        optimizer: Of its latent weights; any of torch.

    Returns:
        A handle whose `remove()` undoes it.
    """

    def complete(optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        after_step(model, optimizer)

    return optimizer.register_step_post_hook(complete)


@contextmanager
def deployed_latents(model: nn.Module) -> Iterator[None]:
    """Replace the latent weights in the block by numbers with the deployed signs.

    The export takes the signs of the latent weights, but some rules deploy other signs.
    """
    replaced = []
    try:
        with torch.no_grad():
            for weight, latent in latent_weights(model):
                deployed = weight.deployed_latent(latent.detach())
                if deployed.data_ptr() != latent.data_ptr():
                    replaced.append((latent, latent.data))
                    latent.data = deployed
        yield
    finally:
        for latent, data in replaced:
            latent.data = data
