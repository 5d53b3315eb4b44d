"""Convolutions and dense layers as calls of the exported C: windows, weights and epilogues."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bnnkit.errors import UnsupportedError
from bnnkit.runtime.c_code.buffers import Call
from bnnkit.runtime.c_code.calls import Values
from bnnkit.runtime.c_code.constants import Constants, int_literal
from bnnkit.runtime.memory.values import Array, Value
from bnnkit.runtime.memory.weights import padded_channels
from bnnkit.runtime.steps.convolution import Convolution, EpilogueConstants
from bnnkit.runtime.steps.depthwise import Depthwise
from bnnkit.runtime.steps.stochastic import StochasticThreshold
from bnnkit.runtime.steps.window import KernelWindow

PIXELS: Final = 4
"""Patches that a layer copies at once, BNN_PIXELS of the C code."""
BLOCK: Final = 4
"""Output channels whose weights are interleaved (bnn_count.h)."""
STEP: Final = 16
"""Bytes of a patch that are counted at once."""
BYTES, SHORTS = np.dtype(np.uint8), np.dtype(np.int16)
FLOATS, OCTETS = np.dtype(np.float32), np.dtype(np.int8)
_CONSTANT_ROW: Final = 255
"""In `rows_of_cases`: the case has the same base for every channel."""


def window_fields(
    source: Value, window: KernelWindow, pixel: int, *, first: int = 0, run: int = 0, tap: int = 0
) -> dict[str, int]:
    """Return the fields of a bnn_window.

    Args:
        source: The map under the window.
        window: Its geometry.
        pixel: Bytes of a pixel; the whole pixel is read where `run` is 0.
        first: First byte that is read of a pixel.
        run: Bytes that are read of a pixel.
        tap: Bytes that they take in a patch.

    Raises:
        UnsupportedError: If positions under the window are beyond int32.
    """
    _, rows, columns = source.map
    if _farthest(window) >= 2**31:
        raise UnsupportedError("a window that reaches 2^31 pixels or more")
    names = "height", "width", "down", "right", "row_step", "column_step", "top", "left"
    return {
        "rows": rows,
        "columns": columns,
        "pixel": pixel,
        "first": first,
        "run": run or pixel,
        "tap": tap or pixel,
        **dict(zip(names, window.fields, strict=True)),
        "out_rows": window.output[0],
        "out_columns": window.output[1],
    }


def _farthest(window: KernelWindow) -> int:
    """Return the largest distance in pixels that a window's fields or positions have."""
    axes = zip(window.size, window.stride, window.dilation, window.output, strict=True)
    lasts = [(count - 1) * step + (size - 1) * gap for size, step, gap, count in axes]
    return max(*lasts, *window.stride, *window.dilation, *window.padding)


