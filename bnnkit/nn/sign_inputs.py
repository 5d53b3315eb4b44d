"""What reaches the signs of a model: found in its forward pass, which torch.fx traces.

The sign of a number that is never negative, such as the output of a ReLU, is always +1. The sign
of the network's input keeps one bit of each number.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

from torch import fx, nn

from bnnkit.nn.tracing import traced

CONVOLUTIONS: Final = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
TRANSPOSED: Final = (nn.ConvTranspose1d, nn.ConvTranspose2d)
ACTIVATIONS: Final = (
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
"""Activations of torch; `ReLU6` is a `Hardtanh`."""
NEVER_NEGATIVE: Final = (
    nn.ReLU,
    nn.ReLU6,
    nn.Sigmoid,
    nn.Hardsigmoid,
    nn.Softplus,
    nn.Softmax,
    nn.Softmax2d,
    nn.Softmin,
)
"""Activations whose output is never negative; so is that of a `Hardtanh` from 0."""
KEEPS_SIDE: Final = (
    nn.MaxPool1d,
    nn.MaxPool2d,
    nn.MaxPool3d,
    nn.AvgPool1d,
    nn.AvgPool2d,
    nn.AvgPool3d,
    nn.AdaptiveAvgPool1d,
    nn.AdaptiveAvgPool2d,
    nn.AdaptiveMaxPool2d,
    nn.LPPool2d,
    nn.Dropout,
    nn.Dropout1d,
    nn.Dropout2d,
    nn.Flatten,
    nn.Unflatten,
    nn.Identity,
    nn.ZeroPad2d,
    nn.ReflectionPad2d,
    nn.ReplicationPad2d,
    nn.Upsample,
    nn.PixelShuffle,
    nn.ChannelShuffle,
    nn.ReLU,
    nn.LeakyReLU,
    nn.PReLU,
)
"""Layers whose output is not negative if their input is not."""
_NEVER_NEGATIVE_CALLS: Final = {
    *("relu", "relu_", "relu6", "sigmoid", "hardsigmoid", "softplus", "softmax", "abs", "square"),
    *("exp", "sqrt", "abs_", "sigmoid_"),
}
_KEEPS_SIDE_CALLS: Final = {
    *("max_pool2d", "max_pool1d", "avg_pool2d", "avg_pool1d", "adaptive_avg_pool2d"),
    *("adaptive_max_pool2d", "dropout", "dropout2d", "flatten", "view", "reshape", "permute"),
    *("transpose", "squeeze", "unsqueeze", "mean", "sum", "contiguous", "interpolate", "float"),
    *("add", "iadd", "add_", "mul", "imul", "mul_", "cat", "concat", "stack", "maximum", "amax"),
    *(
        "getitem",
        "pad",
        "truediv",
        "div",
        "clone",
        "boxed_max_pool2d",
        "chunk",
        "split",
        "leaky_relu",
    ),
}
"""Functions and methods whose result is not negative if no operand is."""


_MOST_IMAGE_CHANNELS: Final = 4


@dataclass(frozen=True)
class SignInputs:
    """What is known of the inputs of signs, by the names of layers.

    Attributes:
        never_negative: Layers whose input is never negative.
        network_input: Layers whose input is the input of the network, unless it is a block.
        never_called: Layers that the forward pass does not call.
    """

    never_negative: tuple[str, ...] = ()
    network_input: tuple[str, ...] = ()
    never_called: tuple[str, ...] = ()


def sign_inputs(model: nn.Module, names: Collection[str]) -> SignInputs:
    """Find what is known of the inputs of signs before the named modules, or in their place."""
    graph = None if "" in names else traced(model, names)
    if graph is None:
        return SignInputs()
    flow = Flow(model, graph, signs=names)
    calls = {name: flow.calls_of(name) for name in names}
    inside = tuple(f"{node.target}." for node in flow.calls)
    return SignInputs(
        never_negative=tuple(
            name for name, nodes in calls.items() if any(map(flow.has_input_from_0, nodes))
        ),
        network_input=tuple(
            name
            for name, nodes in calls.items()
            if flow.may_be_first(name) and any(map(flow.takes_network_input, nodes))
        ),
        never_called=tuple(
            name for name, nodes in calls.items() if not nodes and not name.startswith(inside)
        ),
    )


class Flow:
    """How values flow between the layers of a model.

    Args:
        model: The model.
        graph: Its calls, from `traced`.
        signs: Modules that become signs, or get one before them: their outputs can be negative.
    """

    def __init__(self, model: nn.Module, graph: fx.Graph, signs: Collection[str] = ()) -> None:
        self._modules = dict(model.named_modules(remove_duplicate=False))
        self._signs = signs
        self._from_0: dict[fx.Node, bool] = {}
        self.nodes = list(graph.nodes)
        self.calls = [node for node in self.nodes if node.op == "call_module"]

    def module(self, node: fx.Node) -> nn.Module | None:
        """The module that a node calls; None for a function, a method or an input."""
        return self._modules.get(str(node.target)) if node.op == "call_module" else None

    def has_input_from_0(self, node: fx.Node) -> bool:
        """Whether the first input of a call is never negative."""
        return bool(node.all_input_nodes) and self.is_from_0(node.all_input_nodes[0])

    def may_be_first(self, name: str) -> bool:
        """Whether a layer looks like the first of a network, not of a block of one.

        A layer that is not alone does, if it is not a convolution of many channels.
        """
        layer = self._modules[name]
        if isinstance(layer, CONVOLUTIONS) and layer.in_channels > _MOST_IMAGE_CHANNELS:
            return False
        return sum(map(is_linear_map, {self.module(node) for node in self.calls})) > 1

    def calls_of(self, name: str) -> list[fx.Node]:
        """The calls of a module, which may have several names."""
        return [node for node in self.calls if self.module(node) is self._modules[name]]

    def names_of(self, name: str) -> tuple[str, ...]:
        """All names of the module that has this name."""
        module = self._modules[name]
        return tuple(other for other, one in self._modules.items() if one is module)

    def takes_network_input(self, node: fx.Node) -> bool:
        """Whether the first input of a call is the network's, pooled or in another shape."""
        for before in node.all_input_nodes[:1]:
            if before.op == "placeholder":
                return True
            module = self.module(before)
            if keeps_side(before, module) and len(before.all_input_nodes) == 1:
                return self.takes_network_input(before)
        return False

    def is_from_0(self, node: fx.Node) -> bool:
        """Whether the value of a node is never negative."""
        if node not in self._from_0:
            self._from_0[node] = self._find_is_from_0(node)
        return self._from_0[node]

    def _find_is_from_0(self, node: fx.Node) -> bool:
        module = self.module(node)
        if str(node.target) in self._signs and not is_linear_map(module):
            return False  # it becomes a sign
        if module is not None:
            if isinstance(module, nn.Hardtanh) and module.min_val >= 0:
                return True
            if isinstance(module, NEVER_NEGATIVE):
                return True
            keeps = isinstance(module, KEEPS_SIDE) and not _overshoots(module.__dict__)
            return keeps and all(map(self.is_from_0, _operands(node)))
        name = called(node)
        if name in _NEVER_NEGATIVE_CALLS:
            return True
        if _overshoots(node.kwargs, *node.args):
            return False
        if name not in _KEEPS_SIDE_CALLS or _has_negative_constant(node):
            return False
        operands = _operands(node)
        return bool(operands) and all(map(self.is_from_0, operands))


