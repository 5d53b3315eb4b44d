"""Lowering of inputs in NHWC layout, as in TFLite files."""

from bnnkit.artifact.format.graph import Node
from bnnkit.runtime.lowering.plan_builder import PlanBuilder
from bnnkit.runtime.memory.values import FLOAT, Value
from bnnkit.runtime.steps.real import FromChannelsLast

TO_NCHW = (0, 3, 1, 2)


def lower_channels_last(builder: PlanBuilder, node: Node) -> bool:
    """Lower the Transpose of an NHWC input to NCHW, which is a copy since buffers are NHWC.

    Returns:
        Whether the node was such a Transpose.
    """
    if node.kind != "Transpose" or tuple(node.attributes.get("perm", ())) != TO_NCHW:
        return False
    source, target = node.inputs[0], node.outputs[0]
    value = builder.values.get(source)
    if value is None or value.kind != "image" or value.dtype != FLOAT:
        return False
    height, width, channels = value.shape
    # Kernels other than Conv read whole vectors of channels.
    is_tight = all(reader.kind == "Conv" for reader in builder.graph.readers(target))
    step = FromChannelsLast(name=node.name, source=source, target=target)
    builder.add(step, Value(kind="real", shape=(channels, height, width), is_tight=is_tight))
    return True
