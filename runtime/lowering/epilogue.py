"""Epilogues: what the kernel of a layer computes from its sums before it stores them.

The nodes behind a layer (threshold, max-pooling, scale and bias, stochastic sign) are lowered
together with it, provided that nothing else reads the values between them.
"""

from dataclasses import dataclass, replace

import numpy as np

from bnnkit.artifact.format.graph import Node
from bnnkit.artifact.operators import operator_of_kind
from bnnkit.runtime.lowering.constants import per_channel
from bnnkit.runtime.lowering.fused_pool import is_fused_pool, is_plain_pool
from bnnkit.runtime.lowering.noise import noisy_threshold
from bnnkit.runtime.lowering.plan_builder import PlanBuilder
from bnnkit.runtime.memory.values import Array, Kind
from bnnkit.runtime.steps.convolution import NO_LIMITS
from bnnkit.runtime.steps.stochastic import StochasticThreshold

FLOAT = 1
"""ONNX's code of float32."""


@dataclass(frozen=True, kw_only=True)
class Epilogue:
    """The output of a layer, and how it is computed from the sums.

    Attributes:
        name: Name of the value that is stored.
        kind: "signs" with thresholds or noise, "real" with a scale, else "sums".
        thresholds: (O,), +1 where the sum reaches the threshold.
        scale: float32 (2, O), scale and bias.
        shift: Integer added to sums of signs before they are clipped and scaled.
        limits: Lower and upper bound to which the shifted sum is clipped.
        noise: Thresholds and noise of stochastic signs.
        pools: Whether 2x2 max-pooling follows: of the signs, or of the sums of stochastic signs.
    """

    name: str
    kind: Kind
    thresholds: Array | None = None
    scale: Array | None = None
    shift: int = 0
    limits: tuple[int, int] = NO_LIMITS
    noise: StochasticThreshold | None = None
    pools: bool = False


def threshold_epilogue(builder: PlanBuilder, node: Node, thresholds: Array) -> Epilogue:
    """Return the epilogue of a BinaryConv2dThreshold, including a max-pooling that it fuses."""
    epilogue = Epilogue(name=node.outputs[0], kind="signs", thresholds=thresholds.reshape(-1))
    reader = builder.graph.sole_reader(epilogue.name)
    if reader is not None and is_fused_pool(builder.graph, reader):
        builder.done.add(reader.name)
        return replace(epilogue, name=reader.outputs[0], pools=True)
    return epilogue


def sums_or_threshold(builder: PlanBuilder, node: Node) -> Epilogue:
    """Return an epilogue of sums, or of the signs of a Threshold that alone reads them."""
    reader = builder.graph.sole_reader(node.outputs[0])
    if reader is None or reader.kind != "bnnkit.Threshold":
        return Epilogue(name=node.outputs[0], kind="sums")
    builder.done.add(reader.name)
    thresholds = builder.constant(reader, 1).reshape(-1)
    return Epilogue(name=reader.outputs[0], kind="signs", thresholds=thresholds)


def layer_epilogue(builder: PlanBuilder, node: Node, channels: int, rank: int) -> Epilogue:
    """Return the epilogue of a layer of sums: noise, scale and bias, threshold, or none.

    Args:
        builder: The nodes that the epilogue includes are marked as done.
        node: A layer that gives int32 sums.
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
    """Return the epilogue of stochastic signs of the sums, optionally after 2x2 max-pooling.

    The signs are fused only if the sums depend on the noise. Otherwise the sums are computed once
    for all samples, and the signs are a step of their own.
    """
    reader = builder.graph.sole_reader(cast.outputs[0])
    pool = reader if reader is not None and is_plain_pool(reader) else None
    sign = builder.graph.sole_reader(pool.outputs[0]) if pool else reader
    if sign is None or sign.kind != "bnnkit.StochasticSign":
        return None
    is_shared = not any(name in builder.noise_dependent for name in node.inputs)
    if is_shared and builder.forms.shares_sums:
        if pool is not None:
            return None
        builder.done.add(cast.name)
        builder.sums[cast.outputs[0]] = node.outputs[0]
        return Epilogue(name=node.outputs[0], kind="sums")
    if node.attributes.get("group", 1) != 1 and pool is not None:
        return None
    builder.done |= {cast.name, sign.name, *([pool.name] if pool else [])}
    builder.noise_dependent.add(sign.outputs[0])
    noise = noisy_threshold(builder, sign, channels)
    return Epilogue(name=sign.outputs[0], kind="signs", noise=noise, pools=pool is not None)


def _scaled(
    builder: PlanBuilder, node: Node, cast: Node, channels: int, rank: int
) -> Epilogue | None:
    """Return the epilogue of Cast, Mul, Add with one number per channel, such as a batch norm.

    Between Cast and Mul, sums of signs may be clipped and shifted, as in layers of Larq Compute
    Engine.
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
    """Find a Relu or Clip and the addition of an integer behind a Cast, all of them exact.

    Returns:
        The nodes, the integer, and the limits of the sum after the addition.
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
    """Return both bounds of a Clip, or None if they are not constant numbers."""
    found = [builder.constants.get(name) for name in clip.inputs[1:]]
    numbers = [float(bound) for bound in found if bound is not None and bound.size == 1]
    return numbers if len(numbers) == 2 and numbers[0] <= numbers[1] else None


def _single(builder: PlanBuilder, node: Node) -> float | None:
    """Return the constant operand of a node, or None if it is not a single number."""
    found = [builder.constants[name] for name in node.inputs if name in builder.constants]
    return float(found[0].reshape(())) if len(found) == 1 and found[0].size == 1 else None


def _is_whole(number: float) -> bool:
    """Whether a number is an integer with which sums of layers stay exact in float32."""
    return abs(number) < 2**23 and number == int(number)


def _are_powers_of_two(numbers: Array) -> bool:
    """Whether multiplication by the numbers is exact, so that two factors can be merged."""
    mantissa, exponent = np.frexp(numbers)
    return bool(np.all(np.abs(mantissa) == 0.5) and np.all(np.abs(exponent) < 64))


def _number(builder: PlanBuilder, node: Node, channels: int, rank: int) -> Array | None:
    """Return the constant operand of a node as (channels,), or None if it has another form."""
    found = [builder.constants[name] for name in node.inputs if name in builder.constants]
    if len(found) != 1 or found[0].dtype != np.float32 or found[0].ndim > rank + 1:
        return None
    return per_channel(found[0], channels, rank)
