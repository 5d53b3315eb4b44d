"""Lowering of stochastic signs, draws of the weights, and values shared by all samples."""

from dataclasses import replace

import numpy as np

from bnnkit.artifact.format.graph import Node
from bnnkit.errors import ArtifactError, UnsupportedError
from bnnkit.runtime.lowering.plan_builder import PlanBuilder
from bnnkit.runtime.memory.quantiles import Quantiles
from bnnkit.runtime.memory.values import FLOAT, Array, Margin, Value
from bnnkit.runtime.steps.real import CopyReal
from bnnkit.runtime.steps.stochastic import Repeat, SampleSigns, StochasticThreshold


def noisy_threshold(builder: PlanBuilder, node: Node, channels: int) -> StochasticThreshold:
    """Return the thresholds and the noise of a StochasticSign.

    Raises:
        ArtifactError: If thresholds or scales have another number of channels.
    """
    return StochasticThreshold(
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
    """Return one Quantiles object per table, so that its approximation is computed once."""
    name = node.inputs[3]
    if name not in builder.quantiles:
        builder.quantiles[name] = Quantiles(np.ascontiguousarray(builder.constant(node, 3)))
    return builder.quantiles[name]


def lower_stochastic_sign(builder: PlanBuilder, node: Node) -> None:
    """Lower a StochasticSign that is not part of an epilogue."""
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
        # The kernel needs contiguous channels of float32.
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


def lower_weight_draw(builder: PlanBuilder, node: Node) -> None:
    """Lower a WeightDraw to a constant, the stored draw of the plan."""
    rows = builder.constant(node, 0)
    builder.constants[node.outputs[0]] = rows[1 + builder.weight_draw % (len(rows) - 1)]
    builder.noise_dependent.add(node.outputs[0])


def repeat_inputs(builder: PlanBuilder, node: Node) -> Node:
    """Return the node with every input that does not depend on the noise repeated per sample."""
    inputs = tuple(
        _repeat(builder, name)
        if name in builder.values and name not in builder.noise_dependent
        else name
        for name in node.inputs
    )
    return replace(node, inputs=inputs)


def _repeat(builder: PlanBuilder, name: str) -> str:
    if builder.values[name].kind == "shape":
        raise UnsupportedError(
            f"the shape {name!r}, which may depend on the batch, is combined with values"
            " that depend on the noise; export the network with shapes that do not depend on the"
            " batch"
        )
    target = f"{name}/repeated"
    if target not in builder.values:
        source = builder.packed_signs(name) if builder.kind(name) == "signs" else name
        step = Repeat(name=source, source=source, target=target)
        builder.add(step, replace(builder.values[source], margin=Margin(), view_of=None))
        builder.noise_dependent.add(target)
    return target
