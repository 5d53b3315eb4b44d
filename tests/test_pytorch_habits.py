"""Every layer works with what users of PyTorch do with modules (docs/guides/ecosystem.md)."""

import pickle
from collections.abc import Callable
from copy import deepcopy
from io import BytesIO

import pytest
import torch
from layer_examples import LAYERS, images, signs
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.nn import utils
from torch.nn.utils import parametrizations, prune
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torch.utils.checkpoint import checkpoint

import bnnkit.nn as bnn
from bnnkit.errors import UsageError
from bnnkit.export import export_onnx

Make = Callable[[], nn.Module]

MOST_RULES = {name for name in LAYERS if name.startswith("rule ")} - {"rule bop", "rule adaste"}
every_layer = pytest.mark.parametrize(
    ("make", "x"),
    [
        pytest.param(*one, id=name, marks=[pytest.mark.exhaustive] if name in MOST_RULES else [])
        for name, one in LAYERS.items()
    ],
)
DTYPES = [
    pytest.param(torch.float16, marks=pytest.mark.exhaustive),
    torch.bfloat16,
    pytest.param(torch.float64, marks=pytest.mark.exhaustive),
]


def test_every_public_layer_is_here() -> None:
    made = {type(module) for make, _ in LAYERS.values() for module in make().modules()}
    public = [getattr(bnn, name) for name in bnn.__all__]
    layers = {one for one in public if isinstance(one, type) and issubclass(one, nn.Module)}
    assert layers - made == {bnn.WeightRule}


def assert_same(found: nn.Module, wanted: nn.Module, x: Tensor) -> None:
    """The same outputs in evaluation, and the same buffers, whether saved or not."""
    y, z = found.eval()(x), wanted.eval()(x)
    assert y.dtype == z.dtype
    assert torch.equal(y, z)
    for name, buffer in wanted.named_buffers():
        assert torch.equal(found.get_buffer(name), buffer), name


def of_dtype(x: Tensor, dtype: torch.dtype) -> Tensor:
    return x.to(dtype) if x.is_floating_point() else x


@every_layer
def test_a_state_dict_goes_through_a_file(make: Make, x: Tensor) -> None:
    layer, other, third = make(), make(), make()
    file = BytesIO()
    torch.save(layer.state_dict(), file)
    file.seek(0)
    state = torch.load(file, weights_only=True)
    other.load_state_dict(state)
    assert_same(other, layer, x)
    third.load_state_dict(state, assign=True)
    assert_same(third, layer, x)
    with pytest.raises(RuntimeError, match="Unexpected key"):
        other.load_state_dict(state | {"another": torch.zeros(())})


@every_layer
def test_a_deep_copy_is_another_layer(make: Make, x: Tensor) -> None:
    layer = make()
    layer(x)
    twin = deepcopy(layer)
    assert_same(twin, layer, x)
    for parameter in twin.parameters():
        parameter.data.add_(1)
    for parameter, other in zip(twin.parameters(), layer.parameters(), strict=True):
        assert not torch.equal(parameter, other)


@pytest.mark.parametrize("name", [name for name in LAYERS if name != "binarize_"])
def test_layers_are_pickled(name: str) -> None:
    make, x = LAYERS[name]
    layer = make()
    layer(x)
    assert_same(pickle.loads(pickle.dumps(layer)), layer, x)
    file = BytesIO()
    torch.save(layer, file)
    file.seek(0)
    assert_same(torch.load(file, weights_only=False), layer, x)


def test_torch_pickles_no_parametrized_layers() -> None:
    make, _ = LAYERS["binarize_"]
    with pytest.raises(RuntimeError, match="only supported through state_dict"):
        pickle.dumps(make())


@every_layer
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_a_layer_has_the_dtype_to_which_it_moves(
    make: Make, x: Tensor, dtype: torch.dtype
) -> None:
    layer = make().to(dtype)
    for training in (True, False):
        y = layer.train(training)(of_dtype(x, dtype))
        assert y.dtype == dtype
        if y.requires_grad:
            y.sum().backward()
    wanted = make().to(dtype)
    wanted.load_state_dict(layer.state_dict())
    assert_same(layer, wanted, of_dtype(x, dtype))


