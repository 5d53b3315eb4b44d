"""The networks to measure, with random weights, which do not influence the time."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import torch
from torch import nn

from bnnkit.export import export_onnx
from bnnkit.models import build

ZERO_POINT = [124, 116, 104]
SEED = 0


def vgg() -> onnx.ModelProto:
    """Build the paper's CIFAR network, 128 to 512 channels, for 32x32 images."""
    shape = (3, 32, 32)
    network = build("vgg", input_shape=shape, n_classes=10, zero_point=ZERO_POINT, width=128)
    return _artifact(network, shape)


def small_vgg() -> onnx.ModelProto:
    """Build a network with the same kinds of layers and few channels."""
    shape = (3, 32, 32)
    network = build("vgg", input_shape=shape, n_classes=10, zero_point=ZERO_POINT, width=32)
    return _artifact(network, shape)


def bi_real_18() -> onnx.ModelProto:
    """Build Bi-Real ResNet-18 for ImageNet, with skips that have no parameters."""
    shape = (3, 224, 224)
    sizes: dict[str, Any] = {"input_shape": shape, "n_classes": 1000}
    network = build("resnet18", zero_point=ZERO_POINT, stem="7x7", **sizes)
    return _artifact(network, shape)


NETWORKS: dict[str, Callable[[], onnx.ModelProto]] = {"vgg": vgg, "bi-real-18": bi_real_18}


def _artifact(network: nn.Module, shape: tuple[int, ...]) -> onnx.ModelProto:
    """Export a network after batch norms have seen random images, so that both signs occur."""
    generator = torch.Generator().manual_seed(SEED)
    images = torch.randint(0, 256, (8, *shape), dtype=torch.uint8, generator=generator)
    with torch.no_grad():
        for _ in range(5):
            network(images)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.onnx"
        export_onnx(network.eval(), images[:1], path)
        return onnx.load(path)
