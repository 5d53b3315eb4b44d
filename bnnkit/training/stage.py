"""A run as a stage after another: the weights it starts from, and those it leaves as they are."""

from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from torch import Tensor, nn

from bnnkit.errors import ConfigError
from bnnkit.nn.latent_weights import latent_weights
from bnnkit.training import safetensors_file
from bnnkit.training.checkpoint import load_checkpoint


def start_from(path: Path, network: nn.Module) -> None:
    """Load the tensors of a trained network into another of the same architecture.

    Real weights of a float network become the latent weights of its binary twin, as its weight
    rule initialises them (see `WeightRule.initial_from`); their signs are kept.

    Args:
        path: A run's folder, or the checkpoint in it.
        network: The network that is to be trained.

    Raises:
        CheckpointError: The checkpoint cannot be read, or a tensor of either network has no
            counterpart of the same shape in the other.
    """
    tensors = _with_latent_weights(load_checkpoint(path).model.state_dict(), network)
    expected = network.state_dict()
    safetensors_file.check_fit(path, tensors, expected, "this run's model (start_from)")
    network.load_state_dict(tensors)


def freeze(network: nn.Module, patterns: Sequence[str]) -> None:
    """Exclude parameters from training.

    Args:
        network: The network.
        patterns: Names of parameters with the wildcards *, ? and [...], such as "features.0.*".

    Raises:
        ConfigError: A pattern matches no parameter, or nothing is left to train.
    """
    parameters = dict(network.named_parameters())
    for pattern in patterns:
        matching = [p for name, p in parameters.items() if fnmatchcase(name, pattern)]
        if not matching:
            raise ConfigError(
                f"freeze: expected patterns of parameters such as {next(iter(parameters))}, "
                f"{pattern!r} matches none"
            )
        for parameter in matching:
            parameter.requires_grad_(False)
    if not any(p.requires_grad for p in parameters.values()):
        raise ConfigError("freeze: the patterns match all parameters, so nothing can be trained")


def _with_latent_weights(tensors: dict[str, Tensor], network: nn.Module) -> dict[str, Tensor]:
    """Replace real weights by latent weights, and the state of their rule, where there are."""
    found = dict(tensors)
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    for weight, latent in latent_weights(network):
        name = names[id(latent)]
        layer = name.removesuffix("latent")
        if name not in found and f"{layer}weight" in found:
            found[name] = weight.right_inverse(found.pop(f"{layer}weight"))
            state = weight.state_dict(prefix=f"{layer}binary_weight.")
            found |= {key: tensor.clone() for key, tensor in state.items()}
    return found