@every_layer
def test_float64_computes_the_same(make: Make, x: Tensor) -> None:
    layer = make().eval()
    y = deepcopy(layer).double()(of_dtype(x, torch.float64))
    torch.testing.assert_close(y, layer(x).double())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no CUDA device")
def test_layers_move_to_the_gpu() -> None:
    for make, x in LAYERS.values():
        layer = make().eval()
        torch.testing.assert_close(deepcopy(layer).to("cuda")(x.to("cuda")).cpu(), layer(x))


@pytest.mark.slow  # torch imports much for its first call on this device
@every_layer
def test_shapes_are_computed_on_the_device_meta(make: Make, x: Tensor) -> None:
    layer = make()
    wanted = layer(x).shape
    layer.to("meta")
    assert repr(layer)
    for training in (True, False):
        y = layer.train(training)(x.to("meta"))
        assert y.is_meta
        assert y.shape == wanted


@every_layer
@pytest.mark.parametrize("assign", [True, False])
def test_a_layer_made_on_the_device_meta_gets_its_numbers_later(
    make: Make, x: Tensor, assign: bool
) -> None:
    """Nothing that is not saved is left without its value."""
    wanted = make()
    with torch.device("meta"):
        layer = make()
    if not assign:
        layer.to_empty(device="cpu")
        for parameter in layer.parameters():
            parameter.data.fill_(torch.nan)
    layer.load_state_dict(wanted.state_dict(), assign=assign)
    assert_same(layer, wanted, x)


def test_a_scheduled_scale_of_the_noise_leaves_the_device_meta() -> None:
    sign = bnn.Sign()
    sign.scale_training_noise(0.5)
    sign.to("meta").to_empty(device="cpu")
    assert sign._training_scale == 0.5


@pytest.mark.parametrize(
    ("kind", "arguments", "options"),
    [
        (bnn.BinaryLinear, (6, 4), {}),
        (bnn.BinaryConv1d, (3, 4, 3), {"weight_rule": "bop"}),
        (bnn.BinaryConv2d, (3, 4, 3), {"scale": "mean-abs"}),
        (bnn.BinaryConv3d, (3, 4, 3), {}),
        (bnn.BinaryConvTranspose1d, (3, 4, 3), {}),
        (bnn.BinaryConvTranspose2d, (3, 4, 3), {}),
        (bnn.IntegerConv2d, (3, 4, 3), {"zero_point": 1}),
        (bnn.IntegerLinear, (6, 4), {"zero_point": 1}),
        (bnn.Quantize, (2,), {"learned": True}),
    ],
)
def test_layers_have_torchs_arguments_device_and_dtype(
    kind: Callable[..., nn.Module], arguments: tuple[int, ...], options: dict[str, object]
) -> None:
    layer = kind(*arguments, **options, device="meta", dtype=torch.float64)
    for tensor in (*layer.parameters(), *layer.buffers()):
        assert tensor.is_meta
        assert tensor.dtype == torch.float64 or not tensor.is_floating_point()
    skipped = utils.skip_init(kind, *arguments, **options, dtype=torch.float64)
    skipped.load_state_dict(kind(*arguments, **options, dtype=torch.float64).state_dict())
    with pytest.raises(UsageError, match=r"floating-point dtype.*got torch.int32"):
        kind(*arguments, **options, dtype=torch.int32)


@every_layer
def test_autocast_computes_and_has_gradients(make: Make, x: Tensor) -> None:
    layer = make()
    for training in (True, False):
        layer.train(training)
        for given in (x, of_dtype(x, torch.bfloat16)):
            with torch.autocast("cpu", torch.bfloat16):
                y = layer(given)
            if y.requires_grad:
                y.float().sum().backward()
    assert all(p.grad is not None for p in layer.parameters())


