"""Binary twins: equal to slow, hand-written networks, and what they change and refuse."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from conv_bn_relu_networks import (
    BasicBlock,
    GateOfOneReLU,
    MobileNet,
    MobileNetV3,
    OneReLU,
    PreActivation,
    ResNet,
    Shuffle,
    images,
    se_resnet,
    vgg,
)
from torch import Tensor, nn
from torch.nn import functional

import bnnkit.nn as bnn
from bnnkit.errors import UsageError
from bnnkit.export import export_onnx
from bnnkit.models import Changes, TwinOptions, binary_twin, build, twin_with_changes

ALL: TwinOptions = {"min_inputs": 0}
PLAIN: TwinOptions = {"activation": "none", "skips": "own", **ALL}
NETWORKS: list[Callable[[], nn.Module]] = [
    *(vgg, ResNet, MobileNet, PreActivation, Shuffle, MobileNetV3, se_resnet, OneReLU),
    GateOfOneReLU,
]


def made(make: Callable[[], nn.Module]) -> nn.Module:
    """A network whose batch norms have seen data."""
    torch.manual_seed(0)
    network = make().train()
    network(images())
    return network.eval()


def changes(network: nn.Module, **options: Any) -> Changes:
    return twin_with_changes(network, images()[:1], **options)[1]


@pytest.mark.parametrize("make", [vgg, MobileNet, PreActivation, MobileNetV3])
def test_without_skips_and_activations_it_is_what_the_preset_makes(
    make: Callable[[], nn.Module],
) -> None:
    expected = bnn.binarize_(made(make), preset="conv-bn-relu")(images())
    assert torch.equal(binary_twin(made(make), images()[:1], **PLAIN)(images()), expected)


def sign(x: Tensor) -> Tensor:
    return torch.where(x >= 0, 1.0, -1.0)


def binary(conv: nn.Conv2d, x: Tensor) -> Tensor:
    return functional.conv2d(sign(x), sign(conv.weight), conv.bias, conv.stride, conv.padding)


def binary_block(block: BasicBlock, x: Tensor) -> Tensor:
    """A block with a skip around each convolution."""
    skip = x if block.downsample is None else block.downsample(x)
    middle = skip + block.bn1(binary(block.conv1, x))
    y: Tensor = middle + block.bn2(binary(block.conv2, middle))
    return y


def test_each_layer_of_a_block_gets_a_skip() -> None:
    network = made(ResNet)
    assert isinstance(network, ResNet)
    with torch.no_grad():
        x = network.maxpool(network.bn1(network.conv1(images())))
        for block in (*network.layer1, *network.layer2):
            assert isinstance(block, BasicBlock)
            x = binary_block(block, x)
        # The last ReLU is before no binary layer, so it stays.
        expected = network.fc(network.relu(x).mean((2, 3)))
    found = binary_twin(made(ResNet), images()[:1], activation="none")(images())
    torch.testing.assert_close(found, expected)


def test_a_layer_of_a_chain_gets_a_skip() -> None:
    network = made(vgg)
    layers: Any = network.get_submodule("features")
    with torch.no_grad():
        x = layers[6](layers[4](binary(layers[3], layers[1](layers[0](images())))))
        x = layers[9](x + layers[8](binary(layers[7], x)))
        expected = network.get_submodule("classifier")(x.flatten(1))
    found = binary_twin(made(vgg), images()[:1])(images())
    torch.testing.assert_close(found, expected)


def test_what_changes_in_a_resnet() -> None:
    found = changes(ResNet())
    convs = [f"layer{place}.conv{i}" for place in ("1.0", "1.1", "2.0") for i in (1, 2)]
    assert found == Changes(
        binary=tuple(convs),
        real={
            "conv1": "the first layer",
            "layer2.0.downsample.0": "the layer of a shortcut",
            "fc": "the last layer",
        },
        removed=("layer1.0.relu", "layer1.1.relu", "layer2.0.relu"),  # between two convolutions
        replaced=("relu", "layer1.0.relu", "layer1.1.relu"),  # behind a sum
        skips=("layer1.0.conv1", "layer1.1.conv1", "layer2.0.conv1"),
    )


def test_layers_stay_real_for_a_reason_or_by_choice() -> None:
    assert changes(MobileNetV3(), **ALL).real == {
        "stem.0": "the first layer",
        "block.3": "depthwise",
        "block.6.fc1": "no batch norm before the next layer",
        "block.6.fc2": "no batch norm before the next layer",
        "block.7": "its input is a product, such as a gate's",
        "head": "the last layer",
    }
    found = changes(ResNet(), real=["layer1.*"])
    assert found.binary == ("layer2.0.conv1", "layer2.0.conv2")
    assert found.real["layer1.0.conv1"] == "as you chose"
    found = changes(MobileNet())  # 8 and 16 channels
    assert found.binary == ("features.1.conv.2", "features.2.conv.2")
    assert found.real["features.3.0"] == "fewer than 16 inputs"


def test_the_layer_behind_one_for_uint8_images_is_binary() -> None:
    network = build(
        "vgg16-real", input_shape=(3, 16, 16), n_classes=2, zero_point=(1, 2, 3), width=4
    )
    twin, found = twin_with_changes(network, torch.zeros(1, 3, 16, 16, dtype=torch.uint8))
    assert len(found.binary) == 12
    assert found.real == {"features.0": "the first layer", "classifier": "the last layer"}
    assert twin(torch.zeros(2, 3, 16, 16, dtype=torch.uint8)).shape == (2, 2)


@pytest.mark.parametrize("make", NETWORKS)
def test_parameters_keep_their_names_and_learn(make: Callable[[], nn.Module]) -> None:
    network = make()
    names = {name for name, _ in network.named_parameters()}
    twin = binary_twin(network, images()[:1], noise="none", min_inputs=0).train()
    twin(images()).square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in twin.parameters())
    found = {name for name, _ in twin.named_parameters() if not name.startswith("added.")}
    assert {name.replace("parametrizations.weight.original", "weight") for name in found} == names


def test_signs_between_real_weights_are_a_stage_before() -> None:
    network = made(ResNet)
    weight = network.get_parameter("layer1.0.conv1.weight")
    twin = binary_twin(network, images()[:1], weights="real")
    assert twin.get_parameter("layer1.0.conv1.weight") is weight
    assert sum(isinstance(module, bnn.Sign) for module in twin.modules()) == 6


class Functional(nn.Module):
    """Activations as functions, one in place."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4)
        self.conv2, self.norm2 = nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.conv3, self.norm3 = nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4)
        self.head = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.norm1(self.conv1(x)))
        y = self.norm2(self.conv2(x))
        y += x
        y = functional.relu(y, inplace=True)
        y = y + self.norm3(self.conv3(y))
        z: Tensor = self.head(y.mean((2, 3)))
        return z


