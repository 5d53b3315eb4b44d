from collections.abc import Iterator
from typing import Any

import pytest
import torch
from marks import exported_marks
from torch import Tensor, nn

from bnnkit.data import load
from bnnkit.errors import ConfigError, UsageError
from bnnkit.models import MODELS, build
from bnnkit.models.last_layer import LastLinear
from bnnkit.models.real_activations import BasicBlock
from bnnkit.models.resnet import BinaryResidual
from bnnkit.models.rprelu import ChannelShift, RPReLU
from bnnkit.nn import BinaryConv2d, BinaryLinear, IntegerConv2d, IntegerLinear, Logistic, Sign
from bnnkit.nn.base import noise as noises
from bnnkit.nn.base.noise import register_noise

SMALL: dict[str, dict[str, Any]] = {
    "mlp": {"width": 16},
    "convnet": {"width": 4},
    "ds-cnn": {"width": 4, "blocks": 2},
    "vgg": {"width": 4},
    "vgg-small": {"width": 4},
    "resnet18": {"width": 4},
}
REAL = {
    "resnet18-real": {"width": 4},
    "vgg16-real": {"width": 4},
    "vgg-small-real": {"width": 4},
}
"""Those with real-valued activations."""
EVERY = pytest.mark.parametrize("name", SMALL)
EVERY_REAL = pytest.mark.parametrize("name", REAL)


def small(
    name: str, *, shape: tuple[int, ...] = (3, 16, 24), zero_point: tuple[int, ...] | None = None
) -> nn.Module:
    return build(name, input_shape=shape, n_classes=7, zero_point=zero_point, **SMALL[name])


def images(*shape: int) -> Tensor:
    return torch.randint(0, 256, shape, dtype=torch.uint8)


def test_every_model_is_tested() -> None:
    assert set(MODELS) == set(SMALL) | set(REAL)


@EVERY
def test_integer_images(name: str) -> None:
    model = small(name, zero_point=(1, 2, 3))
    scores = model(images(5, 3, 16, 24))
    assert (scores.shape, scores.dtype) == ((5, 7), torch.float32)
    scores.sum().backward()
    assert all(p.grad is not None for p in model.parameters())


@EVERY
def test_real_valued_images(name: str) -> None:
    model = small(name)
    assert model(torch.randn(5, 3, 16, 24)).shape == (5, 7)
    assert not any(isinstance(m, IntegerConv2d | IntegerLinear) for m in model.modules())


@EVERY
def test_evaluation_is_deterministic_and_does_not_depend_on_the_batch(name: str) -> None:
    model = small(name, zero_point=(1, 2, 3)).eval()
    x = images(3, 3, 16, 24)
    assert torch.equal(model(x), model(x))
    torch.testing.assert_close(model(x[:1]), model(x)[:1])


@EVERY
def test_only_the_first_and_the_last_layer_are_not_binary(name: str) -> None:
    model = small(name, zero_point=(1, 2, 3))
    kinds = (IntegerConv2d, IntegerLinear, BinaryConv2d, BinaryLinear, nn.Conv2d, nn.Linear)
    first, *hidden, last = (m for m in model.modules() if isinstance(m, kinds))
    assert isinstance(first, IntegerConv2d | IntegerLinear)
    assert isinstance(last, nn.Linear)
    assert hidden
    assert all(isinstance(layer, BinaryConv2d | BinaryLinear) for layer in hidden)


def test_vgg_is_the_papers_network() -> None:
    """(2x128C3)-MP2-(2x256C3)-MP2-(2x512C3)-MP2-(2x1024FC)-10FC; signs after norm and pool."""
    model = build("vgg", input_shape=(3, 32, 32), n_classes=10, zero_point=(125, 123, 114))
    assert list(layers(model)) == [
        "3-128C3", "BN", "sign", "128-128C3", "BN", "MP2", "sign",
        "128-256C3", "BN", "sign", "256-256C3", "BN", "MP2", "sign",
        "256-512C3", "BN", "sign", "512-512C3", "BN", "MP2", "sign",
        "8192-1024FC", "BN", "sign", "1024-1024FC", "BN", "sign", "1024-10FC",
    ]  # fmt: skip


def layers(model: nn.Module) -> Iterator[str]:
    for module in model.modules():
        match module:
            case IntegerConv2d() | BinaryConv2d():
                g = module.geometry
                assert (g.kernel_size, g.padding, g.stride) == ((3, 3), (1, 1), (1, 1))
                yield f"{g.in_channels}-{g.out_channels}C3"
            case BinaryLinear() | nn.Linear():
                yield f"{module.in_features}-{module.out_features}FC"
            case nn.MaxPool2d():
                yield f"MP{module.kernel_size}"
            case nn.BatchNorm1d() | nn.BatchNorm2d():
                yield "BN"
            case Sign():
                yield "sign"


