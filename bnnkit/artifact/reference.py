"""The slow, plain executor that says what is right.

Standard operators are ONNX's own reference implementation (but for reference_pooling.py); those of
the domain bnnkit are written here as docs/artifact.md defines them, with integers held in float64,
which is exact. Everything else is compared with this.
"""

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun

from bnnkit.artifact.bits import unpack_weight
from bnnkit.artifact.check import is_stochastic
from bnnkit.artifact.format import DOMAIN, MOVES_SIGNS
from bnnkit.artifact.operators.reference_pooling import MaxPool
from bnnkit.artifact.operators.reference_sampling import NOISE_OPERATORS
from bnnkit.artifact.sample import Sample
from bnnkit.errors import UsageError

Array = NDArray[Any]


def _signs(condition: Array) -> Array:
    """uint8: 2 (+1) where true, 0 (-1) elsewhere."""
    return np.where(condition, 2, 0).astype(np.uint8)


def convolve(
    x: Array, w: Array, strides: list[int], pads: list[int], dilations: list[int], group: int
) -> Array:
    """A convolution, by its definition, as one matrix product for each tap.

    Args:
        x: float64, (N, I, H, W).
        w: float64, (O, I / group, KH, KW).
        strides: Vertical and horizontal.
        pads: Top, left, bottom, right; of zeros.
        dilations: Vertical and horizontal.
        group: Groups of channels.

    Returns:
        float64, (N, O, OH, OW).
    """
    top, left, bottom, right = pads
    x = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)))
    height, width = (
        (x.shape[2 + i] - dilations[i] * (w.shape[2 + i] - 1) - 1) // strides[i] + 1
        for i in range(2)
    )
    inputs = x.reshape(len(x), group, -1, *x.shape[2:])
    filters = w.reshape(group, -1, *w.shape[1:])
    sums = np.zeros((len(x), group, filters.shape[1], height * width))
    for ky in range(w.shape[2]):
        for kx in range(w.shape[3]):
            rows = inputs[
                :, :, :, ky * dilations[0] :: strides[0], kx * dilations[1] :: strides[1]
            ]
            taps = rows[:, :, :, :height, :width].reshape(*inputs.shape[:3], -1)
            sums += filters[..., ky, kx] @ taps  # (G, O/G, I/G) @ (N, G, I/G, OH * OW)
    return sums.reshape(len(x), -1, height, width)


class _Operator(OpRun):
    op_domain = DOMAIN


class Sign(_Operator):
    """+1 where x >= 0."""

    def _run(self, x: Array) -> tuple[Array]:
        return (_signs(~(x < 0)),)


class Threshold(_Operator):
    """+1 where sum >= threshold."""

    def _run(self, total: Array, threshold: Array) -> tuple[Array]:
        return (_signs(total >= threshold),)


def _binary_sums(x: Array, w: Array, weight_shape: list[int], **window: Any) -> Array:
    signs = unpack_weight(w, tuple(weight_shape)).transpose(0, 3, 1, 2)
    return convolve(x - 1.0, signs.astype(float), **window).astype(np.int32)


class BinaryConv2d(_Operator):
    """Exact sums of a convolution of signs."""

    def _run(self, x: Array, w: Array, **attributes: Any) -> tuple[Array]:
        return (_binary_sums(x, w, **attributes),)


class BinaryConv2dThreshold(_Operator):
    """The signs of such sums less a threshold."""

    def _run(self, x: Array, w: Array, threshold: Array, **attributes: Any) -> tuple[Array]:
        return (_signs(_binary_sums(x, w, **attributes) >= threshold[:, None, None]),)


class BinaryLinear(_Operator):
    """Exact dot products of signs."""

    def _run(self, x: Array, w: Array, weight_shape: list[int]) -> tuple[Array]:
        signs = unpack_weight(w, tuple(weight_shape)).astype(float)
        return (((x - 1.0) @ signs.T).astype(np.int32),)


class IntegerConv2d(_Operator):
    """Exact sums of pixels less their zero point."""

    def _run(self, x: Array, w: Array, zero_point: Array, **window: Any) -> tuple[Array]:
        pixels = x.astype(float) - zero_point
        return (convolve(pixels, w.astype(float), **window).astype(np.int32),)


class IntegerLinear(_Operator):
    """Exact dot products of numbers less their zero point."""

    def _run(self, x: Array, w: Array, zero_point: Array) -> tuple[Array]:
        return (((x.astype(float) - zero_point) @ w.T.astype(float)).astype(np.int32),)


class BinaryWeight(_Operator):
    """Packed weights as real numbers."""

    def _run(self, w: Array, weight_shape: list[int]) -> tuple[Array]:
        signs = unpack_weight(w, tuple(weight_shape)).astype(np.float32)
        return (signs.transpose(0, 3, 1, 2) if signs.ndim == 4 else signs,)


OPERATORS = (
    Sign,
    Threshold,
    BinaryConv2d,
    BinaryConv2dThreshold,
    BinaryLinear,
    IntegerConv2d,
    IntegerLinear,
    BinaryWeight,
    MaxPool,
    *NOISE_OPERATORS,
)


class Reference:
    """Executes a model, one operator after the other.

    Args:
        model: An artifact, or any ONNX model.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        self._input = model.graph.input[0].name
        self._signs = signs_of(model)
        self._is_stochastic = is_stochastic(model)
        self._evaluator = ReferenceEvaluator(_without_bodies(model), new_ops=list(OPERATORS))

    def run(self, images: Array, sample: Sample | None = None) -> list[Array]:
        """The model's outputs for images (N, ...).

        Args:
            images: (N, ...).
            sample: Which noise; None for none.

        Raises:
            UsageError: A sample is asked of a deterministic file.
        """
        return list(self._evaluator.run(None, self._feeds(images, sample)))

    def trace(self, images: Array, sample: Sample | None = None) -> dict[str, Array]:
        """Every value that is signs, by name: uint8, 0 is -1 and 2 is +1; the rest as in `run`."""
        values: Any = self._evaluator.run(None, self._feeds(images, sample), intermediate=True)
        return {name: values[name] for name in self._signs}

    def _feeds(self, images: Array, sample: Sample | None) -> dict[str, Any]:
        if sample is not None and not self._is_stochastic:
            raise UsageError("the file is deterministic: run it without a sample")
        return {self._input: images, **sampling_feeds(sample)}


def sampling_feeds(sample: Sample | None) -> dict[str, Array]:
    """The inputs of a stochastic file that choose a sample, by name; none choose no noise."""
    if sample is None:
        return {}
    return {
        "sample": np.array(sample.index, np.int64),
        "seed": np.array(sample.seed, np.uint64),
        "image_offset": np.array(sample.image_offset, np.int64),
        "antithetic": np.array(sample.antithetic),
    }


def _without_bodies(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model without the functions of bnnkit, whose operators are all here."""
    others = [function for function in model.functions if function.domain != DOMAIN]
    if len(others) == len(model.functions):
        return model
    bare = onnx.ModelProto()
    bare.CopyFrom(model)
    del bare.functions[:]
    bare.functions.extend(others)
    return bare


def signs_of(model: onnx.ModelProto) -> list[str]:
    """Names of the values that are signs, in the order of the graph.

    A standard operator that moves signs about, such as MaxPool, gives signs again.
    """
    makes = {"Sign", "Threshold", "BinaryConv2dThreshold", "StochasticSign"}
    signs: list[str] = []
    for node in model.graph.node:
        made = node.domain == DOMAIN and node.op_type in makes
        if made or (node.op_type in MOVES_SIGNS and node.input[0] in signs):
            signs.append(node.output[0])
    return signs
