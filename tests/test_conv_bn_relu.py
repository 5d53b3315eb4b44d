"""The preset for networks of convolution, batch norm and ReLU, and the warnings it avoids."""

import warnings
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
    Vgg,
    images,
    se_resnet,
    vgg,
)
from torch import Tensor, nn
from torch.nn import functional

import bnnkit.nn as bnn
from bnnkit.data import load
from bnnkit.errors import UsageError
from bnnkit.export import export_onnx
from bnnkit.nn.sign_inputs import ACTIVATIONS, is_linear_map, sign_inputs

BINARY: list[tuple[Callable[[], nn.Module], set[str], set[str]]] = [
    (vgg, {"features.3", "features.7"}, {"features.2", "features.5"}),
    (
        ResNet,
        {
            *("layer1.0.conv1", "layer1.0.conv2", "layer1.1.conv1", "layer1.1.conv2"),
            *("layer2.0.conv1", "layer2.0.conv2"),
        },
        {"relu", "layer1.0.relu", "layer1.1.relu", "layer2.0.relu"},
    ),
    (
        MobileNet,
        {
            *("features.1.conv.0.0", "features.1.conv.2", "features.2.conv.0.0"),
            *("features.2.conv.2", "features.3.0"),
        },
        {"features.0.2", "features.1.conv.1.2", "features.2.conv.1.2"},
    ),
    (PreActivation, {"conv1", "conv2"}, {"relu1", "relu2"}),
    (Shuffle, {"branch.0"}, {"stem.2"}),
    (MobileNetV3, {"block.0"}, {"stem.2"}),  # block.7 takes a product
    (
        se_resnet,
        {
            *("layer1.0.conv1", "layer1.0.conv2", "layer1.1.conv1", "layer1.1.conv2"),
            *("layer2.0.conv1", "layer2.0.conv2"),
        },
        {"relu", "layer1.0.relu", "layer1.1.relu", "layer2.0.relu"},
    ),
    (lambda: OneReLU(nn.ReLU()), {"conv2", "conv3"}, {"relu"}),
]


def binary_layers(model: nn.Module) -> set[str]:
    return {name for name, module in model.named_modules() if hasattr(module, "parametrizations")}


@pytest.mark.parametrize(("make", "layers", "removed"), BINARY)
def test_what_the_preset_changes(
    make: Callable[[], nn.Module], layers: set[str], removed: set[str]
) -> None:
    model = make()
    activations = {n for n, m in model.named_modules() if isinstance(m, ACTIVATIONS)}
    maps = {n for n, m in model.named_modules() if is_linear_map(m)}
    real = bnn.real_layers(model)
    assert set(real) == maps - layers
    assert all(real.values())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        bnn.binarize_(model, preset="conv-bn-relu")
    assert binary_layers(model) == layers
    identities = {n for n, m in model.named_modules() if isinstance(m, nn.Identity)}
    assert activations & identities == removed
    both_signs(model)


def test_an_activation_of_two_names_is_removed_under_both() -> None:
    relu = nn.ReLU()
    blocks = [
        nn.Sequential(nn.Conv2d(1 if first else 4, 4, 3), nn.BatchNorm2d(4), relu)
        for first in (True, False, False)
    ]
    model = nn.Sequential(*blocks, nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4), nn.Flatten())
    model.append(nn.Linear(16, 3))
    bnn.binarize_(model, preset="conv-bn-relu")
    assert binary_layers(model) == {"1.0", "2.0", "3"}
    assert not any(isinstance(m, nn.ReLU) for m in model.modules())
    both_signs(model)


def both_signs(model: nn.Module) -> None:
    """Every sign of the model takes both values."""
    found: dict[str, set[float]] = {}
    for name, module in model.named_modules():
        if isinstance(module, bnn.Sign):
            module.register_forward_hook(
                lambda m, x, y, name=name: found.update({name: set(y.flatten().tolist())})
            )
    model.eval()(images())
    assert found
    assert all(values == {-1, 1} for values in found.values())