def test_the_max_pool_may_come_first() -> None:
    model = build(
        "vgg", input_shape=(3, 32, 32), n_classes=10, zero_point=(1, 2, 3), order="pool-norm"
    )
    assert list(layers(model))[3:7] == ["128-128C3", "MP2", "BN", "sign"]
    with pytest.raises(UsageError, match="an order out of norm-pool, pool-norm, got 'pool'"):
        build("vgg", input_shape=(3, 8, 8), n_classes=2, zero_point=None, order="pool")


def test_vgg_small_is_the_vgg_without_dense_layers() -> None:
    vgg, small_one = (
        build(name, input_shape=(3, 32, 32), n_classes=10, zero_point=(1, 2, 3))
        for name in ("vgg", "vgg-small")
    )
    assert list(layers(small_one)) == [*list(layers(vgg))[:-7], "8192-10FC"]


def test_real_features_of_vgg_small_are_scaled_and_the_logits_start_as_large() -> None:
    options = {"width": 4, "features": "real", "feature_scale": 0.25}
    model = build("vgg-small", input_shape=(3, 16, 16), n_classes=5, zero_point=None, **options)
    features, classifier = (model.get_submodule(name) for name in ("features", "classifier"))
    assert isinstance(classifier, nn.Linear)
    x = torch.randn(6, 3, 16, 16)
    model.eval()
    found = features(x)
    assert found.abs().max() <= 1
    assert found.unique().numel() > 2
    want = nn.functional.linear(found / 4, classifier.weight, classifier.bias)
    torch.testing.assert_close(model(x), want)
    bound = 4 / classifier.in_features**0.5  # torch's own, times 4
    assert 0.9 * bound < classifier.weight.abs().max() <= bound
    with pytest.raises(UsageError, match="features out of signs, real, got 'both'"):
        build("vgg-small", input_shape=(3, 8, 8), n_classes=2, zero_point=None, features="both")


@EVERY
def test_the_padding_value_is_one_word(name: str) -> None:
    model = build(
        name, input_shape=(3, 16, 16), n_classes=2, zero_point=None, padding_value="zeros",
        **SMALL[name],
    )  # fmt: skip
    values = {m.padding_value for m in model.modules() if isinstance(m, BinaryConv2d)}
    assert values == (set() if name == "mlp" else {"zeros"})


@EVERY_REAL
@pytest.mark.parametrize("weights", ["real", "binary"])
def test_real_activations(name: str, weights: str) -> None:
    model = build(
        name, input_shape=(3, 32, 32), n_classes=7, zero_point=(1, 2, 3), weights=weights,
        weight_rule="standardised", **REAL[name],
    )  # fmt: skip
    scores = model(images(4, 3, 32, 32))
    assert scores.shape == (4, 7)
    scores.sum().backward()
    assert all(p.grad is not None for p in model.parameters())
    kinds = (IntegerConv2d, BinaryConv2d, nn.Conv2d, nn.Linear)
    first, *hidden, last = (m for m in model.modules() if isinstance(m, kinds))
    assert isinstance(first, IntegerConv2d)
    assert isinstance(last, nn.Linear)
    kind = BinaryConv2d if weights == "binary" else nn.Conv2d
    assert len(hidden) == {"resnet18-real": 19, "vgg16-real": 12, "vgg-small-real": 5}[name]
    for layer in hidden:
        assert isinstance(layer, kind)
        padding = layer.padding_value if isinstance(layer, BinaryConv2d) else layer.padding_mode
        assert padding == "zeros"
    with pytest.raises(UsageError, match="weights out of real, binary, got 'ternary'"):
        build(name, input_shape=(3, 32, 32), n_classes=2, zero_point=None, weights="ternary")


def test_the_sizes_of_real_networks_are_the_papers() -> None:
    counts = {
        name: sum(
            p.numel()
            for p in build(
                name, input_shape=(3, 32, 32), n_classes=10, zero_point=(1, 2, 3)
            ).parameters()
        )
        for name in REAL
    }
    # As in the usual versions for CIFAR-10, but for the 4,224 biases of VGG16's convolutions.
    # VGG-Small: 9 (3 W + W^2 + 2 W^2 + 4 W^2 + 8 W^2 + 16 W^2) weights, 2 numbers for each of 14 W
    # batch norms, and a last layer of 64 W inputs; W = 128.
    vgg_small = 9 * (3 * 128 + 31 * 128**2) + 2 * 14 * 128 + (64 * 128 + 1) * 10
    assert counts == {
        "resnet18-real": 11_173_962,
        "vgg16-real": 14_728_266 - 4_224,
        "vgg-small-real": vgg_small,
    }


