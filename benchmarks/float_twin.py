"""The float twin of a binary network, and the files of both."""

import copy
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import torch
from torch import nn

from bnnkit.artifact.artifact import Artifact
from bnnkit.artifact.format.constants import Mode
from bnnkit.export.from_torch.export_onnx import from_torch
from bnnkit.nn import BinaryConv1d, BinaryConv2d, Sign


def float_twin(network: nn.Module, activation: Callable[[], nn.Module]) -> nn.Module:
    """Return a copy with real convolutions in place of binary ones.

    Args:
        network: The binary network.
        activation: Creates what stands in place of each sign: `nn.ReLU`, or `nn.Identity` where
            the network has activations of its own.
    """
    twin = copy.deepcopy(network)
    for path, module in list(twin.named_modules()):
        if isinstance(module, Sign):
            twin.set_submodule(path, activation())
        elif isinstance(module, BinaryConv1d | BinaryConv2d):
            twin.set_submodule(path, _real(module))
    return twin


def _real(layer: BinaryConv1d | BinaryConv2d) -> nn.Module:
    geometry: Any = asdict(layer.geometry)
    kind = nn.Conv1d if isinstance(layer, BinaryConv1d) else nn.Conv2d
    return kind(**geometry, bias=False)


def artifact_of(network: nn.Module, shape: tuple[int, ...], mode: Mode | None = None) -> Artifact:
    """Export a network after batch norms have seen random inputs, so that both signs occur.

    Args:
        network: For float32 inputs.
        shape: The shape of an input, without the batch.
        mode: As of `export_onnx`.
    """
    inputs = torch.randn(4, *shape)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.momentum = None  # the mean over all batches
    with torch.no_grad():
        for _ in range(3):
            network.train()(inputs)
    return from_torch(network.eval(), inputs[:1], mode=mode)
