"""Lowering of stochastic signs, and of what they share among their draws."""

from dataclasses import replace

import numpy as np

from bnnkit.artifact.graph import Node
from bnnkit.errors import ArtifactError, UnsupportedError
from bnnkit.runtime.lowering.draft import Draft
from bnnkit.runtime.quantiles import Quantiles
from bnnkit.runtime.steps.real import CopyReal
from bnnkit.runtime.steps.stochastic import Noise, Repeat, SampleSigns
from bnnkit.runtime.values import FLOAT, Array, Margin, Value


def noise_of(draft: Draft, node: Node, channels: int) -> Noise:
    """The noise of a StochasticSign.

    Raises:
        ArtifactError: It has thresholds or scales for another number of channels.
    """
    return Noise(
        thresholds=_for_each_channel(draft, node, 1, channels),
        scales=_for_each_channel(draft, node, 2, channels),
        quantiles=_quantiles(draft, node),
        layer=int(node.attributes["layer"]),
    )


def _for_each_channel(draft: Draft, node: Node, index: int, channels: int) -> Array:
    numbers = draft.constant(node, index)
    if numbers.shape not in ((channels,), (channels, 1, 1)) or numbers.dtype != np.float32:
        raise ArtifactError(
            f"node {node.name!r} ({node.kind}): expected a float32 number for each of {channels}"
            f" channels, got {numbers.dtype} of shape {numbers.shape}"
        )
    return np.ascontiguousarray(numbers.reshape(-1))


def _quantiles(draft: Draft, node: Node) -> Quantiles:
    """One object for all signs with the same table, whose lines are then found once."""
    name = node.inputs[3]
    if name not in draft.quantiles:
        draft.quantiles[name] = Quantiles(np.ascontiguousarray(draft.constant(node, 3)))
    return draft.quantiles[name]


def stochastic_sign(draft: Draft, node: Node) -> None:
    """A StochasticSign that was not lowered with the layer before it."""
    source = draft.sums.get(node.inputs[0], node.inputs[0])
    value = draft.values[source]
    if len(value.shape) not in (1, 3) or value.kind in ("signs", "codes", "shape"):
        raise UnsupportedError(
            f"node {node.name!r} ({node.kind}): expected maps (N, C, H, W) or vectors (N, F) of"
            f" numbers, got {value.kind} of shape (N, {', '.join(map(str, value.shape))})"
        )
    is_shared = source not in draft.sampled
    draft.sampled.add(node.outputs[0])
    if value.kind == "image" or (value.kind == "real" and value.dtype != FLOAT):
        # Channels that are not contiguous, or numbers of another type.
        copy = CopyReal(name=node.name, source=source, target=f"{node.name}/stored")
        draft.add(copy, Value(kind="real", shape=value.shape))
        source = copy.target
        if not is_shared:
            draft.sampled.add(source)
    step = SampleSigns(
        name=node.name,
        source=source,
        target=node.outputs[0],
        noise=noise_of(draft, node, value.map[0]),
        is_shared=is_shared,
    )
    draft.add(step, Value(kind="signs", shape=value.shape))


def weight_draw(draft: Draft, node: Node, weights: int) -> None:
    """A WeightDraw, for one of its draws: a constant."""
    rows = draft.constant(node, 0)
    draft.graph.constants[node.outputs[0]] = rows[1 + weights % (len(rows) - 1)]
    draft.sampled.add(node.outputs[0])


def with_repeats(draft: Draft, node: Node) -> Node:
    """The node with all its inputs for each draw: those that it would read for each image."""
    inputs = tuple(
        _repeated(draft, name) if name in draft.values and name not in draft.sampled else name
        for name in node.inputs
    )
    return replace(node, inputs=inputs)


def _repeated(draft: Draft, name: str) -> str:
    if draft.values[name].kind == "shape":
        raise UnsupportedError(
            f"the shape {name!r}, which may hold the batch, is used where the noise of its samples"
            " is too; export the network with shapes that do not depend on the batch"
        )
    target = f"{name}/drawn"
    if target not in draft.values:
        source = draft.signs(name) if draft.kind(name) == "signs" else name
        step = Repeat(name=source, source=source, target=target)
        draft.add(step, replace(draft.values[source], margin=Margin()))
        draft.sampled.add(target)
    return target