def test_activations_may_be_functions() -> None:
    found = changes(Functional(), **ALL)
    assert found.binary == ("conv2", "conv3")
    assert found.replaced == ("relu", "relu_1")
    assert changes(OneReLU()).removed == ("relu",)  # the preset refuses it


class OneDropout(Functional):
    def forward(self, x: Tensor) -> Tensor:
        return functional.dropout(super().forward(x), training=self.training)


class Branches(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = ResNet()

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.net(x) if x.sum() > 0 else self.net(-x)
        return y


@pytest.mark.parametrize(
    ("network", "options", "message"),
    [
        (Branches(), {}, "whose forward torch.fx can trace; it must not branch on values"),
        (OneDropout(), {}, "the same in training and evaluation.*replace functions such as"),
        (nn.Sequential(nn.Conv2d(3, 4, 1)), {}, r"of shape \(1, 1, 8, 8\) and dtype float32, got"),
        (nn.Sequential(nn.Flatten(), nn.Linear(64, 2)), {}, r"got none \(1: the first layer\)"),
        (nn.Sequential(nn.Flatten()), {}, r"got none \(no layer that is Conv2d or Linear\)"),
        (ResNet(), {"real": ["layer7*"]}, "real, 'layer7\\*' matches none; the layers are conv1"),
        (ResNet(), {"real": "fc"}, "expected a list of names, got the string 'fc'"),
        (ResNet(), {"activation": "relu"}, "an activation out of rprelu, none, got 'relu'"),
        (ResNet(), {"skips": "no"}, "skips out of each, own, got 'no'"),
        (MobileNet(), {"min_inputs": 17}, "features.1.conv.0.0: fewer than 17 inputs; "),
        (MobileNet(), {"min_inputs": -1}, "min_inputs to be an int of at least 0, got -1"),
        (ResNet(), {"weights": "ternary"}, "weights out of binary, real, got 'ternary'"),
        (ResNet(), {"estimator": "best"}, "expected an estimator out of"),
        (ResNet(), {"weight_rule": "best"}, "expected a weight rule out of"),
        (GateOfOneReLU(), {"activation": "none"}, "relu is also before 'gate'; use activation rp"),
    ],
)
def test_what_is_refused(network: nn.Module, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        binary_twin(network, images()[:1], **options)


@pytest.mark.slow
def test_the_file_of_each_network_computes_what_torch_computes(tmp_path: Path) -> None:
    for make in (ResNet, MobileNet, OneReLU):
        twin, found = twin_with_changes(made(make), images()[:1], **ALL)
        twin.train()(images())
        report = export_onnx(twin, images(), tmp_path / "m.onnx")
        assert sum(layer.kind == "binary" for layer in report.layers) == len(found.binary)
        assert not any(sign.is_constant for sign in report.signs)