def test_a_network_that_reaches_its_layers_by_other_names_is_not_confused() -> None:
    model = bnn.binarize_(nn.Sequential(ResNet()), preset="conv-bn-relu")
    assert binary_layers(model) == {f"0.{name}" for name in BINARY[1][1]}


class Functional(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4)
        self.conv2, self.norm2 = nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4)
        self.head = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.norm1(self.conv1(x)))
        x = functional.relu(self.norm2(self.conv2(x)))
        y: Tensor = self.head(x.mean((2, 3)))
        return y


class Branches(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = ResNet()

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.net(x) if x.sum() > 0 else self.net(-x)
        return y


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        (Functional(), {}, "got a call of relu, which the preset .* cannot remove"),
        (Branches(), {}, "whose forward torch.fx can trace"),
        (nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2)), {}, "got none"),
        (
            nn.Sequential(nn.Conv2d(1, 4, 3), nn.LazyLinear(2)),
            {},
            "got '1.weight' of a lazy layer",
        ),
        (OneReLU(), {}, "'relu' is also called before 'fc.', which stays real-valued and needs"),
        (GateOfOneReLU(), {}, "'relu' is also called before 'gate', which stays real-valued"),
        (ResNet(), {"layers": ["fc"]}, "got both"),
        (ResNet(), {"signs": ["relu"]}, "got both"),
        (ResNet(), {"preset": "resnet"}, "expected a preset out of conv-bn-relu, got 'resnet'"),
        (ResNet(), {"preset": ["conv-bn-relu"]}, "expected a preset out of conv-bn-relu"),
    ],
)
def test_what_the_preset_refuses(model: nn.Module, options: dict[str, Any], message: str) -> None:
    before = list(model.state_dict())
    with pytest.raises(UsageError, match=message):
        bnn.binarize_(model, **{"preset": "conv-bn-relu", **options})
    assert list(model.state_dict()) == before


@pytest.mark.parametrize(
    ("model", "layers", "message"),
    [
        (vgg(), ["features.3"], r"signs of 'features.3' are \+1 for every input, .* after|ReLU"),
        (vgg(), ["features.7"], "signs of 'features.7' are"),  # behind a pool
        (vgg(), ["classifier.3"], "signs of 'classifier.3' are"),  # behind dropout
        (vgg(), ["classifier.0"], "signs of 'classifier.0' are"),  # pool and flatten
        (ResNet(), ["layer1.1.conv1"], "signs of 'layer1.1.conv1' are"),  # behind an addition
        (ResNet(), ["layer*.conv*"], "'layer1.0.conv1', 'layer1.0.conv2', .* and 2 more are"),
        (MobileNet(), ["features.2.conv.2"], "signs of 'features.2.conv.2' are"),  # ReLU6
        (Functional(), ["conv2"], "signs of 'conv2' are"),  # a function
        (vgg(), ["features.0"], "the sign of 'features.0' keeps one bit of each number"),
    ],
)
def test_constant_signs_are_warned_of(model: nn.Module, layers: list[str], message: str) -> None:
    with pytest.warns(UserWarning, match=message) as caught:
        bnn.binarize_(model, layers)
    assert caught[0].filename == __file__


def test_no_warning_without_a_reason() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        bnn.binarize_(vgg(), ["features.3", "features.7"], signs=["features.2", "features.5"])
        bnn.binarize_(MobileNet(), ["features.2.conv.0.0"])  # behind a batch norm and a skip
        bnn.binarize_(Branches(), ["net.layer1.*"])  # cannot be traced
        bnn.binarize_(BasicBlock(4, 4, 1), ["conv2"], signs=["relu"])


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(8, 8)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.unused = nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        x = self.inner(torch.tanh(x))
        y: Tensor = self.attention(x, x, x, need_weights=False)[0]
        return y


