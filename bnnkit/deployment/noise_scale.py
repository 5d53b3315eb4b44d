"""Transfers the noise scale of an artifact to the network that it was exported from."""

import json
from copy import deepcopy

from torch import nn

from bnnkit.artifact.artifact import Artifact
from bnnkit.nn.sign import Sign, set_noise_scale


def with_noise_of(network: nn.Module, artifact: Artifact) -> nn.Module:
    """Return a copy with the artifact's noise scale, or the network itself if it has that scale.

    Args:
        network: The network that the artifact was exported from.
        artifact: The artifact; its metadata name the noise of each sign, as "logistic*0.15".
    """
    named = {sign["noise"] for sign in json.loads(artifact.metadata.get("signs", "[]"))}
    signs = [module for module in network.modules() if isinstance(module, Sign)]
    missing = named - {sign.sampled_noise.name for sign in signs} - {"none"}
    scales = {noise.rpartition("*")[2] for noise in missing if "*" in noise}
    if not artifact.is_stochastic or len(scales) != 1:
        return network
    copy = deepcopy(network)
    set_noise_scale(copy, float(scales.pop()))
    return copy
