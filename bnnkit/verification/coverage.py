"""Which signs of an artifact an engine must give, so that a comparison says something of them.

ONNX Runtime holds every value. Torch has those that a `Sign` module gives: not those that are yet
to be pooled or reshaped, as the exporter moves such operators behind the sign. The runtime has
all that an operator of ours or a maximum makes, but for those that a kernel turns into the maximum
over 2x2 windows at once.
"""

from collections.abc import Iterable

import onnx

from bnnkit.artifact.reference import signs_of

_MAKERS = {"Sign", "Threshold", "BinaryConv2dThreshold", "StochasticSign", "MaxPool"}


def signs_of_modules(model: onnx.ModelProto, paths: Iterable[str]) -> frozenset[str]:
    """The signs that `Sign` modules give, in every one of their calls.

    Args:
        model: The artifact.
        paths: The modules, as in `named_modules`.
    """
    modules = set(paths)
    return frozenset(name for name in signs_of(model) if name.partition("#")[0] in modules)


def signs_in_memory(model: onnx.ModelProto) -> frozenset[str]:
    """The signs that the runtime holds, whatever it fuses."""
    nodes = model.graph.node
    pooled = {node.input[0] for node in nodes if node.op_type == "MaxPool" and _is_2x2(node)}
    made = {name for node in nodes if node.op_type in _MAKERS for name in node.output}
    return frozenset(made.intersection(signs_of(model)) - pooled)


def _is_2x2(node: onnx.NodeProto) -> bool:
    return any(a.name == "kernel_shape" and list(a.ints) == [2, 2] for a in node.attribute)
