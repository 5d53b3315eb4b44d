"""The calls of a network, with their shapes, as a graph that can be changed."""

import logging
import operator
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any, Final

import torch
from torch import Tensor, fx, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn.modules.batchnorm import _BatchNorm

from bnnkit.errors import UsageError
from bnnkit.nn.conv_bn_relu import ConvBnRelu
from bnnkit.nn.evaluating import evaluating
from bnnkit.nn.sign_inputs import Flow
from bnnkit.nn.tracing import traced

ADDED: Final = "added"
"""The module that holds what a twin has and its network lacks."""


def is_added(name: str) -> bool:
    """Whether a tensor, by its name in a checkpoint, is one that only a twin has.

    A twin may be in a network that standardises its inputs.
    """
    return name.removeprefix("network.").startswith(f"{ADDED}.")


class TwinGraph:
    """The calls of a network, in the order of their execution.

    Args:
        network: The network; its modules become those of the twin.
        example: An input, (1, ...).
        real: Names of layers that stay real-valued.
        min_inputs: Layers with fewer inputs for each output stay real-valued too.

    Attributes:
        module: The twin.
        graph: Its calls. After changes, `finish` sorts them.
        flow: How values flow in the network, before changes.
        layers: The layers of weights, before changes.

    Raises:
        UsageError: If torch.fx cannot trace the network, or it computes something else in training
            than in evaluation other than by its modules; or if it does not accept the input.
    """

    def __init__(
        self,
        network: nn.Module,
        example: Tensor,
        real: Collection[str] = (),
        min_inputs: int = 0,
    ) -> None:
        self.graph = _graph(network)
        self.module = fx.GraphModule(network, self.graph)
        _add_uncalled(self.module, network)
        self._shapes = _shapes(self.module, example)
        self.flow = Flow(network, self.graph)
        self.layers = ConvBnRelu(self.flow, real, min_inputs)

    def shape(self, node: fx.Node) -> tuple[int, ...]:
        """The shape of the value of a call; () if it is not a tensor."""
        return self._shapes.get(node, ())

    def is_norm(self, node: object) -> bool:
        """Whether a node calls a batch norm."""
        return isinstance(node, fx.Node) and isinstance(self.flow.module(node), _BatchNorm)

    def call(self, name: str, module: nn.Module, value: fx.Node) -> fx.Node:
        """Add a module, which keeps the shape of its input, and a call of it."""
        target = f"{ADDED}.{name}"
        self.module.add_submodule(target, module)
        with self.graph.inserting_after(value):
            return self._with_shape_of(value, self.graph.call_module(target, (value,)))

    def call_behind(self, name: str, module: nn.Module, value: fx.Node) -> None:
        """Add a module and a call of it, whose result replaces a value everywhere."""
        users = list(value.users)
        result = self.call(name, module, value)
        for user in users:
            user.replace_input_with(value, result)

    def add(self, left: fx.Node, right: fx.Node) -> fx.Node:
        """Add a call that computes the sum of two values of one shape."""
        with self.graph.inserting_after(right):
            return self._with_shape_of(
                right, self.graph.call_function(operator.add, (left, right))
            )

    def _with_shape_of(self, value: fx.Node, node: fx.Node) -> fx.Node:
        self._shapes[node] = self.shape(value)
        return node

    def depends(self, node: fx.Node, on: fx.Node) -> bool:
        """Whether a value is computed from another, or is that one."""
        pending, seen = [node], set[fx.Node]()
        while pending:
            one = pending.pop()
            if one is on:
                return True
            if one not in seen:
                seen.add(one)
                pending += one.all_input_nodes
        return False

    def finish(self) -> fx.GraphModule:
        """Sort the calls, compile them, and return the twin."""
        for former, node in pairwise(_sorted(self.graph.nodes)):
            former.append(node)
        self.graph.lint()
        self.module.recompile()
        return self.module


def _graph(network: nn.Module) -> fx.Graph:
    was_training = network.training
    graphs = [traced(network.train(mode)) for mode in (True, False)]
    network.train(was_training)
    training, evaluation = graphs
    if training is None or evaluation is None:
        raise UsageError(
            "expected a network whose forward torch.fx can trace; it must not branch on values"
        )
    if _described(training) != _described(evaluation):
        raise UsageError(
            "expected a network whose forward is the same in training and evaluation, except for"
            " its modules; replace functions such as F.dropout by modules such as nn.Dropout"
        )
    return evaluation


def _described(graph: fx.Graph) -> list[str]:
    return [f"{node.op} {node.target} {node.args} {node.kwargs}" for node in graph.nodes]


class _Shapes(fx.Interpreter):
    """Runs a network on tensors without values and remembers the shapes of all."""

    def __init__(self, module: fx.GraphModule) -> None:
        super().__init__(module)
        self.found: dict[fx.Node, tuple[int, ...]] = {}

    def run_node(self, n: fx.Node) -> Any:
        value = super().run_node(n)
        if isinstance(value, Tensor):
            self.found[n] = tuple(value.shape)
        return value


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep torch from logging the traceback of an error that is reported in one line."""
    logger = logging.getLogger("torch._subclasses.fake_tensor")
    before = logger.disabled
    logger.disabled = True
    try:
        yield
    finally:
        logger.disabled = before


def _shapes(module: fx.GraphModule, example: Tensor) -> dict[fx.Node, tuple[int, ...]]:
    shapes = _Shapes(module)
    try:
        # Fake tensors take no memory and no time, whatever an untrusted checkpoint describes.
        with evaluating(module), _quiet(), FakeTensorMode(allow_non_fake_inputs=True) as fake:
            shapes.run(fake.from_tensor(example))
    except Exception as error:  # the user's code
        shape, dtype = tuple(example.shape), str(example.dtype).removeprefix("torch.")
        is_image = example.dtype == torch.uint8
        hint = "; bnnkit.nn.IntegerConv2d is a first layer for uint8 images" if is_image else ""
        cause = next((line for line in str(error).splitlines() if line.strip()), "no message")
        raise UsageError(
            f"expected a network that accepts inputs of shape {shape} and dtype {dtype}, got"
            f" {type(error).__name__}: {cause}{hint}"
        ) from error
    return shapes.found


def _add_uncalled(module: fx.GraphModule, network: nn.Module) -> None:
    """Keep modules that are not called and second names, so that checkpoints fit the twin."""
    names = {name for name, _ in module.named_modules(remove_duplicate=False)}
    for name, one in network.named_modules(remove_duplicate=False):
        if name not in names and next(one.children(), None) is None:
            module.add_submodule(name, one)


def _sorted(nodes: Iterable[fx.Node]) -> list[fx.Node]:
    """Return nodes after those that they depend on, else in their order."""
    found: dict[fx.Node, None] = {}
    for node in nodes:
        pending = [node]
        while pending:
            missing = [one for one in pending[-1].all_input_nodes if one not in found]
            pending += missing[::-1]
            if not missing:
                found[pending.pop()] = None
    return list(found)
