"""A run as a stage after another: the weights it starts from, and those it leaves as they are."""

from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

from torch import Tensor, nn

from bnnkit.errors import ConfigError
from bnnkit.models.twin_graph import is_added
from bnnkit.nn.latent_weights import latent_weights
from bnnkit.training import safetensors_file
from bnnkit.training.checkpoint import load_checkpoint


def start_from(path: Path, network: nn.Module) -> None:
    """Load the tensors of a trained network into another of the same architecture.

    Real weights of a float network become the latent weights of its binary twin, as its weight
    rule initialises them (see `WeightRule.initial_from`); their signs are kept. What only the twin
    has (`bnnkit.models.binary_twin`) starts as in a new network.

    Args:
        path: A run's folder, or the checkpoint in it.
        network: The network that is to be trained.

    Raises:
        CheckpointError: The checkpoint cannot be read, or a tensor of either network has no
            counterpart of the same shape in the other.
    """
    tensors = _with_latent_weights(load_checkpoint(path).model.state_dict(), network)
    expected = network.state_dict()
    if not any(map(is_added, tensors)):
        # What the binary twin of the other network has besides starts as it is.
        tensors |= {name: one for name, one in expected.items() if is_added(name)}
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
        layer, rule = _layer_and_rule(name)
        if name not in found and f"{layer}weight" in found:
            found[name] = weight.right_inverse(found.pop(f"{layer}weight"))
            state = weight.state_dict(prefix=rule)
            found |= {key: tensor.clone() for key, tensor in state.items()}
    return found


def _layer_and_rule(latent: str) -> tuple[str, str]:
    """Return the prefixes of a layer's tensors and of its weight rule's, from its latent weights.

    They are a layer's own parameter, or those of the parametrization that `binarize_` gives it.
    """
    if latent.endswith(_PARAMETRIZED):
        return latent.removesuffix(_PARAMETRIZED), f"{latent.removesuffix('original')}0."
    layer = latent.removesuffix("latent")
    return layer, f"{layer}binary_weight."


_PARAMETRIZED: Final = "parametrizations.weight.original"