@pytest.mark.parametrize(
    ("name", "options"),
    [("resnet18", {"skip": "conv", "activation": "rprelu"}), ("resnet18-real", {})],
)
def test_values_on_skips_have_the_dtype_of_autocast(name: str, options: dict[str, Any]) -> None:
    model = build(
        name, input_shape=(3, 16, 16), n_classes=2, zero_point=(1, 2, 3), width=4, **options
    )
    seen = []
    for module in model.modules():
        if isinstance(module, BinaryResidual | BasicBlock):
            module.register_forward_hook(lambda m, inputs, output: seen.append(output.dtype))
    with torch.autocast("cpu", torch.bfloat16):
        model(images(2, 3, 16, 16))
    assert set(seen) == {torch.bfloat16}
    seen.clear()
    model(images(2, 3, 16, 16))
    assert set(seen) == {torch.float32}


@pytest.mark.parametrize("name", MODELS)
def test_logits_are_not_rounded_by_autocast(name: str) -> None:
    model = build(name, input_shape=(3, 16, 16), n_classes=2, zero_point=(1, 2, 3), width=4)
    classifier = model.get_submodule("classifier")
    seen: list[tuple[Tensor, Tensor]] = []
    classifier.register_forward_hook(lambda m, inputs, output: seen.append((*inputs, output)))
    with torch.autocast("cpu", torch.bfloat16):
        model(images(2, 3, 16, 16))
    ((features, logits),) = seen
    assert logits.dtype == torch.float32
    assert torch.equal(logits, classifier(features.float()))


def test_rprelu_is_a_shifted_prelu() -> None:
    module = RPReLU(3)
    before, after = (m for m in module.modules() if isinstance(m, ChannelShift))
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_()
    x = torch.randn(5, 3, 4, 4)
    shifted = x + before.shift.view(3, 1, 1)
    slope = module.prelu.weight.view(3, 1, 1)
    want = torch.where(shifted >= 0, shifted, slope * shifted) + after.shift.view(3, 1, 1)
    torch.testing.assert_close(module(x), want)


def test_resnet_with_convolved_skips() -> None:
    options = {"skip": "conv", "activation": "rprelu", "width": 4}
    model = build(
        "resnet18", input_shape=(3, 16, 24), n_classes=7, zero_point=(1, 2, 3), **options
    )
    assert model(images(2, 3, 16, 24)).shape == (2, 7)
    skips = [m for m in model.modules() if isinstance(m, nn.Conv2d)]
    assert [(c.in_channels, c.out_channels) for c in skips] == [(4, 8), (8, 16), (16, 32)]
    assert sum(isinstance(m, nn.PReLU) for m in model.modules()) == 17
    assert sum(isinstance(m, ChannelShift) for m in model.modules()) == 2 * 17 + 16
    with pytest.raises(UsageError, match="a skip out of pool, conv, got 'none'"):
        build("resnet18", input_shape=(3, 8, 8), n_classes=2, zero_point=None, skip="none")
    with pytest.raises(UsageError, match="an activation out of none, rprelu, got 'relu'"):
        build("resnet18", input_shape=(3, 8, 8), n_classes=2, zero_point=None, activation="relu")


def test_batch_norm_starts_as_in_the_paper() -> None:
    for module in small("vgg").modules():
        if isinstance(module, nn.BatchNorm2d):
            assert set(module.weight.tolist()) == {1}
            assert set(module.bias.tolist()) == {0}


def test_resnet_has_sixteen_binary_convolutions_each_with_a_skip() -> None:
    model = small("resnet18", zero_point=(1, 2, 3))
    convolutions = [m for m in model.modules() if isinstance(m, BinaryConv2d)]
    assert len(convolutions) == 16
    assert [c.geometry.out_channels for c in convolutions[::4]] == [4, 8, 16, 32]
    # Without what the convolutions add, what is left is the skips alone.
    residuals = model.get_submodule("residuals")
    for module in residuals.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.zeros_(module.weight)
    stem = model.eval().get_submodule("stem")(images(2, 3, 16, 24))
    skip = nn.functional.max_pool2d(stem, 8).repeat(1, 8, 1, 1)
    assert torch.equal(residuals(stem), skip)


def test_mlp_depth_is_the_number_of_hidden_layers() -> None:
    model = build("mlp", input_shape=(5,), n_classes=2, zero_point=None, width=3, depth=4)
    assert [type(m) for m in model.modules() if hasattr(m, "in_features")] == [
        nn.Linear,
        BinaryLinear,
        BinaryLinear,
        BinaryLinear,
        LastLinear,
    ]
    assert model(torch.randn(2, 5)).shape == (2, 2)


