"""What a kernel can do at once with its sums: a threshold and a maximum, or scale and bias.

The nodes that follow are lowered together with the layer, if nothing else reads what lies between.
"""

from dataclasses import dataclass, replace

import numpy as np

from bnnkit.artifact.graph import Node
from bnnkit.artifact.operators import operator_of_kind
from bnnkit.runtime.lowering.constants import per_channel
from bnnkit.runtime.lowering.fused_pool import is_fused_pool, is_plain_pool
from bnnkit.runtime.lowering.noise import noisy_threshold
from bnnkit.runtime.lowering.plan_builder import PlanBuilder
from bnnkit.runtime.steps.convolution import NO_LIMITS
from bnnkit.runtime.steps.stochastic import NoisyThreshold
from bnnkit.runtime.values import Array, Kind

FLOAT = 1
"""ONNX's number for float32."""


@dataclass(frozen=True, kw_only=True)
class Epilogue:
    """What a layer writes.

    Attributes:
        name: The value.
        kind: signs where thresholds are given, real where a scale is, else sums.
        thresholds: (O,).
        scale: float32 (2, O): scale and bias.
        shift: Added to sums of signs before they are limited and scaled.
        limits: The least and the most that a shifted sum counts as.
        noise: Of stochastic signs.
        pools: Only the maximum over 2x2 windows, of signs or of what stochastic ones compare.
    """

    name: str
    kind: Kind
    thresholds: Array | None = None
    scale: Array | None = None
    shift: int = 0
    limits: tuple[int, int] = NO_LIMITS
    noise: NoisyThreshold | None = None
    pools: bool = False


def threshold_epilogue(builder: PlanBuilder, node: Node, thresholds: Array) -> Epilogue:
    """The signs of a BinaryConv2dThreshold, or their maximum if that is all that is read."""
    epilogue = Epilogue(name=node.outputs[0], kind="signs", thresholds=thresholds.reshape(-1))
    reader = builder.graph.sole_reader(epilogue.name)
    if reader is not None and is_fused_pool(builder.graph, reader):
        builder.done.add(reader.name)
        return replace(epilogue, name=reader.outputs[0], pools=True)
    return epilogue


def sums_or_threshold(builder: PlanBuilder, node: Node) -> Epilogue:
    """The sums that the node gives, or the signs of a Threshold that is all that reads them."""
    reader = builder.graph.sole_reader(node.outputs[0])
    if reader is None or reader.kind != "bnnkit.Threshold":
        return Epilogue(name=node.outputs[0], kind="sums")
    builder.done.add(reader.name)
    thresholds = builder.constant(reader, 1).reshape(-1)
    return Epilogue(name=reader.outputs[0], kind="signs", thresholds=thresholds)


def layer_epilogue(builder: PlanBuilder, node: Node, channels: int, rank: int) -> Epilogue:
    """As `sums_or_threshold`, or what a scale and a bias for each channel make of the sums.

    Args:
        builder: The nodes that are taken along become done.
        node: Gives int32 sums.
        channels: O.
        rank: 3 for maps (O, H, W), 1 for vectors (O,).
    """
    reader = builder.graph.sole_reader(node.outputs[0])
    if reader is not None and reader.kind == "Cast" and reader.attributes["to"] == FLOAT:
        found = _sampled(builder, node, reader, channels) or _scaled(
            builder, node, reader, channels, rank
        )
        if found is not None:
            return found
    return sums_or_threshold(builder, node)


def _sampled(builder: PlanBuilder, node: Node, cast: Node, channels: int) -> Epilogue | None:
    """Stochastic signs of the sums, or of their maxima over 2x2 windows.

    Only where the sums depend on the draw. Where they do not, they are computed once for all
    draws, and their signs are steps of their own.
    """
    reader = builder.graph.sole_reader(cast.outputs[0])
    pool = reader if reader is not None and is_plain_pool(reader) else None
    sign = builder.graph.sole_reader(pool.outputs[0]) if pool else reader
    if sign is None or sign.kind != "bnnkit.StochasticSign":
        return None
    if not any(name in builder.noise_dependent for name in node.inputs):
        if pool is not None:
            return None
        builder.done.add(cast.name)
        builder.sums[cast.outputs[0]] = node.outputs[0]
        return Epilogue(name=node.outputs[0], kind="sums")
    if node.attributes.get("group", 1) != 1 and pool is not None:
        return None
    builder.done |= {cast.name, sign.name, *([pool.name] if pool else [])}
    noise = noisy_threshold(builder, sign, channels)
    return Epilogue(name=sign.outputs[0], kind="signs", noise=noise, pools=pool is not None)


