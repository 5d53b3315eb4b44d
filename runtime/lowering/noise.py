"""Lowering of stochastic signs, and of what they share among their draws."""

from dataclasses import replace

import numpy as np

from bnnkit.artifact.graph import Node
from bnnkit.errors import ArtifactError, UnsupportedError
from bnnkit.runtime.lowering.plan_builder import PlanBuilder
from bnnkit.runtime.quantiles import Quantiles
from bnnkit.runtime.steps.real import CopyReal
from bnnkit.runtime.steps.stochastic import NoisyThreshold, Repeat, SampleSigns
from bnnkit.runtime.values import FLOAT, Array, Margin, Value


def noisy_threshold(builder: PlanBuilder, node: Node, channels: int) -> NoisyThreshold:
    """The noise of a StochasticSign.

    Raises:
        ArtifactError: It has thresholds or scales for another number of channels.
    """
    return NoisyThreshold(
        thresholds=_for_each_channel(builder, node, 1, channels),
        scales=_for_each_channel(builder, node, 2, channels),
        quantiles=_quantiles(builder, node),
        layer=int(node.attributes["layer"]),
    )


def _for_each_channel(builder: PlanBuilder, node: Node, index: int, channels: int) -> Array:
    numbers = builder.constant(node, index)
    if numbers.shape not in ((channels,), (channels, 1, 1)) or numbers.dtype != np.float32:
        raise ArtifactError(
            f"node {node.name!r} ({node.kind}): expected a float32 number for each of {channels}"
            f" channels, got {numbers.dtype} of shape {numbers.shape}"
        )
    return np.ascontiguousarray(numbers.reshape(-1))


def _quantiles(builder: PlanBuilder, node: Node) -> Quantiles:
    """One object for all signs with the same table, whose lines are then found once."""
    name = node.inputs[3]
    if name not in builder.quantiles:
        builder.quantiles[name] = Quantiles(np.ascontiguousarray(builder.constant(node, 3)))
    return builder.quantiles[name]


def stochastic_sign(builder: PlanBuilder, node: Node) -> None:
    """A StochasticSign that was not lowered with the layer before it."""
    source = builder.sums.get(node.inputs[0], node.inputs[0])
    value = builder.values[source]
    if len(value.shape) not in (1, 3) or value.kind in ("signs", "codes", "shape"):
        raise UnsupportedError(
            f"node {node.name!r} ({node.kind}): expected maps (N, C, H, W) or vectors (N, F) of"
            f" numbers, got {value.kind} of shape (N, {', '.join(map(str, value.shape))})"
        )
    is_shared = source not in builder.noise_dependent
    builder.noise_dependent.add(node.outputs[0])
    if value.kind == "image" or (value.kind == "real" and value.dtype != FLOAT):
        # Channels that are not contiguous, or numbers of another type.
        copy = CopyReal(name=node.name, source=source, target=f"{node.name}/stored")
        builder.add(copy, Value(kind="real", shape=value.shape))
        source = copy.target
        if not is_shared:
            builder.noise_dependent.add(source)
    step = SampleSigns(
        name=node.name,
        source=source,
        target=node.outputs[0],
        noise=noisy_threshold(builder, node, value.map[0]),
        is_shared=is_shared,
    )
    builder.add(step, Value(kind="signs", shape=value.shape))


def select_weight_draw(builder: PlanBuilder, node: Node, weight_draw: int) -> None:
    """A WeightDraw, for one of its draws: a constant."""
    rows = builder.constant(node, 0)
    builder.constants[node.outputs[0]] = rows[1 + weight_draw % (len(rows) - 1)]
    builder.noise_dependent.add(node.outputs[0])


def with_repeats(builder: PlanBuilder, node: Node) -> Node:
    """The node with all its inputs for each draw: those that it would read for each image."""
    inputs = tuple(
        _repeated(builder, name)
        if name in builder.values and name not in builder.noise_dependent
        else name
        for name in node.inputs
    )
    return replace(node, inputs=inputs)


def _repeated(builder: PlanBuilder, name: str) -> str:
    if builder.values[name].kind == "shape":
        raise UnsupportedError(
            f"the shape {name!r}, which may hold the batch, is used where the noise of its samples"
            " is too; export the network with shapes that do not depend on the batch"
        )
    target = f"{name}/drawn"
    if target not in builder.values:
        source = builder.signs(name) if builder.kind(name) == "signs" else name
        step = Repeat(name=source, source=source, target=target)
        builder.add(step, replace(builder.values[source], margin=Margin()))
        builder.noise_dependent.add(target)
    return target
