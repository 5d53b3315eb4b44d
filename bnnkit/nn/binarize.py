"""Turn chosen layers of any torch model binary, in place."""

from collections.abc import Callable, Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any, TypeVar

from torch import nn
from torch.nn.utils.parametrize import register_parametrization

from bnnkit.errors import UsageError
from bnnkit.nn.base.noise import Noise, get_noise
from bnnkit.nn.binary_layers import BinaryConv2d, BinaryLinear
from bnnkit.nn.binary_weight import BinaryWeight
from bnnkit.nn.estimators import Estimator, get_estimator
from bnnkit.nn.sign import Sign
from bnnkit.nn.weight_rules import WeightRule, get_weight_rule

M = TypeVar("M", bound=nn.Module)

# The modules that a pattern in `signs` matches; an exact name may be any module without children.
_ACTIVATIONS = (
    nn.CELU,
    nn.ELU,
    nn.GELU,
    nn.Hardsigmoid,
    nn.Hardswish,
    nn.Hardtanh,
    nn.Identity,
    nn.LeakyReLU,
    nn.Mish,
    nn.PReLU,
    nn.ReLU,
    nn.SELU,
    nn.SiLU,
    nn.Sigmoid,
    nn.Softplus,
    nn.Softsign,
    nn.Tanh,
)


def binarize_(
    model: M,
    layers: Iterable[str],
    *,
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

    Args:
        model: Any module; it is changed.
        layers: Names or patterns of layers that are `torch.nn.Conv2d` or `torch.nn.Linear`.
        signs: Names or patterns of the activations that become `Sign`. If None, each layer instead
            gets a `Sign` of its own, its submodule `sign`, which is applied to its input.
        noise: The noise of the signs, or its name.
        weight_noise: The noise of the weights, or its name. None is the noise of the signs for the
            rule mirror-descent, and the default noise of every other rule.
        estimator: The estimator of the signs, or its name.
        estimator_options: The options of an estimator given by name.
        weight_rule: The rule of the weights, or its name.
        weight_rule_options: The options of a rule given by name.

    Returns:
        The model.

    Raises:
        UsageError: If a name or pattern matches nothing; a named module is a container, of another
            type, or binary already; a noise, an estimator, a rule or an option is unknown; or they
            cannot be combined. The model is unchanged then.
    """
    noise, estimator = get_noise(noise), get_estimator(estimator, estimator_options)
    rule = get_weight_rule(weight_rule, weight_rule_options)
    if weight_noise is None and rule.name == "mirror-descent":
        weight_noise = noise
    Sign(noise, estimator), BinaryWeight(weight_noise, rule)  # raises before the model is changed
    chosen = _choose(model, layers, _is_linear_map, "a Conv2d or Linear layer")
    replaced = _choose(model, signs or (), _is_activation, "an activation")
    for name, layer in chosen.items():
        _check_layer(name, layer, needs_sign=signs is None)
    for name, module in replaced.items():
        _check_activation(name, module)

    # A layer may have two names in the model.
    for layer in dict.fromkeys(chosen.values()):
        if signs is None:
            layer.add_module("sign", Sign(noise, estimator))
            layer.register_forward_pre_hook(_sign_input)
        register_parametrization(layer, "weight", BinaryWeight(weight_noise, rule))
        layer.train(layer.training)
    for name, module in replaced.items():
        model.set_submodule(name, Sign(noise, estimator).train(module.training))
    return model


def _sign_input(layer: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    # Takes the sign from the layer that is called, so that a deep copy uses its own.
    return layer.get_submodule("sign")(inputs[0]), *inputs[1:]


def _choose(
    model: nn.Module, names: Iterable[str], picks: Callable[[nn.Module], bool], kind: str
) -> dict[str, nn.Module]:
    """Return the modules that the names and patterns match, by name."""
    if isinstance(names, str):
        raise UsageError(f"expected a list of names, got the string {names!r}; write [{names!r}]")
    modules = dict(model.named_modules(remove_duplicate=False))
    chosen: dict[str, nn.Module] = {}
    for name in names:
        if name in modules:
            found = {name: modules[name]}
        else:
            found = {n: m for n, m in modules.items() if fnmatchcase(n, name) and picks(m)}
        if not found:
            raise UsageError(
                f"expected the name or pattern of {kind}, got {name!r}, which picks nothing; "
                "model.named_modules() lists the names"
            )
        chosen |= found
    return chosen


def _is_linear_map(module: nn.Module) -> bool:
    return isinstance(module, nn.Conv2d | nn.Linear)


def _is_activation(module: nn.Module) -> bool:
    return isinstance(module, _ACTIVATIONS)


def _check_layer(name: str, layer: nn.Module, *, needs_sign: bool) -> None:
    kind = type(layer).__name__
    if _is_binary(layer):
        raise UsageError(f"expected a real-valued layer, but {name!r} ({kind}) is binary already")
    if not _is_linear_map(layer):
        hint = "name the layers in it" if _has_modules(layer) else "leave it out"
        raise UsageError(f"expected a Conv2d or Linear layer, but {name!r} is a {kind}; {hint}")
    if needs_sign and hasattr(layer, "sign"):
        raise UsageError(
            f"expected no attribute `sign` in {name!r} ({kind}); rename it, or give `signs`"
        )


def _check_activation(name: str, module: nn.Module) -> None:
    kind = type(module).__name__
    if name == "" or _has_modules(module):
        raise UsageError(
            f"expected an activation, but {name!r} ({kind}) has modules in it; name one of those"
        )


def _is_binary(layer: nn.Module) -> bool:
    if isinstance(layer, BinaryConv2d | BinaryLinear):
        return True
    return _is_linear_map(layer) and any(isinstance(m, BinaryWeight) for m in layer.modules())


def _has_modules(module: nn.Module) -> bool:
    return next(module.children(), None) is not None