def test_a_gradient_scaler_skips_steps_and_their_rules() -> None:
    layer = bnn.BinaryLinear(
        6, 4, weight_rule="binary-connect", weight_rule_options={"limit": 0.01}
    )
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
    bnn.attach_rules(layer, optimizer)
    scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
    before = layer.latent.detach().clone()
    for factor in (torch.inf, 1.0):
        assert torch.equal(layer.latent, before)  # a step that overflows is left out
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            loss = (layer(signs(3, 6)) * factor).square().sum()
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        utils.clip_grad_norm_(layer.parameters(), 1.0)
        scaler.step(optimizer)
        scaler.update()
    assert layer.latent.abs().max() <= 0.01


@every_layer
def test_checkpointed_activations_have_the_same_gradients(make: Make, x: Tensor) -> None:
    layer = make()
    gradients = []
    for run in (layer, lambda given: checkpoint(layer, given, use_reentrant=False)):
        layer.zero_grad()
        given = x.clone().requires_grad_(x.is_floating_point())
        torch.manual_seed(0)
        run(given).square().sum().backward()
        found = [*(p.grad for p in layer.parameters()), given.grad]
        gradients.append([g for g in found if g is not None])
    for one, other in zip(*gradients, strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("name", ["BinaryLinear", "BinaryConv2d", "IntegerConv2d", "binarize_"])
def test_parameters_as_a_vector(name: str) -> None:
    make, x = LAYERS[name]
    layer, other = make(), make()
    layer(x).square().sum().backward()
    utils.clip_grad_norm_(layer.parameters(), 1.0)
    norms = [p.grad.norm() for p in layer.parameters() if p.grad is not None]
    assert 0.99 < torch.stack(norms).norm() < 1.01
    utils.vector_to_parameters(utils.parameters_to_vector(layer.parameters()), other.parameters())
    for one, two in zip(layer.parameters(), other.parameters(), strict=True):
        assert torch.equal(one, two)


@every_layer
def test_functional_calls_and_their_gradients(make: Make, x: Tensor) -> None:
    """In evaluation; in training, buffers change in place, as those of batch norms do."""
    layer = make().eval()
    given = {name: p.detach() for name, p in layer.named_parameters()}
    assert torch.equal(functional_call(layer, given, (x,)), layer(x))

    def loss(parameters: dict[str, Tensor], x: Tensor) -> Tensor:
        found: Tensor = functional_call(layer, parameters, (x,)).square().sum()
        return found

    if given:
        gradients = grad(loss)(given, x)
        of_examples = vmap(grad(loss), (None, 0))(given, x[:, None])
        loss(dict(layer.named_parameters()), x).backward()
        for name, parameter in layer.named_parameters():
            torch.testing.assert_close(gradients[name], parameter.grad)
            torch.testing.assert_close(
                of_examples[name].sum(0), parameter.grad, rtol=1e-4, atol=1e-4
            )
    else:
        own = x.clone().requires_grad_()
        loss({}, own).backward()
        gradient = vmap(grad(lambda one: loss({}, one[None])))(x)
        assert own.grad is not None
        torch.testing.assert_close(gradient, own.grad)


def test_pruned_binary_weights_are_refused() -> None:
    """A weight of 0 has the sign +1."""
    layer = bnn.BinaryConv2d(3, 4, 3)
    prune.l1_unstructured(layer, "latent", amount=0.5)
    message = "latent weights of a BinaryConv2d to be a parameter.*a pruned binary weight is"
    with pytest.raises(UsageError, match=message):
        bnn.latent_parameters(layer)
    network = nn.Sequential(bnn.Sign(), layer)
    with pytest.raises(UsageError, match=message):
        export_onnx(network, torch.randn(1, 3, 5, 5), "never.onnx")
    prune.remove(layer, "latent")
    assert len(bnn.latent_parameters(layer)) == 1


def test_computed_latent_weights_are_refused() -> None:
    layer = bnn.BinaryLinear(6, 4)
    parametrizations.weight_norm(layer, "latent")
    with pytest.raises(UsageError, match="computed from others"):
        bnn.set_progress(layer, 0.5)


def test_what_torch_refuses_by_name() -> None:
    """There is no `weight` of which it could be a function, and no `bias`."""
    layer = bnn.BinaryConv2d(3, 4, 3).eval()
    norm = nn.BatchNorm2d(4).eval()
    with pytest.raises(ValueError, match="'weight'"):
        parametrizations.weight_norm(layer)
    with pytest.raises(ValueError, match="'weight'"):
        parametrizations.spectral_norm(layer)
    with pytest.raises(AttributeError, match="weight"):
        prune.l1_unstructured(layer, "weight", amount=0.5)
    with pytest.raises(AttributeError, match="weight"):
        fuse_conv_bn_eval(layer, norm)  # type: ignore[type-var]
    with pytest.raises(AttributeError, match="bias"):
        fuse_conv_bn_eval(bnn.IntegerConv2d(3, 4, 3, zero_point=0).eval(), norm)  # type: ignore[type-var]
    binarized = LAYERS["binarize_"][0]().eval()[0]  # type: ignore[index]
    with pytest.raises(KeyError, match="weight"):
        fuse_conv_bn_eval(binarized, norm)
    with pytest.raises(TypeError, match="weight_orig"):
        prune.l1_unstructured(binarized, "weight", amount=0.5)


def test_an_exponential_average_of_the_weights() -> None:
    make, x = LAYERS["BinaryConv2d"]
    layer = make()
    average = torch.optim.swa_utils.AveragedModel(
        layer, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.5), use_buffers=True
    )
    latent = layer.get_parameter("latent")
    before = latent.detach().clone()
    average.update_parameters(layer)
    latent.data.add_(1)
    average.update_parameters(layer)
    torch.testing.assert_close(average.module.latent, before + 0.5)
    assert average(x).shape == layer(x).shape


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64], ids=str)
def test_files_are_of_networks_in_float32(dtype: torch.dtype) -> None:
    network = nn.Sequential(bnn.IntegerLinear(6, 4, zero_point=1), nn.Linear(4, 3)).to(dtype)
    with pytest.raises(UsageError, match=f"model in float32, got {dtype}; call .float()"):
        export_onnx(network, images(1, 6), "never.onnx")