def is_linear_map(module: nn.Module | None) -> bool:
    """Whether a module is a layer that can become binary."""
    return isinstance(module, (*CONVOLUTIONS, *TRANSPOSED, nn.Linear))


def _overshoots(options: Mapping[str, object], *arguments: object) -> bool:
    """Whether a call interpolates by cubic curves, whose results can be negative."""
    return "bicubic" in (options.get("mode"), *(one for one in arguments if isinstance(one, str)))


def _operands(node: fx.Node) -> list[fx.Node]:
    return [before for before in node.all_input_nodes if before.op != "get_attr"] or [
        *node.all_input_nodes
    ]


def _has_negative_constant(node: fx.Node) -> bool:
    """Whether an operand is a parameter, or a negative number where numbers are operands."""
    if any(before.op == "get_attr" for before in node.all_input_nodes):
        return True
    if called(node) not in ("add", "iadd", "add_", "mul", "imul", "mul_", "pad", "truediv", "div"):
        return False
    values = [*node.args[1:], *node.kwargs.values()]
    return any(isinstance(value, int | float) and value < 0 for value in values)


def keeps_side(node: fx.Node, module: nn.Module | None) -> bool:
    """Whether a call's result is not negative if its operands are not.

    Args:
        node: The call.
        module: The module that it calls; None for a function or a method.
    """
    return isinstance(module, KEEPS_SIDE) or called(node) in _KEEPS_SIDE_CALLS


def called(node: fx.Node) -> str:
    """The name of the function or method that a node calls; "" for others."""
    if node.op == "call_method":
        return str(node.target)
    return getattr(node.target, "__name__", "") if node.op == "call_function" else ""
