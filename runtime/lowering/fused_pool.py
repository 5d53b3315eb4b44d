"""Max-pooling that a convolution computes itself, so that the signs before it are never stored."""

from bnnkit.artifact.format.graph import Graph, Node


def is_fused_pool(graph: Graph, node: Node) -> bool:
    """Whether a node is a pool that is lowered together with the BinaryConv2dThreshold before it.

    The kernel supports `is_plain_pool` without groups, if nothing else reads the signs before it.
    """
    layer = graph.makers.get(node.inputs[0]) if node.inputs else None
    return (
        layer is not None
        and layer.kind == "bnnkit.BinaryConv2dThreshold"
        and layer.attributes.get("group", 1) == 1
        and is_plain_pool(node)
        and graph.sole_reader(node.inputs[0]) is node
    )


def is_plain_pool(node: Node) -> bool:
    """Whether a node is a MaxPool over 2x2 windows with stride 2 and no padding."""
    a = node.attributes
    return (
        node.kind == "MaxPool"
        and list(a["kernel_shape"]) == [2, 2] == list(a.get("strides", (1, 1)))
        and not any(a.get("pads", ()))
        and list(a.get("dilations", (1, 1))) == [1, 1]
        and not a.get("ceil_mode", 0)
    )
