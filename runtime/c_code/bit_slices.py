"""Binary convolutions of small groups, with bit-sliced counters, as calls of the exported C."""

from dataclasses import replace

import numpy as np

from bnnkit.runtime.c_code.buffers import Call
from bnnkit.runtime.c_code.calls import Values, pixels_of, unary
from bnnkit.runtime.c_code.constants import Constants
from bnnkit.runtime.c_code.layers import base_fields, integer_call, stored_fields, window_fields
from bnnkit.runtime.memory.values import Array
from bnnkit.runtime.steps.bit_sliced import BitSlicedConvolution, SpreadGroups


def bit_sliced(step: BitSlicedConvolution, values: Values, constants: Constants) -> Call:
    """Return the call of a convolution.

    A pixel of the source has the signs of all outputs for the first input of a group, then for the
    second. The runtime stores them as rows.
    """
    spread, octets = values[step.source], -(-step.channels // 8)
    channels, rows, columns = spread.map
    source = replace(spread, shape=(channels, rows // step.inputs, columns))
    pixel = step.inputs * octets
    target, taps = values[step.target].kind, len(step.weights)
    fields: dict[str, object] = {
        "window": window_fields(source, step.window, pixel),
        "channels": step.channels,
        "product": "BNN_SLICED",
        "steps": taps,
        "patch": taps * octets,
        "weights": constants.array(_octets(step.weights, octets)),
        **base_fields(step.constants, step.cases, constants),
        "y_pixel": octets if target == "signs" else 4 * step.channels,
        **stored_fields(target, step.constants, step.channels, constants),
    }
    return integer_call(fields, step.source, step.target, constants, is_sampled=False)


def spread_groups(step: SpreadGroups, values: Values) -> Call:
    """Return the call that spreads the signs of groups."""
    sizes = f"{pixels_of(values, step.source)}, {step.groups}, {step.inputs}, {step.outputs}"
    return unary(f"bnn_spread_groups({{x}}, {sizes}, {{y}});", step.source, step.target)


def _octets(words: Array, octets: int) -> Array:
    """Return the weights (taps, words, continued) as (taps, octets)."""
    rows: Array = np.ascontiguousarray(words).view(np.uint8).reshape(len(words), -1)
    return np.ascontiguousarray(rows[:, :octets])
