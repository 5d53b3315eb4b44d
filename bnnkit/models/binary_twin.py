"""The binary twin of a network of convolution, batch norm and ReLU.

Its layers are chosen as by the preset conv-bn-relu of `bnnkit.nn.binarize_`. It is a new module,
which makes more possible than the preset's changes in place:

1. The activation before binary layers is removed where only they take its value, and becomes an
   RPReLU where the value goes around them too.
2. Each binary layer gets a skip of its own where shapes allow it (see `twin_skips`).
3. An activation may be a function, and a module may be called at several places.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Final, TypedDict

import torch
from torch import fx, nn
from typing_extensions import Unpack

from bnnkit.errors import UsageError
from bnnkit.models.first_layer import ToAutocast
from bnnkit.models.last_layer import LastLinear
from bnnkit.models.rprelu import ChannelShift, RPReLU
from bnnkit.models.twin_graph import TwinGraph
from bnnkit.models.twin_skips import add_skips
from bnnkit.nn import (
    Estimator,
    IntegerConv2d,
    Noise,
    Sign,
    WeightRule,
    binarize_,
    connect_psa,
)
from bnnkit.nn.base import arguments
from bnnkit.nn.conv_bn_relu import LAST
from bnnkit.nn.sign_inputs import is_linear_map

WEIGHTS: Final = ("binary", "real")
ACTIVATIONS: Final = ("rprelu", "none")
SKIPS: Final = ("each", "own")
_MOST: Final = 4
"""How many layers a message names."""


class TwinOptions(TypedDict, total=False):
    """How a network becomes binary.

    Attributes:
        weights: "binary" (default), or "real": signs between real-valued weights, a stage before.
        activation: What replaces an activation whose value also goes around binary layers:
            "rprelu" (default), or "none". Sums of the skips that are added get the same.
        skips: "each" (default) adds a skip around each binary layer where shapes allow it; "own"
            leaves the network's own skips as they are.
        real: Names or patterns of layers that stay real-valued.
        min_inputs: Layers with fewer inputs for each output stay real-valued too; 16 by default.
            The sum of n signs has n + 1 values, which is too few if n is small.
        noise: The noise of the signs, or its name; "logistic" by default.
        estimator: The estimator of the signs, or its name; "st" by default.
        estimator_options: The options of an estimator given by name.
        weight_noise: The noise of the weights, or its name; by default as in `binarize_`.
        weight_rule: The rule of the weights, or its name; "mirror-descent" by default.
        weight_rule_options: The options of a rule given by name.
    """

    weights: str
    activation: str
    skips: str
    real: Sequence[str]
    min_inputs: int
    noise: str | Noise
    estimator: str | Estimator
    estimator_options: Mapping[str, Any] | None
    weight_noise: str | Noise | None
    weight_rule: str | WeightRule
    weight_rule_options: Mapping[str, Any] | None


@dataclass(frozen=True, kw_only=True)
class Changes:
    """What is different in a twin, by the names of the network's modules.

    Attributes:
        binary: Layers that are binary.
        real: Layers that stay real-valued, and why.
        removed: Activations that are removed, at one or more of their calls.
        replaced: Activations that become RPReLU, at one or more of their calls.
        skips: Binary layers with a skip that the network lacks.
    """

    binary: tuple[str, ...]
    real: Mapping[str, str]
    removed: tuple[str, ...]
    replaced: tuple[str, ...]
    skips: tuple[str, ...]


def binary_twin(
    network: nn.Module, example: torch.Tensor, **options: Unpack[TwinOptions]
) -> nn.Module:
    """Make the binary twin of a network of convolution, batch norm and ReLU.

    Its parameters have the names of the network's. What the network lacks is in its submodule
    `added`, so that `start_from` in a configuration accepts a checkpoint of the network.

    Args:
        network: VGG, ResNet, MobileNet, RegNet, DenseNet or the like. The twin takes its modules,
            so do not use it afterwards.
        example: An input, (1, ...).
        options: How it becomes binary.

    Returns:
        The twin, in the network's mode. Its latent weights have the signs of the weights.

    Raises:
        UsageError: If torch.fx cannot trace the network, it does not accept the example, or no
            layer of it can become binary; a value of an option is unknown, or a pattern matches no
            layer; or for the reasons of `binarize_`.
    """
    return twin_with_changes(network, example, **options)[0]


def twin_with_changes(
    network: nn.Module, example: torch.Tensor, **options: Unpack[TwinOptions]
) -> tuple[nn.Module, Changes]:
    """Make the binary twin of a network, as `binary_twin`, and say what is different."""
    weights = arguments.choice("weights", options.get("weights", "binary"), WEIGHTS)
    skips = arguments.choice("skips", options.get("skips", "each"), SKIPS)
    activation = arguments.choice(
        "an activation", options.get("activation", "rprelu"), ACTIVATIONS
    )
    sign = Sign(
        options.get("noise", "logistic"),
        options.get("estimator", "st"),
        **options.get("estimator_options") or {},
    )
    min_inputs = arguments.integer("min_inputs", options.get("min_inputs", 16), at_least=0)
    graph = TwinGraph(network, example, _named(network, options.get("real", ())), min_inputs)
    _check(graph)
    maker = _Activations(graph, activation)
    removed, replaced = maker.change()
    added = add_skips(graph, maker.after_sum) if skips == "each" else []
    for layer in graph.layers.binary:
        _add_sign(graph, layer, sign, shifts=activation == "rprelu")
    _fit_autocast(graph)
    names = tuple(dict.fromkeys(str(layer.target) for layer in graph.layers.binary))
    twin = graph.finish().train(network.training)
    if weights == "binary":
        binarize_(
            twin,
            names,
            signs=(),
            weight_noise=options.get("weight_noise"),
            weight_rule=options.get("weight_rule", "mirror-descent"),
            weight_rule_options=options.get("weight_rule_options"),
        )
    connect_psa(twin)
    changes = Changes(
        binary=names,
        real={str(node.target): reason for node, reason in graph.layers.real.items()},
        removed=removed,
        replaced=replaced,
        skips=tuple(dict.fromkeys(added)),
    )
    return twin, changes


class _Activations:
    """Removes and replaces the activations before binary layers.

    Args:
        graph: The network.
        kind: What replaces those whose values go around binary layers.
    """

    def __init__(self, graph: TwinGraph, kind: str) -> None:
        self._graph, self._kind = graph, kind

    def change(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Change all; return the names of those removed and of those replaced."""
        removed, replaced = list[str](), list[str]()
        for number, node in enumerate(list(self._before_binary())):
            before = node.all_input_nodes[0]
            is_removed = self._kind == "none" or self._graph.layers.is_only_before_binary(node)
            name = str(node.target) if node.op == "call_module" else node.name
            (removed if is_removed else replaced).append(name)
            new = before if is_removed else self._rprelu(f"activations.{number}", before)
            node.replace_all_uses_with(new)
            self._graph.graph.erase_node(node)
        return tuple(dict.fromkeys(removed)), tuple(dict.fromkeys(replaced))

    def after_sum(self, name: str, total: fx.Node) -> fx.Node:
        """Apply the activation of a skip around a layer."""
        return total if self._kind == "none" else self._rprelu(f"{name}.activation", total)

    def _before_binary(self) -> Iterator[fx.Node]:
        layers = self._graph.layers
        found = (node for layer in layers.binary for node in layers.activations_before(layer))
        for node in dict.fromkeys(found):
            needed_by = layers.needed_by(node) if self._kind == "none" else ""
            if needed_by:
                raise UsageError(
                    f"expected activations that only binary layers need, with activation none, but"
                    f" {node.name} is also before {needed_by}; use activation rprelu"
                )
            yield node

    def _rprelu(self, name: str, value: fx.Node) -> fx.Node:
        shape = self._graph.shape(value)
        module = RPReLU(shape[1]) if len(shape) == 4 else nn.PReLU(shape[1])
        return self._graph.call(name, module, value)


