"""Which layers of a network of convolution, batch norm and ReLU become binary, and how.

1. The first and the last layer stay real-valued: those that no other layer of weights precedes or
   follows.
2. So do layers without a batch norm before the next layer, as nothing would scale their binary
   sums; depthwise convolutions, which have few weights and lose most; and the single layer of a
   shortcut, so that real values go around the binary layers, as in Bi-Real Net.
3. Each other layer becomes binary and takes the sign of its input. Activations right before these
   signs are removed: the sign of a ReLU is always +1, and the sign is the nonlinearity.

References:
    Liu et al., Bi-Real Net: Enhancing the Performance of 1-bit CNNs, ECCV 2018,
    https://arxiv.org/abs/1808.00278.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from torch import fx, nn
from torch.nn.modules.batchnorm import _BatchNorm

from bnnkit.errors import UsageError
from bnnkit.nn.sign_inputs import ACTIVATIONS, Flow, called, is_linear_map, keeps_side, traced

_ADDS: Final = ("add", "iadd", "add_")
_ACTIVATION_CALLS: Final = {
    *("relu", "relu_", "relu6", "hardtanh", "hardswish", "hardsigmoid", "silu", "gelu", "elu"),
    *("leaky_relu", "sigmoid", "tanh", "mish", "softplus", "selu", "celu", "prelu"),
}


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
        UsageError: If torch.fx cannot trace the model, no layer can become binary, or an
            activation before one is a function, which cannot be removed.
    """
    graph = traced(model)
    if graph is None:
        raise UsageError(
            "expected a model whose forward torch.fx can trace, for the preset conv-bn-relu; name"
            " the layers and the signs instead"
        )
    network = _Network(Flow(model, graph))
    layers = [node for node in network.maps if network.becomes_binary(node)]
    if not layers:
        raise UsageError(
            "expected a layer between the first and the last one with a batch norm behind it, for"
            " the preset conv-bn-relu, got none; name the layers and the signs instead"
        )
    removed = [name for node in layers for name in network.activations_before(node)]
    return Plan(
        tuple(dict.fromkeys(str(node.target) for node in layers)), tuple(dict.fromkeys(removed))
    )


class _Network:
    """The layers of weights of a model, and what is between them.

    Args:
        flow: How values flow in the model.

    Attributes:
        maps: The calls of convolutions and linear layers, in order.
    """

    def __init__(self, flow: Flow) -> None:
        self._flow = flow
        self.maps = [node for node in flow.calls if is_linear_map(flow.module(node))]
        self._before = _ancestors(flow.nodes)
        self._shortcuts = set(self._find_shortcuts())

    def becomes_binary(self, node: fx.Node) -> bool:
        """Whether a layer becomes binary."""
        layer = self._flow.module(node)
        is_first = not self._maps_among(self._before[node])
        is_last = not any(node in self._before[other] for other in self.maps)
        is_depthwise = isinstance(layer, nn.Conv2d) and 1 < layer.groups == layer.in_channels
        stays_real = is_first or is_last or is_depthwise or node in self._shortcuts
        return not stays_real and self._is_normalised(node)

    def activations_before(self, node: fx.Node) -> Iterator[str]:
        """Yield the activations between a layer and what computes its input.

        Raises:
            UsageError: If one is a function.
        """
        pending, seen = list(node.all_input_nodes), set[fx.Node]()
        while pending:
            before = pending.pop()
            if before in seen:
                continue
            seen.add(before)
            if called(before) in _ACTIVATION_CALLS:
                raise UsageError(
                    f"expected a module before the layer {node.target!r}, got a call of"
                    f" {called(before)}, which the preset conv-bn-relu cannot remove; make it a"
                    " module, such as nn.ReLU()"
                )
            module = self._flow.module(before)
            if isinstance(module, ACTIVATIONS) and not isinstance(module, nn.Identity):
                yield str(before.target)
            elif keeps_side(before, module):
                pending += before.all_input_nodes

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
            if called(node) not in _ADDS or len(node.all_input_nodes) != 2:
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


def _ancestors(nodes: list[fx.Node]) -> dict[fx.Node, set[fx.Node]]:
    """Return all nodes that each node depends on."""
    found: dict[fx.Node, set[fx.Node]] = {}
    for node in nodes:
        found[node] = set().union(*({one} | found[one] for one in node.all_input_nodes))
    return found
