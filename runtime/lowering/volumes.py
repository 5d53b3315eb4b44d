"""Lowering of convolutions of volumes (N, C, D, H, W) to NumPy, as they have no kernel."""

from collections.abc import Sequence
from itertools import product

import numpy as np

from bnnkit.artifact.format.graph import Node
from bnnkit.artifact.standard.elementwise import Attributes
from bnnkit.artifact.standard.pooling import window_pads
from bnnkit.errors import UnsupportedError
from bnnkit.runtime.lowering.plan_builder import PlanBuilder
from bnnkit.runtime.memory.values import FLOAT, Array, Value
from bnnkit.runtime.steps.real import NumpyOperator

_AXES = 3


def lower_volume_layer(builder: PlanBuilder, node: Node) -> bool:
    """Lower a Conv of volumes with constant weights (O, I/G, KD, KH, KW).

    Returns:
        Whether the node is one.

    Raises:
        UnsupportedError: If the kernel is larger than the padded input.
    """
    if node.kind != "Conv" or node.inputs[0] not in builder.values:
        return False
    value = builder.values[node.inputs[0]]
    weight, *others = given = [builder.constants.get(name) for name in node.inputs[1:] if name]
    if any(constant is None for constant in others):
        return False
    if weight is None or weight.ndim != _AXES + 2 or value.kind not in ("real", "image"):
        return False
    sizes = _output_sizes(node.attributes, value.shape[1:], weight.shape[2:])
    if len(value.shape) != _AXES + 1 or min(sizes) < 1:
        raise UnsupportedError(
            f"node {node.name!r} (Conv): its kernel is larger than its input, or of other axes"
        )
    step = NumpyOperator(
        name=node.name,
        sources=(node.inputs[0], *given),
        target=node.outputs[0],
        function=convolve_volumes,
        attributes=node.attributes,
    )
    builder.add(step, Value(kind="real", shape=(len(weight), *sizes), dtype=FLOAT))
    return True


def _output_sizes(
    a: Attributes, sizes: tuple[int, ...], kernel: tuple[int, ...]
) -> tuple[int, ...]:
    pads, strides, dilations = _window(a)
    return tuple(
        (size + pads[i] + pads[i + _AXES] - dilations[i] * (kernel[i] - 1) - 1) // strides[i] + 1
        for i, size in enumerate(sizes)
    )


def _window(a: Attributes) -> tuple[Sequence[int], Sequence[int], Sequence[int]]:
    """Return pads, strides and dilations."""
    ones = [1] * _AXES
    return window_pads(a, _AXES), a.get("strides", ones), a.get("dilations", ones)


def convolve_volumes(a: Attributes, x: Array, w: Array, bias: Array | None = None) -> Array:
    """Convolve by one matrix product for each tap of the kernel.

    x is (N, C, D, H, W), w is (O, C / group, KD, KH, KW), the result is (N, O, D', H', W').
    """
    pads, strides, dilations = _window(a)
    group, sizes = a.get("group", 1), _output_sizes(a, x.shape[2:], w.shape[2:])
    sides = [(0, 0), (0, 0), *zip(pads[:_AXES], pads[_AXES:], strict=True)]
    padded = np.pad(x, sides)
    padded = padded.reshape(len(x), group, -1, *padded.shape[2:])
    kernels = w.reshape(group, -1, *w.shape[1:])
    y = np.zeros((len(x), group, kernels.shape[1], int(np.prod(sizes))), np.float32)
    for tap in product(*map(range, w.shape[2:])):
        places = [
            slice(t * d, t * d + (n - 1) * s + 1, s)
            for t, d, s, n in zip(tap, dilations, strides, sizes, strict=True)
        ]
        part = padded[(slice(None),) * 3 + tuple(places)]
        y += kernels[(slice(None),) * 3 + tap] @ part.reshape(*part.shape[:3], -1)
    y = y.reshape(len(x), -1, *sizes)
    return y if bias is None else y + bias.reshape(-1, 1, 1, 1)
