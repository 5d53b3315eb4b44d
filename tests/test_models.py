"""What all networks of `bnnkit.models` have in common, and the multilayer perceptron."""

from typing import Any

import pytest
import torch
from marks import exported_marks
from small_models import LITERATURE, OTHER, REAL, SMALL, images, small
from torch import Tensor, nn

from bnnkit.data import load
from bnnkit.errors import ConfigError, UsageError
from bnnkit.models import MODELS, build
from bnnkit.models.last_layer import LastLinear
from bnnkit.nn import (
    BinaryConv2d,
    BinaryLinear,
    IntegerConv2d,
    IntegerLinear,
    Logistic,
    Quantize,
    Sign,
)
from bnnkit.nn.base.noise import register_noise

EVERY = pytest.mark.parametrize("name", SMALL)


def test_every_model_is_tested() -> None:
    assert set(MODELS) == set(SMALL) | set(OTHER) | set(LITERATURE) | set(REAL)


@EVERY
def test_integer_images(name: str) -> None:
    model = small(name, zero_point=(1, 2, 3))
    scores = model(images(5, 3, 16, 24))
    assert (scores.shape, scores.dtype) == ((5, 7), torch.float32)
    scores.sum().backward()
    assert all(p.grad is not None for p in model.parameters())


@EVERY
def test_activations_of_two_bits(name: str) -> None:
    """They take the place of all signs, with the words for estimators and noises."""
    model = small(name, activation_bits=2, activation_step="learned", estimator="st")
    layers = [module for module in model.modules() if isinstance(module, Quantize)]
    assert layers
    assert not any(isinstance(module, Sign) for module in model.modules())
    assert all((layer.bits, layer.estimator.name) == (2, "st") for layer in layers)
    assert all(isinstance(layer.step, nn.Parameter) for layer in layers)
    convolutions = [module for module in model.modules() if isinstance(module, BinaryConv2d)]
    assert all(layer.padding_value == "zeros" for layer in convolutions)
    model(torch.randn(3, 3, 16, 24)).sum().backward()
    assert all(layer.step.grad is not None for layer in layers)


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ({"activation_bits": 5}, "expected 2 to 4 bits"),
        ({"activation_bits": 0}, "activation_bits to be an int of at least 1"),
        ({"activation_step": "learned"}, "learned needs activation_bits of 2 to 4, got 1"),
        ({"activation_step": "free"}, "expected activation_step out of fixed, learned"),
    ],
)
def test_wrong_options_of_activations(option: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        small("convnet", **option)


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


@EVERY
def test_the_padding_value_is_one_word(name: str) -> None:
    model = build(
        name, input_shape=(3, 16, 16), n_classes=2, zero_point=None, padding_value="zeros",
        **SMALL[name],
    )  # fmt: skip
    values = {m.padding_value for m in model.modules() if isinstance(m, BinaryConv2d)}
    assert values == (set() if name in ("mlp", "transformer") else {"zeros"})


@pytest.mark.parametrize("name", MODELS)
def test_logits_are_not_rounded_by_autocast(name: str) -> None:
    options: dict[str, Any] = {"input_shape": (3, 32, 32), "width": 4}
    options |= OTHER.get(name, {}) | LITERATURE.get(name, {})
    model = build(name, n_classes=2, zero_point=(1, 2, 3), **options)
    classifier = model.get_submodule("classifier")
    seen: list[tuple[Tensor, Tensor]] = []
    classifier.register_forward_hook(lambda m, inputs, output: seen.append((*inputs, output)))
    with torch.autocast("cpu", torch.bfloat16):
        model(images(2, *options["input_shape"]))
    ((features, logits),) = seen
    assert logits.dtype == torch.float32
    assert torch.equal(logits, classifier(features.float()))


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
def test_noises_by_name_also_a_users(name: str) -> None:
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


@pytest.mark.parametrize("name", ["convnet", "vgg", "vgg-small", "resnet18", *LITERATURE, *REAL])
def test_inputs_that_are_no_images(name: str) -> None:
    with pytest.raises(
        UsageError, match=r"images of shape \(C, H, W\), got inputs of shape \(64,"
    ):
        build(name, input_shape=(64,), n_classes=2, zero_point=None)


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
