"""Turn chosen layers of any torch model binary, in place."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, Final, TypeVar
from warnings import warn

import torch
from torch import nn
from torch.nn.parameter import UninitializedParameter
from torch.nn.utils.parametrize import register_parametrization

from bnnkit.errors import UsageError
from bnnkit.nn import conv_bn_relu
from bnnkit.nn.base import arguments
from bnnkit.nn.base.noise import Noise, get_noise
from bnnkit.nn.binary_layers import BinaryConvolution, BinaryLinear
from bnnkit.nn.binary_weight import BinaryWeight
from bnnkit.nn.estimators import Estimator, get_estimator
from bnnkit.nn.sign import Sign
from bnnkit.nn.sign_inputs import ACTIVATIONS, is_linear_map, sign_inputs
from bnnkit.nn.transposed_layers import BinaryTransposedConvolution
from bnnkit.nn.transposed_weight import TransposedBinaryWeight
from bnnkit.nn.weight_rules import WeightRule, get_weight_rule

M = TypeVar("M", bound=nn.Module)

PRESETS: Final = {"conv-bn-relu": conv_bn_relu.plan}
"""Functions that choose the layers of a model."""


def binarize_(
    model: M,
    layers: Iterable[str] | None = None,
    *,
    preset: str | None = None,
    signs: Iterable[str] | None = None,
    noise: str | Noise = "logistic",
    weight_noise: str | Noise | None = None,
    estimator: str | Estimator = "st",
    estimator_options: Mapping[str, Any] | None = None,
    weight_rule: str | WeightRule = "mirror-descent",
    weight_rule_options: Mapping[str, Any] | None = None,
) -> M:
    """Give the named layers binary weights and signs for inputs, in place.

    Each layer's `weight` is parametrized by `BinaryWeight`; the latent weights start at
    weight / (2 rms(weight)), so signs and relative sizes are kept. A bias stays real-valued.

    Names are those of `model.named_modules()`. A name may be a pattern with * ? [ ], which selects
    the convolutions and linear layers (in `signs`: the activations) among the modules it matches.

    The sign of a ReLU's output is always +1, so the layer behind it would compute a constant. A
    warning names such layers, those that take the network's input, of which a sign leaves one bit,
    and those that the forward pass does not call, where torch.fx can trace it. The preset avoids
    all three.

    Args:
        model: Any module; it is changed.
        layers: Names or patterns of layers that are `torch.nn.Conv1d`, `Conv2d`, `Conv3d`,
            `ConvTranspose1d`, `ConvTranspose2d` or `Linear`.
        preset: In place of `layers` and `signs`, for networks of convolution, batch norm and ReLU
            (VGG, ResNet, MobileNet): "conv-bn-relu". The first and the last layer, shortcuts,
            depthwise convolutions and layers without a batch norm stay real-valued. All others
            become binary, with signs in place of the activations before them, so that real values
            go around them on skip connections (bnnkit/nn/conv_bn_relu.py). `real_layers(model)`
            says which layers it leaves real-valued, and why.
        signs: Names or patterns of the activations that become `Sign`. If None, each layer instead
            gets a `Sign` of its own, its submodule `sign`, which is applied to its input.
        noise: The noise of the signs, or its name.
        weight_noise: The noise of the weights in training, or its name. None is no noise for the
            rule mirror-descent, and the default noise of every other rule. With a noise,
            batch norms learn the statistics of drawn weights, which are not deployed: give
            `export_onnx` training inputs (`calibrate`) to re-estimate them.
        estimator: The estimator of the signs, or its name.
        estimator_options: The options of an estimator given by name.
        weight_rule: The rule of the weights, or its name.
        weight_rule_options: The options of a rule given by name.

    Returns:
        The model.

    Raises:
        UsageError: If a name or pattern matches nothing; a named module is a container, of another
            type, or binary already; its weight is not a parameter of its own (pruned, normalised
            by weight_norm or another parametrization, shared, or not initialised yet); a noise, an
            estimator, a rule or an option is unknown; or they cannot be combined. The model is
            unchanged then.
    """
    if not isinstance(model, nn.Module):
        raise UsageError(f"expected a torch.nn.Module, got {type(model).__name__}")
    noise, estimator = get_noise(noise), get_estimator(estimator, estimator_options)
    rule = get_weight_rule(weight_rule, weight_rule_options)
    if weight_noise is None and rule.name == "mirror-descent":
        weight_noise = "none"
    Sign(noise, estimator), BinaryWeight(weight_noise, rule)  # raises before the model is changed
    removed: tuple[str, ...] = ()
    if preset is None:
        patterns = arguments.strings("layers", layers)
    else:
        plan = _planned(model, preset, layers, signs)
        patterns, removed = list(plan.layers), plan.removed
    chosen = _choose(model, patterns, is_linear_map, "a convolution or Linear layer")
    activations = [] if signs is None else arguments.strings("signs", signs)
    replaced = _choose(model, activations, _is_activation, "an activation")
    for name, layer in chosen.items():
        _check_layer(name, layer, needs_sign=signs is None)
        _check_weight(model, name, layer)
    for name, module in replaced.items():
        _check_activation(name, module)
    if preset is None:
        _warn(model, chosen, replaced, has_own_signs=signs is None)

    # A layer may have two names in the model.
    for layer in dict.fromkeys(chosen.values()):
        if signs is None:
            layer.add_module("sign", Sign(noise, estimator))
            layer.register_forward_pre_hook(_sign_input)
        register_parametrization(layer, "weight", _binary_weight(layer, weight_noise, rule))
        layer.train(layer.training)
    for name, module in replaced.items():
        model.set_submodule(name, Sign(noise, estimator).train(module.training))
    for name in removed:
        model.set_submodule(name, nn.Identity())
    return model


def _binary_weight(
    layer: nn.Module, noise: str | Noise | None, rule: str | WeightRule
) -> BinaryWeight:
    if isinstance(layer, nn.ConvTranspose1d | nn.ConvTranspose2d):
        return TransposedBinaryWeight(layer.groups, noise, rule)
    return BinaryWeight(noise, rule)


def _planned(model: nn.Module, preset: str, layers: object, signs: object) -> conv_bn_relu.Plan:
    """Choose the layers by a preset.

    Raises:
        UsageError: If the preset is unknown or cannot be used, or layers or signs are given too.
    """
    arguments.choice("a preset", preset, PRESETS)
    if layers is not None or signs is not None:
        raise UsageError(
            f"expected layers and signs, or the preset {preset}, which chooses both; got both"
        )
    return PRESETS[preset](model)


def _warn(
    model: nn.Module,
    chosen: Mapping[str, nn.Module],
    replaced: Mapping[str, nn.Module],
    *,
    has_own_signs: bool,
) -> None:
    """Warn of signs that make a network constant, and of layers that are never called."""
    found = sign_inputs(model, [*chosen, *replaced])
    signed = chosen if has_own_signs else replaced
    constant = [name for name in found.never_negative if name in signed]
    at_input = [name for name in found.network_input if name in signed]
    uncalled = [name for name in found.never_called if name in chosen]
    mends = "replace the activations before them (signs=[...]), or use preset='conv-bn-relu'"
    if constant:
        warn(
            f"the signs of {_listed(constant)} are +1 for every input, because they follow a ReLU"
            f" or another function that is never negative, so these layers compute constants:"
            f" {mends}",
            stacklevel=3,
        )
    if at_input:
        warn(
            f"the sign of {_listed(at_input)} keeps one bit of each number of the network's input:"
            " leave the first layer real-valued, or use IntegerConv2d for images",
            stacklevel=3,
        )
    if uncalled:
        warn(
            f"the forward pass does not call {_listed(uncalled)}: no sign is taken there",
            stacklevel=3,
        )


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(map(repr, names[:_MOST_NAMES]))
    more = len(names) - _MOST_NAMES
    return f"{shown} and {more} more" if more > 0 else shown


_MOST_NAMES: Final = 4


def _sign_input(layer: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    # Takes the sign from the layer that is called, so that a deep copy uses its own.
    return layer.get_submodule("sign")(inputs[0]), *inputs[1:]


def _choose(
    model: nn.Module, names: Iterable[str], picks: Callable[[nn.Module], bool], kind: str
) -> dict[str, nn.Module]:
    """Return the modules that the names and patterns match, by name."""
    modules = dict(model.named_modules(remove_duplicate=False))
    chosen: dict[str, nn.Module] = {}
    for name in names:
        if name in modules:
            found = {name: modules[name]}
        else:
            found = {n: m for n, m in modules.items() if fnmatchcase(n, name) and picks(m)}
            found = _without_attention(found)
        if not found:
            raise UsageError(
                f"expected the name or pattern of {kind}, got {name!r}, which picks nothing; "
                "model.named_modules() lists the names"
            )
        chosen |= found
    return chosen


def _without_attention(found: dict[str, nn.Module]) -> dict[str, nn.Module]:
    """Leave out what `MultiheadAttention` reads without calling it, and warn."""
    left_out = [name for name, module in found.items() if _is_of_attention(module)]
    if left_out and len(left_out) < len(found):
        warn(
            f"left {_listed(left_out)} real-valued: MultiheadAttention reads the weight without"
            " calling the layer, so no sign would be taken",
            stacklevel=5,
        )
    # If nothing else is found, `_check_layer` refuses them.
    kept = {name: module for name, module in found.items() if name not in left_out}
    return kept or found


def _is_of_attention(module: nn.Module) -> bool:
    """Whether a layer is the `out_proj` of torch's `MultiheadAttention`."""
    return isinstance(module, nn.modules.linear.NonDynamicallyQuantizableLinear)