def _scaled(
    builder: PlanBuilder, node: Node, cast: Node, channels: int, rank: int
) -> Epilogue | None:
    """Cast, Mul, Add with one number a channel: the form of a batch norm, behind a step or not.

    Between the Cast and the Mul, sums of signs may be limited and shifted, as in LCE's layers.
    """
    nodes, scale = [cast], np.ones(channels, np.float32)
    shift, limits = 0, NO_LIMITS
    operator = operator_of_kind(node.kind)
    if operator is not None and operator.layer == "binary":
        between, shift, limits = _shifted(builder, cast)
        nodes += between
    reader = builder.graph.sole_reader(nodes[-1].outputs[0])
    while reader is not None and reader.kind == "Mul":
        number = _number(builder, reader, channels, rank)
        if number is None or not (_are_powers_of_two(scale) or _are_powers_of_two(number)):
            return None
        nodes, scale = [*nodes, reader], scale * number
        reader = builder.graph.sole_reader(reader.outputs[0])
    bias = None if reader is None else _number(builder, reader, channels, rank)
    if reader is None or reader.kind != "Add" or bias is None:
        return None
    builder.done |= {node.name for node in [*nodes, reader]}
    rows = np.stack([scale, bias]).astype(np.float32)
    return Epilogue(name=reader.outputs[0], kind="real", scale=rows, shift=shift, limits=limits)


def _shifted(builder: PlanBuilder, cast: Node) -> tuple[list[Node], int, tuple[int, int]]:
    """A Relu or a Clip, and the addition of a whole number, behind a Cast: all of them exact.

    Returns:
        The nodes, the number, and the limits of the sum after it is added.
    """
    nodes, (least, most) = [], NO_LIMITS
    reader = builder.graph.sole_reader(cast.outputs[0])
    if reader is not None and reader.kind in ("Relu", "Clip"):
        bounds = [0.0] if reader.kind == "Relu" else _bounds(builder, reader)
        if bounds is None or not all(map(_is_whole, bounds)):
            return [], 0, NO_LIMITS
        nodes.append(reader)
        least, most = int(bounds[0]), int(bounds[1]) if len(bounds) > 1 else most
        reader = builder.graph.sole_reader(reader.outputs[0])
    number = _single(builder, reader) if reader is not None and reader.kind == "Add" else None
    if reader is None or number is None or not _is_whole(number):
        return nodes, 0, (least, most)
    shift = int(number)
    least, most = (limit if limit in NO_LIMITS else limit + shift for limit in (least, most))
    return [*nodes, reader], shift, (least, most)


def _bounds(builder: PlanBuilder, clip: Node) -> list[float] | None:
    """Both bounds of a Clip, where they are constant numbers."""
    found = [builder.constants.get(name) for name in clip.inputs[1:]]
    numbers = [float(bound) for bound in found if bound is not None and bound.size == 1]
    return numbers if len(numbers) == 2 and numbers[0] <= numbers[1] else None


def _single(builder: PlanBuilder, node: Node) -> float | None:
    """The constant operand of a node where it is a single number."""
    found = [builder.constants[name] for name in node.inputs if name in builder.constants]
    return float(found[0].reshape(())) if len(found) == 1 and found[0].size == 1 else None


def _is_whole(number: float) -> bool:
    """Whether it is an integer with which integers of layers stay exact in float32."""
    return abs(number) < 2**23 and number == int(number)


def _are_powers_of_two(numbers: Array) -> bool:
    """Whether multiplying by them is exact, so that two factors may become one."""
    mantissa, exponent = np.frexp(numbers)
    return bool(np.all(np.abs(mantissa) == 0.5) and np.all(np.abs(exponent) < 64))


def _number(builder: PlanBuilder, node: Node, channels: int, rank: int) -> Array | None:
    """The constant operand of a node where it is one float32 number a channel."""
    found = [builder.constants[name] for name in node.inputs if name in builder.constants]
    if len(found) != 1 or found[0].dtype != np.float32 or found[0].ndim > rank + 1:
        return None
    return per_channel(found[0], channels, rank)
