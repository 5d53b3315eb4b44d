"""Networks of torchvision with a stem for small images, for `bnnkit recipe` and `bnnkit train`.

Needs torchvision, in the version that fits torch. In this folder:

bnnkit recipe torchvision_cifar10:resnet18 --data cifar10 -o resnet18 \\
    --trust-code torchvision_cifar10

Each function also has what any network of your own needs: its first layer takes uint8 images.
`IntegerConv2d` subtracts the mean colour and keeps integer weights, so that every engine computes
the same bits.
"""

from collections.abc import Sequence
from typing import Any

from torch import nn
from torchvision import models  # type: ignore[import-not-found]

import bnnkit.nn as bnn

IMAGENET = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
"""Mean and deviation of the images that torchvision's networks were trained on."""


def resnet18(zero_point: Sequence[int], n_classes: int) -> Any:
    """ResNet-18 with a 3x3 stem without pool, as usual for 32 x 32 pixels."""
    network: Any = models.resnet18(num_classes=n_classes)
    network.conv1 = bnn.IntegerConv2d(3, 64, 3, padding=1, zero_point=zero_point)
    network.maxpool = nn.Identity()
    return network


def resnet18_pretrained(zero_point: Sequence[int], n_classes: int) -> Any:
    """ResNet-18 with torchvision's weights for ImageNet, which are downloaded.

    Of the 7x7 kernels of its first layer the middle 3x3 are kept. The mean colour is that of
    ImageNet, and not that of the data set.
    """
    network: Any = models.resnet18(weights="DEFAULT")
    stem = nn.Conv2d(3, 64, 3, padding=1, bias=False)
    stem.weight = nn.Parameter(network.conv1.weight[:, :, 2:5, 2:5].detach().clone())
    network.conv1 = bnn.IntegerConv2d.from_normalised(stem, *IMAGENET)
    network.maxpool = nn.Identity()
    network.fc = nn.Linear(512, n_classes)
    return network


def vgg11_bn(zero_point: Sequence[int], n_classes: int) -> Any:
    """VGG-11 with batch norm, and one linear layer in place of three."""
    features: Any = models.vgg.make_layers(models.vgg.cfgs["A"], batch_norm=True)
    features[0] = bnn.IntegerConv2d(3, 64, 3, padding=1, zero_point=zero_point)
    return nn.Sequential(features, nn.Flatten(), nn.Linear(512, n_classes))


def regnet_x_400mf(zero_point: Sequence[int], n_classes: int) -> Any:
    """RegNetX-400MF with a stem that keeps the size of the images."""
    network: Any = models.regnet_x_400mf(num_classes=n_classes)
    network.stem[0] = bnn.IntegerConv2d(3, 32, 3, padding=1, zero_point=zero_point)
    return network


def mobilenet_v2(zero_point: Sequence[int], n_classes: int) -> Any:
    """MobileNetV2 whose first two strides of 2 are 1; its depthwise layers stay real-valued."""
    network: Any = models.mobilenet_v2(num_classes=n_classes)
    network.features[0][0] = bnn.IntegerConv2d(3, 32, 3, padding=1, zero_point=zero_point)
    network.features[2].conv[1][0].stride = (1, 1)
    return network


def densenet(zero_point: Sequence[int], n_classes: int) -> Any:
    """A DenseNet of 100 layers with growth rate 24, for small images."""
    network: Any = models.DenseNet(24, (16, 16, 16), 48, num_classes=n_classes)
    network.features.conv0 = bnn.IntegerConv2d(3, 48, 3, padding=1, zero_point=zero_point)
    network.features.pool0 = nn.Identity()
    return network