def test_layers_that_are_read_without_a_call() -> None:
    model = Attention()
    with pytest.raises(UsageError, match="MultiheadAttention reads the weight of"):
        bnn.binarize_(model, ["attention.out_proj"])
    with (
        pytest.warns(UserWarning, match="left 'attention.out_proj' real-valued"),
        pytest.warns(UserWarning, match="does not call 'unused'"),
    ):
        bnn.binarize_(model, ["*"])
    assert binary_layers(model) == {"inner", "unused"}
    with pytest.raises(UsageError, match="MultiheadAttention reads the weight of"):
        bnn.binarize_(Attention(), ["attention.*"])


@pytest.mark.slow
def test_the_file_of_each_network_computes_what_torch_computes(tmp_path: Path) -> None:
    for make, layers, _ in BINARY:
        model = bnn.binarize_(make(), preset="conv-bn-relu")
        model.train()
        model(images())
        report = export_onnx(model, images(), tmp_path / "m.onnx")
        assert sum(layer.kind == "binary" for layer in report.layers) == len(layers)
        assert not any(sign.is_constant for sign in report.signs)


def accuracy_after_training(model: nn.Module) -> float:
    digits = load("digits")
    x, y = torch.from_numpy(digits.x_train).float() / 16, torch.from_numpy(digits.y_train)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for batch in torch.randint(len(x), (150, 128)):
        optimizer.zero_grad()
        loss = functional.cross_entropy(model(x[batch]), y[batch])
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    model.eval()
    with torch.no_grad():
        guesses = model(torch.from_numpy(digits.x_test).float() / 16).argmax(1)
    return float((guesses == torch.from_numpy(digits.y_test)).float().mean())


@pytest.mark.slow
def test_the_preset_learns_where_signs_of_relus_do_not() -> None:
    with pytest.warns(UserWarning, match="for every input"):
        constant = bnn.binarize_(vgg(), ["features.3", "features.7"], noise="none")
    assert accuracy_after_training(constant) < 0.2
    learning = bnn.binarize_(vgg(), preset="conv-bn-relu", noise="none")
    assert accuracy_after_training(learning) > 0.9


def test_a_vgg_is_a_chain_of_signs() -> None:
    model = bnn.binarize_(vgg(), preset="conv-bn-relu").eval()
    assert isinstance(model, Vgg)
    with torch.no_grad():
        x = model.features[1](model.features[0](images()))  # type: ignore[index]
        layer: Any = model.get_submodule("features.3")
        weight = torch.where(layer.parametrizations.weight.original >= 0, 1.0, -1.0)
        expected = functional.conv2d(torch.where(x >= 0, 1.0, -1.0), weight, layer.bias, padding=1)
        torch.testing.assert_close(layer(x), expected)


class BehindRelu(nn.Module):
    """A function of the output of a ReLU, before the layer "layer"."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function
        self.layer = nn.Conv2d(2, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layer(self.function(functional.relu(x)))
        return y


@pytest.mark.parametrize(
    ("function", "is_from_0"),
    [
        (nn.Upsample(scale_factor=2), True),
        (nn.Upsample(scale_factor=2, mode="bilinear"), True),
        (nn.Upsample(scale_factor=2, mode="bicubic"), False),
        (lambda x: functional.interpolate(x, scale_factor=2, mode="bilinear"), True),
        (lambda x: functional.interpolate(x, scale_factor=2, mode="bicubic"), False),
        (lambda x: functional.interpolate(x, None, 2, "bicubic"), False),
        (lambda x: functional.pad(x, (1, 1)), True),
        (lambda x: functional.pad(x, (1, 1), value=-1.0), False),
        (lambda x: functional.pad(x, (1, 1), "constant", -1.0), False),
    ],
)
def test_interpolation_and_padding_can_give_negative_numbers(
    function: Callable[[Tensor], Tensor], is_from_0: bool
) -> None:
    found = sign_inputs(BehindRelu(function), ["layer"]).never_negative
    assert found == (("layer",) if is_from_0 else ())
