"""The thresholds of a stochastic artifact's integer sums, for evaluation in torch.

Batch norm in torch rounds, so its evaluation can differ from the artifact at a threshold; with
these thresholds it compares the same integers, and gives the same bits.
"""

import torch
from torch import nn

from bnnkit.artifact.format.constants import DOMAIN
from bnnkit.export.from_torch.marked_graph import marked_graph
from bnnkit.export.from_torch.plain_arguments import Example, plain_inputs, plain_model
from bnnkit.export.ir.graph import nodes
from bnnkit.export.passes.compare_with_noise import noisy_thresholds_of
from bnnkit.export.passes.lower import lower
from bnnkit.export.passes.noise_model import NoiseModel, noises_of
from bnnkit.nn.noisy_threshold import NoisyThreshold


def noisy_thresholds(model: nn.Module, example: Example) -> dict[int, NoisyThreshold]:
    """The noisy thresholds of all signs of integer sums, by the number of the sign.

    Signs with noise are numbered in the order of the forward pass, from 0. Pass the result to
    `bnnkit.nn.sampling` to get the signs of the artifact, bit for bit.

    Args:
        model: As for `export_onnx`.
        example: As for `export_onnx`.

    Raises:
        UsageError: As `export_onnx`.
        UnsupportedError: As `export_onnx`.
    """
    model = plain_model(model)
    marked = marked_graph(model, plain_inputs(example, "an example", model))
    lower(marked, NoiseModel(noises=noises_of(model)))
    found: dict[int, NoisyThreshold] = {}
    for sign in nodes(marked.graph, "StochasticSign", domain=DOMAIN):
        thresholds = noisy_thresholds_of(sign)
        if thresholds is not None:
            found[sign.attributes["layer"].as_int()] = NoisyThreshold(
                torch.from_numpy(thresholds.threshold),
                torch.from_numpy(thresholds.noise_scale),
                torch.from_numpy(thresholds.per_unit),
                torch.from_numpy(thresholds.at_zero),
            )
    return found
