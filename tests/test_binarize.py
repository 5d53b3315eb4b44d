from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest
import torch
from marks import exported_marks
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import prune

from bnnkit.errors import UsageError
from bnnkit.nn import BinaryConv2d, BinaryLinear, Sign, binarize_


class Chain(nn.Sequential):
    def __getitem__(self, index: Any) -> Any:
        return super().__getitem__(index)


def chain() -> Chain:
    return Chain(
        nn.Conv2d(1, 4, 3, bias=False),
        nn.BatchNorm2d(4),
        nn.Hardtanh(),
        nn.Conv2d(4, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.Hardtanh(),
        nn.Flatten(),
        nn.Linear(8 * 6 * 6, 5),
    )


class Residual(nn.Module):
    """A block with a skip, whose second convolution is a user's own subclass."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(4, 4, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(4)
        self.act = nn.Hardtanh()
        self.second = ScaledConv2d(4, 4, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.second(self.act(self.norm(self.first(x))))
        return x + y


class ScaledConv2d(nn.Conv2d):
    def forward(self, input: Tensor) -> Tensor:
        return functional.conv2d(input, self.weight) * 0.1


class Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 4, 3, padding=1)
        self.blocks = nn.Sequential(Residual(), Residual())
        self.head = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.head(self.blocks(self.stem(x)).mean((2, 3)))
        return scores


def images() -> Tensor:
    return torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))


def module(model: nn.Module, name: str) -> Any:
    return model.get_submodule(name)


def watched_inputs(model: nn.Module, names: list[str], x: Tensor) -> dict[str, Tensor]:
    """What the forward of each named layer is given, after the hooks that came before."""
    seen: dict[str, Tensor] = {}

    def watch(name: str) -> Callable[..., None]:
        return lambda layer, inputs: seen.update({name: inputs[0]})

    handles = [model.get_submodule(n).register_forward_pre_hook(watch(n)) for n in names]
    model(x)
    for handle in handles:
        handle.remove()
    return seen


def values(tensor: Tensor) -> set[float]:
    return set(tensor.detach().flatten().tolist())


@pytest.mark.parametrize("training", [True, False])
def test_named_layers_get_binary_weights_and_inputs(training: bool) -> None:
    model = chain().train(training)
    float_signs = torch.where(model[3].weight >= 0, 1.0, -1.0)
    assert binarize_(model, ["3"]) is model
    assert values(model[3].weight) == {-1, 1}
    assert values(watched_inputs(model, ["3"], images())["3"]) == {-1, 1}
    assert not isinstance(model[3].weight, nn.Parameter)
    assert isinstance(model[0].weight, nn.Parameter)
    assert all(m.training == training for m in model.modules())
    model.eval()
    assert torch.equal(model[3].weight, float_signs)


@pytest.mark.parametrize("training", [True, False])
def test_behind_a_relu_all_inputs_become_plus_one_without_noise(training: bool) -> None:
    model = chain().train(training)
    model[2] = nn.ReLU()
    with pytest.warns(UserWarning, match=r"the signs of '3' are \+1 for every input"):
        binarize_(model, ["3"])
    assert values(watched_inputs(model, ["3"], images())["3"]) == ({-1, 1} if training else {1})


def test_latent_weights_start_at_the_scaled_float_weights() -> None:
    model = chain()
    weight = model[3].weight.detach().clone()
    binarize_(model, ["3"])
    latent = model.get_parameter("3.parametrizations.weight.original")
    torch.testing.assert_close(latent, weight / (2 * weight.square().mean().sqrt()))


def test_evaluation_is_the_network_written_out() -> None:
    model = binarize_(chain(), ["3", "7"]).eval()
    x = model[2](model[1](model[0](images())))
    x = functional.conv2d(sign(x), sign(latent(model, "3")), model[3].bias, padding=1)
    x = model[6](model[5](model[4](x)))
    expected = functional.linear(sign(x), sign(latent(model, "7")), model[7].bias)
    assert torch.equal(model(images()), expected)


def sign(x: Tensor) -> Tensor:
    return torch.where(x >= 0, 1.0, -1.0)


def latent(model: nn.Module, layer: str) -> Tensor:
    return model.get_parameter(f"{layer}.parametrizations.weight.original")


def test_a_network_with_skips_and_a_subclass() -> None:
    model = binarize_(Network(), ["blocks.*"])
    names = [f"blocks.{i}.{layer}" for i in range(2) for layer in ("first", "second")]
    for seen in watched_inputs(model, names, images()).values():
        assert values(seen) == {-1, 1}
    for name in names:
        assert values(module(model, name).weight) == {-1, 1}
    assert isinstance(model.get_submodule("blocks.1.second"), ScaledConv2d)
    assert isinstance(model.stem.weight, nn.Parameter)
    model(images()).sum().backward()
    assert all(p.grad is not None for p in model.parameters())


def test_signs_replace_activations_and_inputs_are_left_alone() -> None:
    model = binarize_(Network(), ["blocks.*.second"], signs=["blocks.*"], noise="uniform")
    for block in module(model, "blocks"):
        assert isinstance(block.act, Sign)
        assert block.act.noise.name == "uniform"
        assert not hasattr(block.second, "sign")
        assert isinstance(block.first.weight, nn.Parameter)
    seen = watched_inputs(model, ["blocks.0.first", "blocks.0.second"], images())
    assert len(values(seen["blocks.0.first"])) > 2
    assert values(seen["blocks.0.second"]) == {-1, 1}


def test_any_module_without_children_can_become_a_sign_by_its_name() -> None:
    model = binarize_(chain(), ["3"], signs=["1"])
    assert isinstance(model[1], Sign)


def test_an_activation_that_two_names_share_is_replaced_under_both() -> None:
    relu = nn.ReLU()
    model = Chain(nn.Linear(2, 2), relu, nn.Linear(2, 2), relu)
    binarize_(model, ["2"], signs=["*"])
    assert isinstance(model[1], Sign)
    assert isinstance(model[3], Sign)


def test_a_layer_that_two_names_share_becomes_binary_once() -> None:
    linear = nn.Linear(3, 3)
    model = binarize_(Chain(nn.Tanh(), linear, linear), ["*"])
    assert len(model[1].parametrizations["weight"]) == 1
    assert len(model[1]._forward_pre_hooks) == 1


def test_noises_of_signs_and_weights() -> None:
    model = binarize_(chain(), ["3"], noise="triangular", weight_noise="none")
    assert model[3].sign.noise.name == "triangular"
    assert model[3].parametrizations.weight[0].noise.name == "none"
    model = binarize_(chain(), ["3"], noise="triangular")
    assert model[3].parametrizations.weight[0].noise.name == "none"


def test_a_layer_by_itself() -> None:
    layer = binarize_(nn.Linear(4, 3), [""])
    assert values(layer.weight) == {-1, 1}


def test_a_deep_copy_is_independent() -> None:
    model = binarize_(chain(), ["3"]).eval()
    copy = deepcopy(model)
    copy[3].sign.train()
    assert not model[3].sign.training
    with torch.no_grad():
        latent(copy, "3").neg_()
    assert torch.equal(copy[3].weight, -model[3].weight)
    before = model(images())
    assert torch.equal(before, model(images()))


def test_state_dict_round_trip() -> None:
    model, other = binarize_(chain(), ["3", "7"]), binarize_(chain(), ["3", "7"])
    other.load_state_dict(model.state_dict())
    assert torch.equal(model.eval()(images()), other.eval()(images()))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")  # torch's
@pytest.mark.slow
def test_compiles_without_a_graph_break() -> None:
    model = binarize_(Network(), ["blocks.*"]).eval()
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(images()), model(images()))


@pytest.mark.parametrize(
    ("layers", "options", "message"),
    [
        (["stm"], {}, "a convolution or Linear layer, got 'stm', which picks nothing"),
        (["*.norm"], {}, r"got '\*.norm', which picks nothing"),
        (["blocks"], {}, "'blocks' is a Sequential; name the layers in it"),
        (["blocks.0.norm"], {}, "'blocks.0.norm' is a BatchNorm2d; leave it out"),
        (["blocks.0.act"], {}, "'blocks.0.act' is a Hardtanh; leave it out"),
        (None, {}, "layers to be a list of strings, got None"),
        ([3], {}, r"layers to be a list of strings, got \[3\]"),
        (["stem"], {"signs": 5}, "signs to be a list of strings, got 5"),
        (["stem"], {"estimator_options": 5}, "options of an estimator to be a mapping"),
        ("stem", {}, r"a list of names, got the string 'stem'; write \['stem'\]"),
        (["stem"], {"noise": "gauss"}, "got 'gauss'"),
        (["stem"], {"weight_noise": "gauss"}, "got 'gauss'"),
        (["stem"], {"signs": ["stem*"]}, r"an activation, got 'stem\*', which picks nothing"),
        (["stem"], {"signs": ["blocks.0"]}, r"'blocks.0' \(Residual\) has modules in it"),
        (["stem"], {"signs": [""]}, r"'' \(Network\) has modules in it"),
    ],
)
def test_what_cannot_be_binarized(layers: Any, options: dict[str, Any], message: str) -> None:
    model = Network()
    before = list(model.state_dict())
    with pytest.raises(UsageError, match=message):
        binarize_(model, layers, **options)
    assert list(model.state_dict()) == before


@pytest.mark.parametrize("layer", [BinaryLinear(2, 2), BinaryConv2d(2, 2, 1)], ids=repr)
def test_a_binary_layer_is_refused(layer: nn.Module) -> None:
    with pytest.raises(UsageError, match=r"'0' \(Binary.*\) is binary already"):
        binarize_(nn.Sequential(layer), ["0"])


def test_the_second_time_is_refused_and_changes_nothing() -> None:
    model = binarize_(chain(), ["3"])
    with pytest.raises(UsageError, match=r"'3' \(ParametrizedConv2d\) is binary already"):
        binarize_(model, ["7", "3"])
    assert isinstance(model[7].weight, nn.Parameter)


def pruned(layer: nn.Module) -> nn.Module:
    prune.l1_unstructured(layer, "weight", 0.5)  # type: ignore[no-untyped-call]
    return layer


@pytest.mark.filterwarnings("ignore:.*weight_norm.*deprecated:FutureWarning")  # torch's
@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (lambda: nn.utils.weight_norm(nn.Linear(8, 3)), "computed from others"),
        (lambda: nn.utils.spectral_norm(nn.Linear(8, 3)), "computed from others"),
        (lambda: nn.utils.parametrizations.weight_norm(nn.Linear(8, 3)), "computed from others"),
        (lambda: nn.utils.parametrizations.orthogonal(nn.Linear(8, 3)), "computed from others"),
        (lambda: pruned(nn.Linear(8, 3)), "computed from others"),
        (lambda: nn.LazyLinear(3), "run the model once"),
    ],
)
def test_weights_that_are_no_parameters_are_refused(
    layer: Callable[[], nn.Module], message: str
) -> None:
    model = nn.Sequential(nn.Linear(5, 8), nn.BatchNorm1d(8), layer())
    before = [name for name, _ in model.named_modules()]
    for signs in (None, ["1"]):
        with pytest.raises(UsageError, match=f"'2' .*{message}"):
            binarize_(model, ["0", "2"], signs=signs)
        assert [name for name, _ in model.named_modules()] == before
        assert isinstance(model[0].weight, nn.Parameter)


def test_shared_and_broken_weights_are_refused() -> None:
    model = nn.Sequential(nn.Tanh(), nn.Linear(4, 4), nn.Linear(4, 4))
    model[2].weight = model[1].weight
    with pytest.raises(UsageError, match=r"weight of its own in '2' .* a Linear shares it"):
        binarize_(model, ["2"])
    layer = nn.Linear(4, 2)
    with torch.no_grad():
        layer.weight[0, 0] = float("nan")
    with pytest.raises(UsageError, match="finite real numbers in the weight of '1'"):
        binarize_(nn.Sequential(nn.Tanh(), layer), ["1"])


def test_an_attribute_named_sign_is_not_overwritten() -> None:
    layer = nn.Linear(2, 2)
    layer.add_module("sign", nn.Identity())
    with pytest.raises(UsageError, match="no attribute `sign` in '0'"):
        binarize_(nn.Sequential(layer), ["0"])


def test_export_marks_the_layers() -> None:
    model = binarize_(Network(), ["blocks.0.second", "blocks.1.first"])
    marks = exported_marks(model, images())
    assert [(mark.operator, mark.scope) for mark in marks] == [
        ("Sign", "blocks.0.second.sign"),
        ("BinaryWeight", "blocks.0.second.parametrizations.weight.0"),
        ("Sign", "blocks.1.first.sign"),
        ("BinaryWeight", "blocks.1.first.parametrizations.weight.0"),
    ]
    assert marks[1].inputs == ("blocks.0.second.parametrizations.weight.original",)
