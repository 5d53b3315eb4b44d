"""Which layers of a network of convolution, batch norm and ReLU become binary, and how.

1. The first and the last layer stay real-valued: those that no other layer of weights precedes or
   follows.
2. So do layers without a batch norm before the next layer, as nothing would scale their binary
   sums; depthwise convolutions, which have few weights and lose most; the single layer of a
   shortcut, so that real values go around the binary layers, as in Bi-Real Net; and layers of a
   product, such as the output of a squeeze-and-excitation block, as its sign ignores the gate.
3. Each other layer becomes binary and takes the sign of its input. Activations right before these
   signs are removed: the sign of a ReLU is always +1, and the sign is the nonlinearity.
4. An activation that a real-valued layer needs too is an error. A value that goes around binary
   layers, and the sum of a skip connection and a binary branch, need none, as in Bi-Real Net.

References:
    Liu et al., Bi-Real Net: Enhancing the Performance of 1-bit CNNs, ECCV 2018,
    https://arxiv.org/abs/1808.00278.
"""

import sys
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from torch import fx, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parameter import UninitializedParameter

from bnnkit.errors import UsageError
from bnnkit.nn.binary_layers import BinaryConvolution, BinaryLinear
from bnnkit.nn.integer_layers import IntegerConv2d, IntegerLinear
from bnnkit.nn.sign_inputs import ACTIVATIONS, CONVOLUTIONS, Flow, called, keeps_side
from bnnkit.nn.tracing import traced
from bnnkit.nn.transposed_layers import BinaryTransposedConvolution

ADDS: Final = ("add", "iadd", "add_")
JOINS: Final = (*ADDS, "cat", "concat", "stack", "maximum")
_PRODUCTS: Final = ("mul", "imul", "mul_", "multiply", "truediv", "div", "div_")
_SIZES: Final = ("size", "getattr", "dim", "len", "numel")
_ACTIVATION_CALLS: Final = {
    *("relu", "relu_", "relu6", "hardtanh", "hardswish", "hardsigmoid", "silu", "gelu", "elu"),
    *("leaky_relu", "sigmoid", "tanh", "mish", "softplus", "selu", "celu", "prelu"),
}

_MAPS: Final = (
    *CONVOLUTIONS,
    nn.Linear,
    BinaryConvolution,
    BinaryTransposedConvolution,
    BinaryLinear,
    IntegerConv2d,
    IntegerLinear,
)
LAST: Final = "the last layer"
_CHOSEN: Final = "as you chose"


@dataclass(frozen=True)
class Plan:
    """What is changed, by the names of `named_modules`.

    Attributes:
        layers: Layers that become binary.
        removed: Activations that become `Identity`.
    """

    layers: tuple[str, ...]
    removed: tuple[str, ...]


def plan(model: nn.Module) -> Plan:
    """Choose the layers by the rules above.

    Raises:
        UsageError: If torch.fx cannot trace the model, or no layer can become binary; or if an
            activation before one is a function, which cannot be removed, or a real-valued layer
            needs it too.
    """
    network = _network(model)
    if not network.binary:
        raise UsageError(
            "expected a layer between the first and the last one with a batch norm behind it, for"
            " the preset conv-bn-relu, got none; the preset is for Conv2d, so name the layers and"
            " the signs of other networks"
        )
    before = [node for layer in network.binary for node in _modules_before(network, layer)]
    removed = [name for node in before for name in network.removable(node)]
    names = dict.fromkeys(str(node.target) for node in network.binary)
    return Plan(tuple(names), tuple(dict.fromkeys(removed)))


def real_layers(model: nn.Module) -> dict[str, str]:
    """Return the layers that the preset conv-bn-relu of `binarize_` leaves real-valued, and why.

    Args:
        model: The network, before `binarize_` changes it.

    Returns:
        The reasons by the names of the layers, in the order of the calls.

    Raises:
        UsageError: If torch.fx cannot trace the model, or a layer is not initialised.
    """
    return {str(node.target): reason for node, reason in _network(model).real.items()}


def _network(model: nn.Module) -> "ConvBnRelu":
    """Trace a model and find its layers.

    Raises:
        UsageError: If torch.fx cannot trace it, or a layer is not initialised.
    """
    lazy = [
        name for name, one in model.named_parameters() if isinstance(one, UninitializedParameter)
    ]
    if lazy:
        raise UsageError(
            f"expected a model whose layers have their sizes, for the preset conv-bn-relu, got"
            f" {lazy[0]!r} of a lazy layer; call the model once on an input first"
        )
    graph = traced(model)
    if graph is None:
        raise UsageError(
            "expected a model whose forward torch.fx can trace, for the preset conv-bn-relu; name"
            " the layers and the signs instead"
        )
    return ConvBnRelu(Flow(model, graph))