def _add_sign(graph: TwinGraph, layer: fx.Node, sign: Sign, *, shifts: bool) -> None:
    """Let a layer take the sign of its input, after a learned shift if no batch norm shifts it."""
    value, name = layer.all_input_nodes[0], str(layer.target)
    shifted = value
    if shifts and not graph.is_norm(value) and len(graph.shape(value)) == 4:
        shifted = graph.call(f"{name}.shift", ChannelShift(graph.shape(value)[1]), value)
    own = Sign(sign.noise, sign.estimator)
    layer.replace_input_with(value, graph.call(f"{name}.sign", own, shifted))


def _fit_autocast(graph: TwinGraph) -> None:
    """Round the values behind the first layer under autocast, and do not round the logits."""
    for node, reason in graph.layers.real.items():
        layer = graph.flow.module(node)
        norm = next(iter(node.users))
        if isinstance(layer, IntegerConv2d) and graph.is_norm(norm):
            graph.call_behind(f"{node.target}.autocast", ToAutocast(), norm)
        if reason == LAST and type(layer) is nn.Linear:
            last = LastLinear(layer.in_features, layer.out_features, layer.bias is not None)
            last.weight, last.bias = layer.weight, layer.bias
            graph.module.set_submodule(str(node.target), last)


def _check(graph: TwinGraph) -> None:
    if not graph.layers.binary:
        reasons = {str(node.target): reason for node, reason in graph.layers.real.items()}
        found = "; ".join(f"{name}: {reason}" for name, reason in list(reasons.items())[:_MOST])
        raise UsageError(
            "expected a layer between the first and the last one with a batch norm behind it, got"
            f" none ({found or 'no layer that is Conv2d or Linear'})"
        )
    for module in graph.module.modules():
        if getattr(module, "inplace", False):
            module.inplace = False  # type: ignore[assignment]  # its input has other users now


def _named(network: nn.Module, patterns: Iterable[str]) -> list[str]:
    """Return the names of the layers that patterns match."""
    layers = [name for name, module in network.named_modules() if is_linear_map(module)]
    found = []
    for pattern in arguments.strings("real", patterns):
        matching = [name for name in layers if fnmatchcase(name, pattern)]
        if not matching:
            raise UsageError(
                f"expected names or patterns of layers in real, {pattern!r} matches none; the"
                f" layers are {', '.join(layers[:_MOST])}, ..."
            )
        found += matching
    return found
