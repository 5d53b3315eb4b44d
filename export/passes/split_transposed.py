"""Transposed convolutions of signs become ordinary ones, one for each place within a stride.

An output at s * q + a, with 0 <= a < s, is a sum over the kernel elements k for which
a + pad - dilation * k is a multiple of the stride s. For each a they are a kernel of their own,
whose outputs, one for each q, are a convolution of the input.

1. `ConvTranspose` of signs with a `BinaryWeight` mark becomes a `Conv` for each such place, with a
   part of the weights, reversed; the results are put between each other. Where a kernel element
   has no pixel, the sum has fewer terms, so the padding is 0.
2. Batch norms, other steps that are monotone on each channel, and a sign without noise behind the
   layer are computed before that, so each part has thresholds.
3. A layer stays as it is if a place has no kernel element (a kernel smaller than the stride), or
   would leave out pixels at the border; and if draws of its weights are stored, which are numbered
   by layers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import replace as changed
from itertools import product
from math import prod
from typing import Any, Final

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from bnnkit.artifact.format.constants import DOMAIN
from bnnkit.export.analysis.monotone import step
from bnnkit.export.ir.graph import (
    add_constant,
    array,
    mark_behind,
    new_node,
    nodes,
    only_consumer,
    operand,
    parameter_name,
    rank,
    replace,
    shared_constant,
)
from bnnkit.export.passes.lower_signs import dequantized, set_sign_record, sign_record
from bnnkit.export.passes.noise_model import NoiseModel

Array = NDArray[Any]
_FIRST: Final = 2
"""The first axis behind batch and channels."""


def split_transposed(graph: ir.Graph, noise_model: NoiseModel | None = None) -> None:
    """Run the pass.

    Args:
        graph: The graph to change.
        noise_model: The noise of a stochastic artifact.
    """
    draws = 0 if noise_model is None else noise_model.weight_draws
    for node in nodes(graph, "ConvTranspose"):
        mark = mark_behind(node.inputs[1], "BinaryWeight")
        if mark is None or dequantized(operand(node, 0)) is None:
            continue
        if draws and mark.attributes["noise"].as_string() != "none":
            continue  # rule 3
        latent, axes = array(mark.inputs[0]), _axes(node)
        if latent is None or axes is None:
            continue
        _split(graph, node, mark, latent, axes)


@dataclass(frozen=True)
class _Place:
    """What computes every s-th output of an axis.

    Attributes:
        taps: The kernel elements in the order of the input.
        dilation: The step between the pixels that they meet.
        pads: Pixels of padding before and behind.
    """

    taps: tuple[int, ...]
    dilation: int
    pads: tuple[int, int]


@dataclass(frozen=True)
class _Axis:
    """An axis: its places, their outputs, and the outputs of the layer."""

    places: tuple[_Place, ...]
    count: int
    length: int


def _axes(node: ir.Node) -> list[_Axis] | None:
    """The axes of a layer; None if rule 3 leaves it as it is."""
    x, y = operand(node, 0).shape, node.outputs[0].shape
    if x is None or y is None or rank(operand(node, 1)) not in (3, 4):
        return None
    kernel = (operand(node, 1).shape or ())[_FIRST:]
    n = len(kernel)
    attributes = node.attributes
    if attributes.get_string("auto_pad", "NOTSET") != "NOTSET" or "output_shape" in attributes:
        return None
    given = zip(
        x[_FIRST:],
        y[_FIRST:],
        kernel,
        attributes.get_ints("strides", (1,) * n),
        attributes.get_ints("dilations", (1,) * n),
        attributes.get_ints("pads", (0,) * 2 * n)[:n],
        strict=True,
    )
    axes = []
    for sizes in given:
        if not all(isinstance(size, int) for size in sizes):
            return None
        axis = _axis(*(int(str(size)) for size in sizes))
        if axis is None:
            return None
        axes.append(axis)
    return axes


def _axis(
    inputs: int, outputs: int, kernel: int, stride: int, dilation: int, pad: int
) -> _Axis | None:
    count = -(-outputs // stride)
    places = []
    for a in range(stride):
        taps = [k for k in range(kernel) if (a + pad - dilation * k) % stride == 0]
        if not taps:
            return None
        # The pixel that the first kernel element of this place meets at its first output.
        first = (a + pad - dilation * taps[0]) // stride
        between = dilation * (taps[1] - taps[0]) // stride if len(taps) > 1 else 1
        reach = between * (len(taps) - 1)
        pads = reach - first, count - 1 + first - (inputs - 1)
        if min(pads) < 0:
            return None
        places.append(_Place(tuple(reversed(taps)), between, pads))
    return _Axis(tuple(places), count, outputs)


def _split(
    graph: ir.Graph, node: ir.Node, mark: ir.Node, latent: Array, axes: Sequence[_Axis]
) -> None:
    """Rules 1 and 2."""
    chain = _chain(node)
    new: list[ir.Node] = []
    parts = []
    for number, places in enumerate(product(*(axis.places for axis in axes))):
        new += _convolution(graph, node, mark, latent, places, [axis.count for axis in axes])
        for follower in chain:
            new.append(_copy(follower, new[-1].outputs[0], number))
        parts.append(new[-1].outputs[0])
    last = chain[-1] if chain else node
    new += _interleaved(graph, last, parts, axes)
    replace(graph, last, new)  # the last of them has the record of its signs
    for old in reversed([node, *chain][:-1]):
        graph.remove(old, safe=True)


def _convolution(
    graph: ir.Graph,
    node: ir.Node,
    mark: ir.Node,
    latent: Array,
    places: Sequence[_Place],
    counts: Sequence[int],
) -> list[ir.Node]:
    """The mark of a part of the weights, and the convolution with it."""
    group = node.attributes.get_int("group", 1)
    for axis, place in enumerate(places, start=_FIRST):
        latent = latent.take(place.taps, axis)
    inputs, outputs, *kernel = latent.shape
    grouped = latent.reshape(group, inputs // group, outputs, *kernel).swapaxes(1, 2)
    part = grouped.reshape(group * outputs, inputs // group, *kernel)
    weight = new_node(
        "BinaryWeight",
        [add_constant(graph, parameter_name(node, "latent"), part)],
        source=node,
        dtype=ir.DataType.FLOAT,
        shape=ir.Shape(part.shape),
        domain=DOMAIN,
        attributes=mark.attributes,
    )
    x = operand(node, 0)
    assert x.shape is not None  # `_axes` has read it
    attributes = {
        "kernel_shape": tuple(kernel),
        "strides": (1,) * len(kernel),
        "dilations": tuple(place.dilation for place in places),
        "pads": tuple(place.pads[side] for side in (0, 1) for place in places),
        "group": group,
    }
    conv = new_node(
        "Conv",
        [x, weight.outputs[0], *node.inputs[2:]],
        source=node,
        dtype=ir.DataType.FLOAT,
        shape=ir.Shape([x.shape[0], group * outputs, *counts]),
        attributes=attributes,
    )
    return [weight, conv]


def _chain(node: ir.Node) -> list[ir.Node]:
    """The nodes of rule 2."""
    found: list[ir.Node] = []
    value = node.outputs[0]
    while (reader := only_consumer(value)) is not None:
        is_sign = (reader.domain, reader.op_type) == (DOMAIN, "Sign")
        link = None if is_sign else step(reader.outputs[0])
        if not is_sign and (link is None or link.input is not value or not _keeps_rank(reader)):
            break
        found.append(reader)
        value = reader.outputs[0]
        if is_sign:
            break
    return found


def _keeps_rank(node: ir.Node) -> bool:
    return node.outputs[0].shape == operand(node, 0).shape


def _copy(node: ir.Node, x: ir.Value, number: int) -> ir.Node:
    """A node of rule 2 for one part."""
    y = node.outputs[0]
    before = _varying(node)
    copy = new_node(
        node.op_type,
        [x if value is before else value for value in node.inputs],
        source=node,
        dtype=y.dtype or ir.DataType.FLOAT,
        shape=x.shape,
        domain=node.domain,
        attributes=node.attributes,
    )
    record = sign_record(y)
    if record is not None:
        name = f"{record.name}/part{number}"
        set_sign_record(copy.outputs[0], changed(record, name=name, is_output=False))
    return copy


def _varying(node: ir.Node) -> ir.Value:
    """The operand that is not constant."""
    link = step(node.outputs[0])
    return operand(node, 0) if link is None else link.input


def _interleaved(
    graph: ir.Graph, source: ir.Node, parts: Sequence[ir.Value], axes: Sequence[_Axis]
) -> list[ir.Node]:
    """Put the parts between each other, and cut off what is beyond the last output."""
    if len(parts) == 1:
        return []
    assert parts[0].shape is not None  # `_convolution` gives it
    batch, channels = parts[0].shape[0], int(str(parts[0].shape[1]))
    counts = [axis.count for axis in axes]
    strides = [len(axis.places) for axis in axes]
    lengths = [count * stride for count, stride in zip(counts, strides, strict=True)]

    def node(
        op_type: str, inputs: list[ir.Value], shape: Sequence[Any], **attributes: Any
    ) -> ir.Node:
        return new_node(
            op_type,
            inputs,
            source=source,
            dtype=parts[0].dtype or ir.DataType.FLOAT,
            shape=ir.Shape([batch, *shape]),
            attributes=attributes,
        )

    def sizes(*numbers: int) -> ir.Value:
        name = f"sizes_{'_'.join(map(str, numbers))}"
        return shared_constant(graph, name, np.array(numbers, np.int64))

    new = [node("Concat", list(parts), [prod(strides) * channels, *counts], axis=1)]
    if len(strides) == 2 and strides[0] == strides[1]:
        joined = new[-1].outputs[0]
        shape = [channels, *lengths]
        new.append(node("DepthToSpace", [joined], shape, blocksize=strides[0], mode="DCR"))
    else:
        apart = [*strides, channels, *counts]
        n = len(strides)
        # From batch, places, channels, counts to batch, channels, and a count and place an axis.
        order = [0, n + 1, *(a for i in range(n) for a in (n + 2 + i, 1 + i))]
        turned = [apart[i - 1] for i in order[1:]]
        new.append(node("Reshape", [new[-1].outputs[0], sizes(-1, *apart)], apart))
        new.append(node("Transpose", [new[-1].outputs[0]], turned, perm=order))
        whole = [channels, *lengths]
        new.append(node("Reshape", [new[-1].outputs[0], sizes(-1, *whole)], whole))
    wanted = [axis.length for axis in axes]
    if lengths != wanted:
        ends = [
            sizes(*[0] * len(wanted)),
            sizes(*wanted),
            sizes(*range(_FIRST, _FIRST + len(wanted))),
        ]
        new.append(node("Slice", [new[-1].outputs[0], *ends], [channels, *wanted]))
    return new