def test_mlp_spreads_the_zero_points_over_the_pixels() -> None:
    model = build("mlp", input_shape=(2, 1, 3), n_classes=2, zero_point=(7, 9), width=4)
    (first,) = (m for m in model.modules() if isinstance(m, IntegerLinear))
    assert first.zero_point.tolist() == [7, 7, 7, 9, 9, 9]


@EVERY
def test_noises_by_name_also_a_users(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(noises.NOISES, "_classes", dict(noises.NOISES._classes))

    @register_noise
    class Own(Logistic):
        name = "own"

    model = build(
        name,
        input_shape=(3, 16, 16),
        n_classes=2,
        zero_point=None,
        noise="own",
        weight_noise="none",
        **SMALL[name],
    )
    for module in model.modules():
        if isinstance(module, Sign):
            assert isinstance(module.noise, Own)
        if isinstance(module, BinaryConv2d | BinaryLinear):
            assert module.binary_weight.noise.name == "none"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "resnet"}, "a model out of mlp, convnet, vgg, .*, got 'resnet'"),
        ({"widht": 3}, "options of mlp out of width, depth, noise, weight_noise, .*, got 'widht'"),
        ({"width": 0}, "option width of mlp to be a positive int, got 0"),
        ({"depth": "2"}, "option depth of mlp to be a positive int, got '2'"),
        ({"depth": True}, "option depth of mlp to be a positive int, got True"),
    ],
    ids=str,
)
def test_wrong_configuration(arguments: dict[str, Any], message: str) -> None:
    arguments = {"name": "mlp", **arguments}
    with pytest.raises(ConfigError, match=message):
        build(**arguments, input_shape=(4,), n_classes=2, zero_point=None)


def test_unknown_noise() -> None:
    with pytest.raises(UsageError, match="got 'gauss'"):
        build("mlp", input_shape=(4,), n_classes=2, zero_point=None, noise="gauss")


@pytest.mark.parametrize("name", ["convnet", "vgg", "vgg-small", "resnet18", *REAL])
def test_inputs_that_are_no_images(name: str) -> None:
    with pytest.raises(
        UsageError, match=r"images of shape \(C, H, W\), got inputs of shape \(64,"
    ):
        build(name, input_shape=(64,), n_classes=2, zero_point=None)


def test_images_that_the_resnet_cannot_halve() -> None:
    with pytest.raises(UsageError, match="multiples of 8, got 28 x 28"):
        small("resnet18", shape=(1, 28, 28))


@pytest.mark.parametrize(
    "name",
    [
        *("mlp", "convnet"),
        *(pytest.param(name, marks=pytest.mark.exhaustive) for name in ("vgg", "resnet18")),
    ],
)
@pytest.mark.slow
def test_export_marks_every_sign_and_binary_layer(name: str) -> None:
    model = small(name, shape=(3, 16, 16), zero_point=(1, 2, 3))
    marks = exported_marks(model, images(2, 3, 16, 16))
    named = dict(model.named_modules())
    signs = [n for n, m in named.items() if isinstance(m, Sign)]
    binary = [n for n, m in named.items() if isinstance(m, BinaryConv2d | BinaryLinear)]
    assert [m.scope for m in marks if m.operator == "Sign"] == signs
    assert [m.scope for m in marks if m.operator == "BinaryWeight"] == [
        f"{n}.binary_weight" for n in binary
    ]
    assert marks[0].operator in ("IntegerConv2d", "IntegerLinear")


@pytest.mark.parametrize(
    ("name", "epochs"), [("mlp", 8), pytest.param("convnet", 25, marks=pytest.mark.slow)]
)
def test_digits_are_learned(name: str, epochs: int) -> None:
    torch.manual_seed(0)
    data = load("digits")
    model = build(name, input_shape=data.input_shape, n_classes=10, zero_point=data.zero_point)
    train(model, torch.from_numpy(data.x_train), torch.from_numpy(data.y_train), epochs)
    scores = model.eval()(torch.from_numpy(data.x_test))
    accuracy = (scores.argmax(1) == torch.from_numpy(data.y_test)).float().mean().item()
    assert accuracy > 0.95


def train(model: nn.Module, x: Tensor, y: Tensor, epochs: int, batch: int = 64) -> None:
    optimiser = torch.optim.Adam(model.parameters(), 0.03)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, epochs * (len(x) // batch))
    for _ in range(epochs):
        order = torch.randperm(len(x))
        for start in range(0, len(x) - batch + 1, batch):
            chosen = order[start : start + batch]
            optimiser.zero_grad()
            torch.autograd.backward(nn.functional.cross_entropy(model(x[chosen]), y[chosen]))
            optimiser.step()
            schedule.step()