def noise_record(constants: Constants, noise: StochasticThreshold) -> str:
    """Return the address of a bnn_noise. Of a symmetric table, the upper half is stored."""
    table = noise.quantiles.table
    upper = table[len(table) // 2 :]
    is_symmetric = (-upper[::-1]).tobytes() == table[: len(table) // 2].tobytes()
    fields = {
        "thresholds": constants.array(noise.thresholds),
        "scales": constants.array(noise.scales),
        "quantiles": constants.array(upper if is_symmetric else table),
        "is_symmetric": int(is_symmetric),
        "layer": noise.layer,
        "channels": noise.channels,
    }
    return "&" + constants.record("bnn_noise", fields)


def convolution(step: Convolution, values: Values, constants: Constants) -> list[Call]:
    """Return the call of a convolution or dense layer."""
    if step.weights.dtype in (BYTES, SHORTS):
        return [_integer_layer(step, values, constants)]
    return [_real_layer(step, values, constants)]


def _integer_layer(step: Convolution, values: Values, constants: Constants) -> Call:
    is_binary = step.weights.dtype == BYTES
    source, size = values[step.source], step.weights.dtype.itemsize
    channels = source.map[0]
    pixel = -(-channels // 8) if is_binary else channels * size
    run = step.elements * size
    first = step.first_element * size
    taps = step.weights.shape[1] * size
    steps = -(-taps // STEP) if is_binary else -(-taps // 4)
    weights = _blocks(step.weights, steps) if is_binary else _pairs(step.weights, steps)
    patch = steps * (STEP if is_binary else 4)
    fields: dict[str, object] = {
        "window": window_fields(source, step.window, pixel, first=first, run=run, tap=run),
        "channels": step.channels,
        "product": "BNN_COUNTED" if is_binary else "BNN_PAIRS",
        "steps": steps,
        "patch": patch,
        "weights": constants.array(weights),
        **base_fields(step.constants, step.cases, constants),
        **_output(step, values),
        "pools": int(step.pools),
        **_integer_epilogue(step, values, constants),
    }
    return integer_call(fields, step.source, step.target, constants, step.noise is not None)


def integer_call(
    fields: dict[str, Any], source: str, target: str, constants: Constants, is_sampled: bool
) -> Call:
    """Return the call of a layer of integer sums.

    Args:
        fields: The fields of its bnn_integer_layer.
        source: The value that it reads.
        target: The value that it writes.
        constants: Receives the record.
        is_sampled: Whether it draws noise.
    """
    record, patches = constants.record("bnn_integer_layer", fields), f"{target}/patches"
    return Call(
        code=f"bnn_run_integer_layer(&{record}, {{x}}, {{y}}, {{patches}}, sample);",
        operands={"x": source, "y": target, "patches": patches},
        reads=(source,),
        writes=(target,),
        temporaries={patches: PIXELS * fields["patch"]},
        is_sampled=is_sampled,
    )


def _output(step: Convolution, values: Values) -> dict[str, int]:
    """Return where the group lies in a pixel of the output."""
    target = values[step.target]
    channels = target.map[0]
    if target.kind == "signs":
        return {"y_pixel": -(-channels // 8), "y_first": step.first_channel // 8}
    return {"y_pixel": 4 * channels, "y_first": 4 * step.first_channel}


def _integer_epilogue(
    step: Convolution, values: Values, constants: Constants
) -> dict[str, object]:
    """Return the fields that say what is stored of the sums."""
    if step.noise is not None:
        return {"kind": "BNN_TO_NOISY_SIGNS", "noise": noise_record(constants, step.noise)}
    return stored_fields(values[step.target].kind, step.constants, step.channels, constants)


def stored_fields(
    kind: str, given: EpilogueConstants, channels: int, constants: Constants
) -> dict[str, object]:
    """Return the fields of a bnn_integer_layer that say what is stored, without noise.

    Args:
        kind: The kind of the output.
        given: Its constants.
        channels: Number of output channels.
        constants: Receives the arrays.
    """
    if kind == "signs" and given.thresholds is not None:
        thresholds = constants.array(given.thresholds.astype(np.int32))
        return {"kind": "BNN_TO_SIGNS", "thresholds": thresholds}
    if kind == "real":
        least, most = given.limits
        return {
            "kind": "BNN_TO_REALS",
            **_scale(given, channels, constants),
            "least": int_literal(least),
            "most": int_literal(most),
        }
    return {"kind": "BNN_TO_SUMS"}


def _scale(given: EpilogueConstants, channels: int, constants: Constants) -> dict[str, object]:
    assert given.scale is not None  # real outputs have one
    scale, bias = given.scale[:, :channels]
    return {"scale": constants.array(scale), "bias": constants.array(bias)}


def base_fields(given: EpilogueConstants, cases: Array, constants: Constants) -> dict[str, object]:
    """Return the sums of a binary layer where no sign differs: one number, or one per channel.

    On zero padding the kernel counts +1, so the base of a border case differs by channel.

    Args:
        given: Constants of the epilogue.
        cases: (OH, OW), the border case of each output pixel.
        constants: Receives the arrays.

    Raises:
        UnsupportedError: If they do not fit the fields.
    """
    sums = given.sums
    if sums is None:
        return {"base": 0, "shift": given.shift}
    is_constant = (sums == sums[:, :1]).all(axis=1)
    base = int(sums[is_constant, 0].max()) if is_constant.any() else 0
    is_base = is_constant & (sums[:, 0] == base)
    if is_base.all():
        return {"base": base, "shift": given.shift}
    rows = sums[~is_base]
    if len(sums) >= _CONSTANT_ROW or np.abs(rows).max() > np.iinfo(np.int16).max:
        raise UnsupportedError(
            "a binary convolution with zero padding whose sums reach beyond 32767, or with more"
            " than 254 different borders"
        )
    rows_of_cases = np.where(is_base, _CONSTANT_ROW, np.cumsum(~is_base) - 1)
    return {
        "base": base,
        "border_bases": constants.array(rows.astype(np.int16)),
        "row_cases": constants.array(_from_zero(cases[:, 0])),
        "column_cases": constants.array(_from_zero(cases[0])),
        "rows_of_cases": constants.array(rows_of_cases.astype(np.uint8)),
        "shift": given.shift,
    }


def _from_zero(cases: Array) -> NDArray[np.uint8]:
    """Return one axis of the border cases, which are the sums of those of rows and columns."""
    numbers: NDArray[np.uint8] = (cases - cases.min()).astype(np.uint8)
    return numbers


def _blocks(weights: Array, steps: int) -> NDArray[np.uint64]:
    """Arrange packed weights (O, bytes) as (blocks of four channels, steps, 4, 2 words)."""
    channels, taps = weights.shape
    whole = np.zeros((padded_channels(channels, BLOCK), steps * STEP), np.uint8)
    whole[:channels, :taps] = weights
    blocks = whole.reshape(-1, BLOCK, steps, STEP).transpose(0, 2, 1, 3)
    return np.ascontiguousarray(blocks).view("<u8")


def _pairs(weights: Array, pairs: int) -> NDArray[np.int16]:
    """Arrange int16 weights (O, taps) as (pairs of taps, O rounded up to 16, 2)."""
    channels, taps = weights.shape
    whole = np.zeros((padded_channels(channels, 16), 2 * pairs), np.int16)
    whole[:channels, :taps] = weights
    return whole.reshape(len(whole), pairs, 2).transpose(1, 0, 2)


def _real_layer(step: Convolution, values: Values, constants: Constants) -> Call:
    """Return the call of a layer of float32, with float32 weights or eight signs a byte."""
    is_binary = step.weights.dtype == OCTETS
    source, taps = values[step.source], step.weights.shape[1]
    run = 4 * step.elements
    tap = 32 * -(-step.elements // 8) if is_binary else run
    weights: Array = step.weights.T.view(np.uint8) if is_binary else step.weights.T
    window = window_fields(
        source, step.window, 4 * source.map[0], first=4 * step.first_element, run=run, tap=tap
    )
    fields = {
        "window": window,
        "channels": step.channels,
        "taps": taps * (8 if is_binary else 1),
        "weights": constants.array(weights),
        **_output(step, values),
        **_real_epilogue(step, values, constants),
    }
    record = constants.record("bnn_real_layer", fields)
    multiply = "bnn_add_signed" if is_binary else "bnn_multiply_reals"
    height, width = step.window.size
    return Call(
        code=f"bnn_run_real_layer(&{record}, {multiply}, {{x}}, {{y}}, {{patch}});",
        operands={"x": step.source, "y": step.target, "patch": f"{step.target}/patch"},
        reads=(step.source,),
        writes=(step.target,),
        temporaries={f"{step.target}/patch": height * width * tap},
    )


def _real_epilogue(step: Convolution, values: Values, constants: Constants) -> dict[str, object]:
    if values[step.target].kind != "real":
        raise UnsupportedError("signs or sums of a float layer")
    return _scale(step.constants, step.channels, constants)


def depthwise(step: Depthwise, values: Values, constants: Constants) -> list[Call]:
    """Return the call of a depthwise convolution."""
    channels = values[step.source].map[0]
    window = constants.record(
        "bnn_window", window_fields(values[step.source], step.window, 4 * channels)
    )
    vectors = step.weights.transpose(1, 0, 2)
    weights: NDArray[Any] = vectors.reshape(len(vectors), -1)[:, :channels]
    arrays = f"{constants.array(weights)}, {constants.array(step.bias[:channels])}"
    return [
        Call(
            code=f"bnn_depthwise(&{window}, {channels}, {arrays}, {{x}}, {{y}});",
            operands={"x": step.source, "y": step.target},
            reads=(step.source,),
            writes=(step.target,),
        )
    ]