COMPILED = [name for name in LAYERS if not name.startswith("rule ")]
"""The rules are compiled in tests/test_choices_of_runs.py."""


@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")  # torch's
@pytest.mark.slow
@pytest.mark.parametrize("name", COMPILED)
def test_layers_compile_whole(name: str) -> None:
    make, x = LAYERS[name]
    for training in (True, False):
        torch.compiler.reset()
        layer = make().train(training)
        compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
        torch.manual_seed(0)
        y = compiled(x)
        torch.manual_seed(0)
        torch.testing.assert_close(y, layer(x))
        if y.requires_grad:
            y.sum().backward()


@pytest.mark.slow
@pytest.mark.parametrize("name", COMPILED)
def test_layers_are_exported_by_torch(name: str) -> None:
    make, x = LAYERS[name]
    layer = make().eval()
    batch = torch.export.Dim("batch", min=2, max=64)
    program = torch.export.export(layer, (x,), dynamic_shapes=({0: batch},))
    file = BytesIO()
    torch.export.save(program, file)
    file.seek(0)
    again = torch.export.load(file).module()
    for given in (x, torch.cat([x, x.flip(0)])):
        assert torch.equal(again(given), layer(given))


def test_images_as_floats_are_checked_once_numbers_are_there() -> None:
    layer = bnn.IntegerLinear(6, 4, zero_point=1)
    layer.to("meta")(torch.rand(2, 6, device="meta"))
    real = bnn.IntegerLinear(6, 4, zero_point=1)
    with pytest.raises(UsageError, match="integers from 0 to 255"):
        real(torch.rand(2, 6))
    assert torch.equal(real(images(2, 6).float()), real(images(2, 6)))
