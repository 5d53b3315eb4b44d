"""TRANSPOSE_CONV as a convolution of a map with zeros between its pixels.

    out[o] = sum over k of in[y] weight[k], where y stride + k - before = o,

so with the kernel reversed it is a convolution of the map in which pixel y lies at y stride. The
converter gives the shape of the result, from which the padding follows as in TensorFlow Lite.
"""

from dataclasses import replace
from math import prod

import numpy as np

from bnnkit.errors import ArtifactError
from bnnkit.runtime.from_tflite.draft import Draft
from bnnkit.runtime.from_tflite.layers import bias_of, finish, layer_input, weight_of
from bnnkit.runtime.from_tflite.lce_operators import map_of
from bnnkit.runtime.from_tflite.numbers import halves_away
from bnnkit.runtime.from_tflite.window import Window, padding_of
from bnnkit.tflite.network import Operator
from bnnkit.tflite.read_options import Options

_TRANSPOSE_CONV = 49


def transpose_conv(draft: Draft, operator: Operator) -> None:
    """TRANSPOSE_CONV: shape of the result, filter (O, KH, KW, I), map, and perhaps a bias."""
    # The inputs of a layer are a map, a filter and a bias.
    places = operator.inputs
    layer = replace(operator, inputs=(*places[2:3], *places[1:2], *places[3:4]))
    options, value = Options(operator, _TRANSPOSE_CONV), layer_input(draft, layer)
    weight, scales = weight_of(draft, layer, 0, rank=4)
    batch, height, width, channels = map_of(value)
    if weight.shape[3] != channels:
        raise ArtifactError(f"the filter {weight.shape} does not fit {channels} input channels")
    outputs = weight.shape[0]
    target = draft.tensor(operator.output).shape
    if len(target) != 4 or target[0] != batch or target[3] != outputs:
        raise ArtifactError(f"expected {outputs} channels, the file says {target}")
    window = Window(
        kernel=(weight.shape[1], weight.shape[2]),
        strides=(options.whole(2), options.whole(1)),
        padding=padding_of(options.byte(0)),
    )
    if min(target) < 1 or window.output((target[1], target[2])) != (height, width):
        raise ArtifactError(f"the map {(height, width)} does not become {target[1:3]}")
    draft.budget.spend_work(target[1] * target[2] * weight.size)
    name = _spread(draft, value.name, (channels, height, width), window.strides)
    spread = [height * window.strides[0], width * window.strides[1]]
    pads = window.pads((target[1], target[2]))
    before = [kernel - 1 - pad for kernel, pad in zip(window.kernel, pads[:2], strict=True)]
    padded = [target[1 + i] + window.kernel[i] - 1 for i in range(2)]
    behind = [padded[i] - spread[i] - before[i] for i in range(2)]
    draft.budget.spend_values(channels * prod(padded), 2)
    if min(behind) < 0:
        ends = [spread[i] + min(behind[i], 0) for i in range(2)]
        cut = [draft.constant(numbers, np.int64) for numbers in ([0, 0], ends, [2, 3])]
        name = draft.emit("Slice", [name, *cut])
    flipped = weight[:, ::-1, ::-1].transpose(0, 3, 1, 2)
    bias = bias_of(draft, layer, outputs)
    name = draft.emit(
        "Conv",
        [name, draft.constant(flipped), *([] if bias is None else [draft.constant(bias)])],
        kernel_shape=list(window.kernel),
        strides=[1, 1],
        pads=[*before, *(max(more, 0) for more in behind)],
        dilations=[1, 1],
        group=1,
    )
    finish(draft, operator, name, target, options.byte(3), value, scales, halves_away)


def _spread(draft: Draft, name: str, shape: tuple[int, int, int], strides: tuple[int, int]) -> str:
    """A map (N, C, H, W) with zeros behind each pixel, below and at the right."""
    if strides == (1, 1):
        return name
    channels, height, width = shape
    vertical, horizontal = strides
    draft.budget.spend_values(channels * height * width * vertical * horizontal, 3)
    apart = draft.constant([0, channels, height, 1, width, 1], np.int64)
    widths = draft.constant([0] * 9 + [vertical - 1, 0, horizontal - 1], np.int64)
    whole = draft.constant([0, channels, height * vertical, width * horizontal], np.int64)
    name = draft.emit("Reshape", [name, apart])
    name = draft.emit("Pad", [name, widths, draft.constant(0.0)])
    return draft.emit("Reshape", [name, whole])
