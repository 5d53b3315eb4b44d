"""The networks of `bnnkit.models`, small ones for tests."""

from typing import Any

import torch
from torch import Tensor, nn

from bnnkit.models import build

SMALL: dict[str, dict[str, Any]] = {
    "mlp": {"width": 16},
    "convnet": {"width": 4},
    "ds-cnn": {"width": 4, "blocks": 2},
    "vgg": {"width": 4},
    "vgg-small": {"width": 4},
    "resnet18": {"width": 4},
    "transformer": {"width": 8, "depth": 1, "heads": 2, "patch": 8},
}
OTHER: dict[str, dict[str, Any]] = {
    "tc-resnet": {"input_shape": (3, 16), "width": 8},
    "unet": {"input_shape": (3, 16, 16), "width": 4},
}
"""Networks of sequences, or for a class of each pixel, with the shape of their input."""
LITERATURE: dict[str, dict[str, Any]] = {
    "bi-real-18": {"width": 4},
    "reactnet-18": {"width": 4},
    "reactnet-a": {"width": 4},
    "quicknet": {"width": 8},
    "meliusnet-22": {"width": 16},
    "bnext-t": {"width": 4},
}
"""Networks for 224x224 images, whose real-valued layers are more than the first and the last."""
REAL = {
    "resnet18-real": {"width": 4},
    "vgg16-real": {"width": 4},
    "vgg-small-real": {"width": 4},
}
"""The options of those with real-valued activations."""


def small(
    name: str,
    *,
    shape: tuple[int, ...] = (3, 16, 24),
    zero_point: tuple[int, ...] | None = None,
    **options: object,
) -> nn.Module:
    options = {**(SMALL | LITERATURE)[name], **options}
    return build(name, input_shape=shape, n_classes=7, zero_point=zero_point, **options)


def images(*shape: int) -> Tensor:
    return torch.randint(0, 256, shape, dtype=torch.uint8)