def _modules_before(network: "ConvBnRelu", layer: fx.Node) -> Iterator[fx.Node]:
    """Yield the activations before a layer, which must be modules: only these can be replaced."""
    for node in network.activations_before(layer):
        if node.op != "call_module":
            raise UsageError(
                f"expected a module before the layer {layer.target!r}, got a call of"
                f" {called(node)}, which the preset conv-bn-relu cannot remove; make it a"
                " module, such as nn.ReLU()"
            )
        yield node


class ConvBnRelu:
    """The layers of weights of a model, and what is between them.

    Args:
        flow: How values flow in the model.
        real: Names of further layers that stay real-valued.
        min_inputs: Layers with fewer inputs for each output stay real-valued too.

    Attributes:
        maps: The calls of convolutions and linear layers, in order.
        binary: Those that become binary.
        real: The others, and why they stay real-valued.
    """

    def __init__(self, flow: Flow, real: Collection[str] = (), min_inputs: int = 0) -> None:
        self._flow, self._min_inputs = flow, min_inputs
        self.maps = [node for node in flow.calls if isinstance(flow.module(node), _MAPS)]
        self._before = _ancestors(flow.nodes)
        self._shortcuts = set(self._find_shortcuts())
        reasons = {node: self._reason(node) for node in self.maps}
        reasons |= {node: _CHOSEN for node in self.maps if str(node.target) in real}
        self.binary = [node for node, reason in reasons.items() if not reason]
        self.real = {node: reason for node, reason in reasons.items() if reason}

    def _reason(self, node: fx.Node) -> str:
        """Why a layer stays real-valued; "" if it becomes binary."""
        layer = self._flow.module(node)
        reasons = {
            "the first layer": not self._maps_among(self._before[node]),
            LAST: not any(node in self._before[other] for other in self.maps),
            "a layer for uint8 images": isinstance(layer, IntegerConv2d | IntegerLinear),
            "depthwise": isinstance(layer, CONVOLUTIONS) and 1 < layer.groups == layer.in_channels,
            "the layer of a shortcut": node in self._shortcuts,
            "its input is a product, such as a gate's": any(map(_is_product, self._inputs(node))),
            "no batch norm before the next layer": not self._is_normalised(node),
            f"fewer than {self._min_inputs} inputs": _n_inputs(layer) < self._min_inputs,
        }
        return next((reason for reason, holds in reasons.items() if holds), "")

    def activations_before(self, node: fx.Node) -> Iterator[fx.Node]:
        """Yield the calls of activations between a layer and what computes its input."""
        return filter(self.is_activation, self._inputs(node))

    def is_only_before_binary(self, node: fx.Node) -> bool:
        """Whether all that takes a value is binary layers, perhaps behind pools and the like."""
        return all(
            user in self.binary
            or called(user) in _SIZES
            or (
                called(user) not in JOINS
                and self._passes(user)
                and self.is_only_before_binary(user)
            )
            for user in node.users
        )

    def removable(self, node: fx.Node) -> tuple[str, ...]:
        """Return all names of the activation that a node calls.

        Raises:
            UsageError: If a real-valued layer needs one of its calls.
        """
        name = str(node.target)
        for call in self._flow.calls_of(name):
            if needed_by := self.needed_by(call):
                raise UsageError(
                    f"expected activations of their own before binary layers, but {name!r} is"
                    f" also called before {needed_by}, which stays real-valued and needs it: give"
                    " each use a module of its own, such as nn.ReLU()"
                )
        return self._flow.names_of(name)

    def needed_by(self, call: fx.Node) -> str:
        """The real-valued layer or output that needs an activation; "" if none does."""
        if self._is_sum_of_binary(call):
            return ""
        for node in _reached([call], lambda node: self._users_in_need(call, node)):
            if node.op == "output":
                return "the output"
            if node in self.maps and node not in (*self.binary, *self._shortcuts):
                return f"{node.target!r}"
        return ""

    def _users_in_need(self, call: fx.Node, node: fx.Node) -> Iterable[fx.Node]:
        """The users of a node that get the value of an activation's call without another one."""
        around = called(node) in JOINS and any(
            layer in self._before[node] and call in self._before[layer] for layer in self.binary
        )
        if around or node in self.maps or called(node) in _SIZES:
            return ()
        return [user for user in node.users if not self.is_activation(user)]

    def _is_sum_of_binary(self, call: fx.Node) -> bool:
        """Whether an activation takes the sum of a skip connection and of a binary layer."""
        before = call.all_input_nodes[0]
        while isinstance(self._flow.module(before), _BatchNorm) or self._passes(before):
            if called(before) in JOINS and len(before.all_input_nodes) > 1:
                nearest = _reached([before], self._inputs_without_activation)
                return called(before) in ADDS and any(node in self.binary for node in nearest)
            before = before.all_input_nodes[0]
        return False

    def _inputs_without_activation(self, node: fx.Node) -> Iterable[fx.Node]:
        ends = node in self.maps or self.is_activation(node)
        return () if ends else node.all_input_nodes

    def _inputs(self, layer: fx.Node) -> Iterator[fx.Node]:
        """Yield what is before a layer, up to activations, products and other layers."""
        return _reached(
            layer.all_input_nodes[:1],
            lambda node: _operands(node) if self._passes(node) else (),
        )

    def _passes(self, node: fx.Node) -> bool:
        """Whether a call passes on the signs of its operands."""
        is_end = self._is_activation_module(node) or _is_product(node)
        has_operands = bool(node.all_input_nodes)
        return has_operands and not is_end and keeps_side(node, self._flow.module(node))

    def is_activation(self, node: fx.Node) -> bool:
        """Whether a node calls an activation, a module or a function."""
        return called(node) in _ACTIVATION_CALLS or self._is_activation_module(node)

    def _is_activation_module(self, node: fx.Node) -> bool:
        module = self._flow.module(node)
        return isinstance(module, ACTIVATIONS) and not isinstance(module, nn.Identity)

    def _is_normalised(self, node: fx.Node) -> bool:
        """Whether a batch norm is on every way from a value to other layers and the output."""
        return all(
            isinstance(self._flow.module(user), _BatchNorm)
            or (user.op != "output" and user not in self.maps and self._is_normalised(user))
            for user in node.users
        )

    def _find_shortcuts(self) -> Iterator[fx.Node]:
        """Yield layers that are alone on a branch beside one with several layers."""
        for node in self._flow.nodes:
            if called(node) not in ADDS or len(node.all_input_nodes) != 2:
                continue
            left, right = node.all_input_nodes
            left_all, right_all = self._before[left] | {left}, self._before[right] | {right}
            branches = (
                self._maps_among(left_all - right_all),
                self._maps_among(right_all - left_all),
            )
            short, long = sorted(branches, key=len)
            if len(short) == 1 < len(long):
                yield from short

    def _maps_among(self, nodes: set[fx.Node]) -> list[fx.Node]:
        return [node for node in self.maps if node in nodes]


