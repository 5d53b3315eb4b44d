"""The window that a node's attributes describe."""

from collections.abc import Sequence

from bnnkit.errors import UnsupportedError
from bnnkit.export.tflite.source import Node
from bnnkit.tflite.window import Pads, Window


def conv_window(node: Node, kernel: Sequence[int]) -> Window:
    """Read the window of a convolution or a pooling.

    Args:
        node: The node with the strides, dilations and pads.
        kernel: Height and width of the window.

    Raises:
        UnsupportedError: The window does not have two axes, or the node has auto_pad, not pads.
    """
    rule = node.attributes.get("auto_pad", b"NOTSET")
    if rule not in (b"NOTSET", b"VALID"):
        raise UnsupportedError(f"expected pads, got auto_pad {rule.decode()}: export with pads")
    if len(kernel) != 2:
        raise UnsupportedError(f"expected a window of 2 axes, got {len(kernel)}")
    top, left, bottom, right = node.attributes.get("pads", (0, 0, 0, 0))
    pads: Pads = (top, left, bottom, right)
    return Window(
        kernel=(kernel[0], kernel[1]),
        strides=_pair(node, "strides"),
        dilations=_pair(node, "dilations"),
        pads=pads,
    )


def _pair(node: Node, name: str) -> tuple[int, int]:
    vertical, horizontal = node.attributes.get(name, (1, 1))
    return vertical, horizontal
