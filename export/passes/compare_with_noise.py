"""Noisy signs of integer sums compare the integers with t + r z.

1. `sum -> f -> StochasticSign`, with a chain f of affine steps on each channel, becomes
   `sum -> Cast -> StochasticSign(t, r)`. Where f decreases, the channel's weights are negated, as
   for thresholds. If the sum is also used as an integer, a `Mul` by -1 follows the `Cast`
   instead.
2. `sum -> g -> MaxPool -> f -> StochasticSign` becomes
   `sum -> Cast -> MaxPool -> Mul(side) -> StochasticSign(t, r)`. Where g decreases, the weights
   are negated. The side is -1 on channels where f decreases; if there are none, the `Mul` is left
   out. Values from g on must have no other use, and steps between two pools must not decrease.
3. Every other noisy sign is of a real number: t = 0, r = 1.
4. Pools never move behind a noisy sign, as each output of the pool draws one number.
5. The signs with the same noise share its table of quantiles, `noise.NAME`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from bnnkit.artifact.format.constants import DOMAIN, SIGN_CHOICES
from bnnkit.errors import UnsupportedError
from bnnkit.export.analysis.find_noisy_thresholds import NoisyThresholds, find_noisy_thresholds
from bnnkit.export.analysis.integer_sums import largest_sums, sum_layer, thresholds_on_side
from bnnkit.export.analysis.monotone import IDENTITY, Affine, Step, step
from bnnkit.export.ir.graph import (
    add_constant,
    channel_column,
    label,
    new_node,
    nodes,
    only_consumer,
    operand,
    parameter_name,
    produced_by,
)
from bnnkit.export.passes.fold_thresholds import negate_back, negate_channels
from bnnkit.export.passes.lower_signs import sign_record
from bnnkit.export.passes.noise_model import NoiseModel
from bnnkit.export.passes.sampling_inputs import sampling_input

_LIMITS: Final = "bnnkit.limits"


@dataclass(frozen=True)
class _Chain:
    """The operators between an integer sum and a noisy sign, in graph order.

    Attributes:
        layer: The layer that gives the sum.
        segments: The steps before the first pool, between pools, and after the last pool.
        pools: The pools between the segments.
    """

    layer: ir.Node
    segments: list[list[Step]]
    pools: list[ir.Node]

    @property
    def steps(self) -> list[Step]:
        return [link for segment in self.segments for link in segment]

    @property
    def cast(self) -> ir.Value:
        """The sum as a real number."""
        return self.segments[0][0].node.outputs[0]

    def side(self, segment: int) -> NDArray[np.int8]:
        """The direction of a segment, (O,): -1 on channels where it decreases, else +1."""
        side = np.ones(len(largest_sums(self.layer)), np.int8)
        for link in self.segments[segment]:
            side = side * link.direction
        return side


def compare_with_noise(graph: ir.Graph, noise_model: NoiseModel) -> None:
    """Run the pass.

    Raises:
        UnsupportedError: A value between a sum and its sign is NaN or infinite, or a sign has no
            channel axis.
        UsageError: The quantiles of a noise are not finite, or decrease.
    """
    tables: dict[str, ir.Value] = {}
    for sign in nodes(graph, "StochasticSign", domain=DOMAIN):
        chain = _chain_above(sign)
        limits = _limits_of_a_real_sign(sign) if chain is None else _compare(graph, sign, chain)
        noise = _noise(sign)
        if noise not in tables:
            tables[noise] = add_constant(graph, f"noise.{noise}", noise_model.table(noise))
        _complete(graph, sign, limits, tables[noise])


def noisy_thresholds_of(sign: ir.Node) -> NoisyThresholds | None:
    """The noisy thresholds of a sign of an integer sum; None for a sign of a real number."""
    found = sign.meta.get(_LIMITS)
    return found if isinstance(found, NoisyThresholds) else None


def _noise(sign: ir.Node) -> str:
    record = sign_record(sign.outputs[0])
    if record is None:
        raise ValueError(f"expected the record of a module for {label(sign)}, got none")
    return record.noise


def _chain_above(sign: ir.Node) -> _Chain | None:
    """The chain of rule 1 or 2; None if there is none."""
    segments: list[list[Step]] = [[]]
    pools: list[ir.Node] = []
    is_used_once = True
    value = operand(sign, 0)
    while (layer := sum_layer(value)) is None:
        is_used_once = is_used_once and only_consumer(value) is not None
        pool, link = produced_by(value, "MaxPool"), step(value)
        if pool is not None and len(pool.outputs) == 1:
            pools.insert(0, pool)
            segments.insert(0, [])
            value = operand(pool, 0)
        elif link is not None and link.affine is not None:
            segments[0].insert(0, link)
            value = link.input
        else:
            return None
    chain = _Chain(layer, segments, pools)
    return chain if not pools or (is_used_once and _can_pool_sums(chain)) else None


def _can_pool_sums(chain: _Chain) -> bool:
    """Whether the pools can pool the sums themselves instead of the values after the steps."""
    if any((chain.side(i) < 0).any() for i in range(1, len(chain.pools))):
        return False
    return bool((chain.side(0) > 0).all()) or only_consumer(chain.layer.outputs[0]) is not None


def _compare(graph: ir.Graph, sign: ir.Node, chain: _Chain) -> NoisyThresholds:
    """Rules 1 and 2: make the input of the sign an integer, and return its thresholds."""
    before = chain.side(0)
    behind = chain.side(-1) if chain.pools else np.ones_like(before)
    limits = _limits_of_sums(sign, chain, before * behind)
    integers = chain.cast
    if (before < 0).any():
        cast = only_consumer(chain.layer.outputs[0])
        if cast is None:
            behind = before  # of the sum, which has no pool then
        else:
            if any(only_consumer(link.node.outputs[0]) is None for link in chain.steps):
                negate_back(graph, cast, before)
            negate_channels(graph, chain.layer, before)
    for pool in chain.pools:
        shape = pool.outputs[0].shape
        integers = _real(graph, sign, "MaxPool", [integers], pool, shape, pool.attributes)
    if (behind < 0).any():
        column = channel_column(behind.astype(np.float32), integers)
        factor = add_constant(graph, parameter_name(sign, "side"), column)
        integers = _real(graph, sign, "Mul", [integers, factor], sign, integers.shape)
    sign.replace_input_with(0, integers)
    sign.meta[_LIMITS] = limits
    return limits


def _limits_of_sums(sign: ir.Node, chain: _Chain, side: NDArray[np.int8]) -> NoisyThresholds:
    affine = IDENTITY
    for link in chain.steps:
        if link.affine is None:
            raise ValueError(f"{label(link.node)} is not affine")
        affine = link.affine.after(affine)
    bound = largest_sums(chain.layer)
    threshold = thresholds_on_side(sign, chain.steps, bound, side)
    return find_noisy_thresholds(Affine(affine.slope * side, affine.shift), threshold, bound)


def _real(
    graph: ir.Graph,
    sign: ir.Node,
    op_type: str,
    inputs: list[ir.Value],
    source: ir.Node,
    shape: ir.Shape | None,
    attributes: Mapping[str, ir.Attr] | None = None,
) -> ir.Value:
    """Inserts a node before the sign; returns its real output."""
    real = ir.DataType.FLOAT
    node = new_node(op_type, inputs, source=source, dtype=real, shape=shape, attributes=attributes)
    graph.insert_before(sign, node)
    return node.outputs[0]


def _limits_of_a_real_sign(sign: ir.Node) -> NoisyThresholds:
    shape = operand(sign, 0).shape
    channels = shape[1] if shape is not None and shape.rank() > 1 else None
    if not isinstance(channels, int):
        raise UnsupportedError(
            f"expected an input (N, C, ...) of {label(sign)} with a fixed C to draw noise for, "
            f"got shape {shape}; export with mode='deterministic'"
        )
    zeros = np.zeros(channels)
    return NoisyThresholds(zeros.astype(np.float32), np.ones(channels, np.float32), zeros, zeros)


def _complete(graph: ir.Graph, sign: ir.Node, limits: NoisyThresholds, table: ir.Value) -> None:
    """Add the constants of the sign, and the inputs that select its random numbers."""
    x = operand(sign, 0)
    columns = {"threshold": limits.threshold, "noise_scale": limits.noise_scale}
    constants = [
        add_constant(graph, parameter_name(sign, name), channel_column(numbers, x))
        for name, numbers in columns.items()
    ]
    sign.resize_inputs(1 + len(constants) + 1 + len(SIGN_CHOICES))
    chosen = [sampling_input(graph, name) for name in SIGN_CHOICES]
    for index, value in enumerate([*constants, table, *chosen], 1):
        sign.replace_input_with(index, value)