def _reached(
    start: Iterable[fx.Node], following: Callable[[fx.Node], Iterable[fx.Node]]
) -> Iterator[fx.Node]:
    """Yield the nodes at the start and all that follow them, each once."""
    pending, seen = list(start), set[fx.Node]()
    while pending:
        node = pending.pop()
        if node not in seen:
            seen.add(node)
            yield node
            pending += following(node)


def _operands(node: fx.Node) -> list[fx.Node]:
    """The operands whose values are in the result; others are sizes."""
    return node.all_input_nodes if called(node) in JOINS else node.all_input_nodes[:1]


def _is_product(node: fx.Node) -> bool:
    """Whether a node multiplies or divides two computed tensors."""
    factors = [one for one in node.all_input_nodes if one.op != "get_attr"]
    return called(node) in _PRODUCTS and len(factors) > 1


def _n_inputs(layer: nn.Module | None) -> int:
    """The number of inputs of each output of a layer."""
    if isinstance(layer, (*CONVOLUTIONS, nn.Linear)):
        return layer.weight[0].numel()
    return sys.maxsize


def _ancestors(nodes: list[fx.Node]) -> dict[fx.Node, set[fx.Node]]:
    """Return all nodes that each node depends on."""
    found: dict[fx.Node, set[fx.Node]] = {}
    for node in nodes:
        found[node] = set().union(*({one} | found[one] for one in node.all_input_nodes))
    return found
