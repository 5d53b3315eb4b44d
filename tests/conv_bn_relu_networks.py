"""Small twins of torchvision's networks, and networks that share activations."""

import torch
from torch import Tensor, nn


def vgg() -> nn.Module:
    """Convolution, batch norm, ReLU; pools; linear layers with dropout."""
    features = nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(inplace=True),
        nn.Conv2d(8, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(inplace=True),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(inplace=True),
    )  # fmt: skip
    classifier = nn.Sequential(nn.Linear(256, 32), nn.ReLU(True), nn.Dropout(), nn.Linear(32, 10))
    return Vgg(features, classifier)


class Vgg(nn.Module):
    def __init__(self, features: nn.Module, classifier: nn.Module) -> None:
        super().__init__()
        self.features = features
        self.avgpool = nn.AdaptiveAvgPool2d((4, 4))
        self.classifier = classifier

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.classifier(torch.flatten(self.avgpool(self.features(x)), 1))
        return y


class BasicBlock(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample: nn.Module | None = None
        if stride != 1:
            self.downsample = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: Tensor) -> Tensor:
        identity = x
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        if self.downsample is not None:
            identity = self.downsample(x)
        out += identity
        y: Tensor = self.relu(out)
        return y


class ResNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 8, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(8)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(2)
        self.layer1 = nn.Sequential(BasicBlock(8, 8, 1), BasicBlock(8, 8, 1))
        self.layer2 = nn.Sequential(BasicBlock(8, 16, 2))
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        y: Tensor = self.fc(torch.flatten(self.avgpool(self.layer2(self.layer1(x))), 1))
        return y


def conv_bn(inputs: int, outputs: int, kernel: int, groups: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU6(inplace=True),
    )


class InvertedResidual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(
            conv_bn(channels, 2 * channels, 1),
            conv_bn(2 * channels, 2 * channels, 3, groups=2 * channels),
            nn.Conv2d(2 * channels, channels, 1, bias=False),
            nn.BatchNorm2d(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = x + self.conv(x)
        return y


class MobileNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            conv_bn(1, 8, 3), InvertedResidual(8), InvertedResidual(8), conv_bn(8, 16, 1)
        )
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(16, 10))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.classifier(self.features(x).mean([2, 3]))
        return y


class PreActivation(nn.Module):
    """Batch norm and ReLU before each convolution, joined as in a DenseNet."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 8, 3, padding=1)
        self.norm1, self.relu1 = nn.BatchNorm2d(8), nn.ReLU()
        self.conv1 = nn.Conv2d(8, 8, 3, padding=1)
        self.norm2, self.relu2 = nn.BatchNorm2d(16), nn.ReLU()
        self.conv2 = nn.Conv2d(16, 8, 3, padding=1)
        self.norm3, self.relu3 = nn.BatchNorm2d(24), nn.ReLU()
        self.head = nn.Linear(24, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = torch.cat([x, self.conv1(self.relu1(self.norm1(x)))], 1)
        x = torch.cat([x, self.conv2(self.relu2(self.norm2(x)))], 1)
        y: Tensor = self.head(self.relu3(self.norm3(x)).mean((2, 3)))
        return y


class Excitation(nn.Module):
    """The gate of squeeze-and-excitation, as in torchvision."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc1, self.activation = nn.Conv2d(channels, 4, 1), nn.ReLU()
        self.fc2, self.scale_activation = nn.Conv2d(4, channels, 1), nn.Hardsigmoid()

    def forward(self, x: Tensor) -> Tensor:
        scale = self.scale_activation(self.fc2(self.activation(self.fc1(self.pool(x)))))
        y: Tensor = scale * x
        return y


class MobileNetV3(nn.Module):
    """Inverted residuals with a gate before their last convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU())
        self.block = nn.Sequential(
            nn.Conv2d(8, 16, 1), nn.BatchNorm2d(16), nn.ReLU(),
            nn.Conv2d(16, 16, 3, padding=1, groups=16), nn.BatchNorm2d(16), nn.ReLU(),
            Excitation(16),
            nn.Conv2d(16, 8, 1), nn.BatchNorm2d(8),
        )  # fmt: skip
        self.head = nn.Linear(8, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        y: Tensor = self.head((x + self.block(x)).mean((2, 3)))
        return y


class GatedBlock(BasicBlock):
    """A block of an SE-ResNet: the gate is on the branch, before the sum."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 1)
        self.gate = Excitation(outputs)

    def forward(self, x: Tensor) -> Tensor:
        out = self.relu(self.bn1(self.conv1(x)))
        y: Tensor = self.relu(self.gate(self.bn2(self.conv2(out))) + x)
        return y


def se_resnet() -> nn.Module:
    """A ResNet with squeeze-and-excitation."""
    model = ResNet()
    model.layer1 = nn.Sequential(GatedBlock(8, 8), GatedBlock(8, 8))
    return model


class OneReLU(nn.Module):
    """Uses one ReLU everywhere, also between the real-valued layers of its head.

    Args:
        head: Another activation for the head; the same one by default.
    """

    def __init__(self, head: nn.Module | None = None) -> None:
        super().__init__()
        self.relu = nn.ReLU()
        self.conv1, self.norm1 = nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.conv2, self.norm2 = nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.conv3, self.norm3 = nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.fc1, self.fc2 = nn.Linear(8, 8), nn.Linear(8, 10)
        self.head = head or self.relu

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.norm1(self.conv1(x)))
        x = self.relu(self.norm2(self.conv2(x)))
        x = self.head(self.norm3(self.conv3(x)))
        y: Tensor = self.fc2(self.head(self.fc1(x.mean((2, 3)))))
        return y


class Shuffle(nn.Module):
    """Half of the channels goes around a branch, as in a ShuffleNet."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU())
        self.branch = nn.Sequential(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4), nn.ReLU())
        self.head = nn.Linear(8, 10)

    def forward(self, x: Tensor) -> Tensor:
        kept, changed = self.stem(x).chunk(2, 1)
        x = torch.cat([kept, self.branch(changed)], 1)
        y: Tensor = self.head(x.mean((2, 3)))
        return y


class GateOfOneReLU(nn.Module):
    """A ReLU before a convolution and before the real-valued layer of a gate."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.norm1, self.relu = nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU()
        self.conv, self.norm2 = nn.Conv2d(8, 8, 3), nn.BatchNorm2d(8)
        self.gate, self.head = nn.Linear(8, 8), nn.Linear(8, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.norm1(self.stem(x)))
        gate = torch.sigmoid(self.gate(x.mean((2, 3))))
        y: Tensor = self.head(self.norm2(self.conv(x)).mean((2, 3)) * gate)
        return y


def images() -> Tensor:
    """A batch, (4, 1, 8, 8)."""
    return torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))
