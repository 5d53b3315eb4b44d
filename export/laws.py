"""The laws by which a stochastic artifact decides its noisy signs, for torch's evaluation."""

import torch
from torch import Tensor, nn

from bnnkit.artifact.format import DOMAIN
from bnnkit.export.graph import nodes
from bnnkit.export.marked_graph import marked_graph
from bnnkit.export.passes import lower
from bnnkit.export.passes.stochastic_signs import limits_of
from bnnkit.export.stochastic import Stochastic, noises_of
from bnnkit.nn.sign_law import SignLaw


def sign_laws(model: nn.Module, example: Tensor) -> dict[int, SignLaw]:
    """The laws of the signs that compare integers, by the number of the noisy sign.

    With them `bnnkit.nn.sampling` gives the signs of the artifact, bit for bit.

    Args:
        model: As for `export_onnx`.
        example: As for `export_onnx`.

    Raises:
        UsageError, UnsupportedError: As `export_onnx`.
    """
    graph = marked_graph(model, example).graph
    lower(graph, Stochastic(noises=noises_of(model)))
    laws: dict[int, SignLaw] = {}
    for sign in nodes(graph, "StochasticSign", domain=DOMAIN):
        limits = limits_of(sign)
        if limits is not None:
            laws[sign.attributes["layer"].as_int()] = SignLaw(
                torch.from_numpy(limits.threshold),
                torch.from_numpy(limits.noise_scale),
                torch.from_numpy(limits.per_unit),
                torch.from_numpy(limits.at_zero),
            )
    return laws