def _is_activation(module: nn.Module) -> bool:
    return isinstance(module, ACTIVATIONS)


def _check_layer(name: str, layer: nn.Module, *, needs_sign: bool) -> None:
    kind = type(layer).__name__
    if _is_binary(layer):
        raise UsageError(f"expected a real-valued layer, but {name!r} ({kind}) is binary already")
    if not is_linear_map(layer):
        hint = "name the layers in it" if _has_modules(layer) else "leave it out"
        raise UsageError(
            f"expected a Conv1d, Conv2d, Conv3d, ConvTranspose1d, ConvTranspose2d or Linear"
            f" layer, but {name!r} is a {kind}; {hint}"
        )
    if _is_of_attention(layer):
        raise UsageError(
            f"expected a layer that is called, but MultiheadAttention reads the weight of {name!r}"
            " without calling it, so no sign would be taken; leave it out"
        )
    if needs_sign and hasattr(layer, "sign"):
        raise UsageError(
            f"expected no attribute `sign` in {name!r} ({kind}); rename it, or give `signs`"
        )


def _check_weight(model: nn.Module, name: str, layer: nn.Module) -> None:
    """Check that the weight of a layer is a parameter of its own."""
    if any(isinstance(p, UninitializedParameter) for p in layer.parameters(recurse=False)):
        raise UsageError(
            f"expected a layer with weights, but {name!r} ({type(layer).__name__}) has none until"
            " it is called: run the model once before"
        )
    weight = layer._parameters.get("weight")
    if weight is None:
        raise UsageError(
            f"expected the weight of {name!r} ({type(layer).__name__}) to be a parameter, but it"
            " is computed from others (weight_norm, spectral_norm, pruning or another"
            " parametrization): remove that first, with torch's remove_weight_norm,"
            " prune.remove or remove_parametrizations"
        )
    is_real = weight.is_floating_point()
    if not is_real or not (weight.is_meta or bool(torch.isfinite(weight).all())):
        raise UsageError(f"expected finite real numbers in the weight of {name!r}")
    owners = (m for m in model.modules() if any(p is weight for p in m._parameters.values()))
    other = next((m for m in owners if m is not layer), None)
    if other is not None:
        raise UsageError(
            f"expected a weight of its own in {name!r} ({type(layer).__name__}), but a"
            f" {type(other).__name__} shares it: give each a copy, or leave the layer out"
        )


def _check_activation(name: str, module: nn.Module) -> None:
    kind = type(module).__name__
    if name == "" or _has_modules(module):
        raise UsageError(
            f"expected an activation, but {name!r} ({kind}) has modules in it; name one of those"
        )


def _is_binary(layer: nn.Module) -> bool:
    if isinstance(layer, BinaryConvolution | BinaryTransposedConvolution | BinaryLinear):
        return True
    return is_linear_map(layer) and any(isinstance(m, BinaryWeight) for m in layer.modules())


def _has_modules(module: nn.Module) -> bool:
    return next(module.children(), None) is not None
