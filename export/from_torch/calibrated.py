"""Re-estimates batch norms for the network as deployed, before it is exported."""

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace
from typing import Final, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bnnkit.artifact.calibration_record import CalibrationRecord, CalibrationSource
from bnnkit.artifact.format.constants import Mode
from bnnkit.errors import UsageError
from bnnkit.export.assembly.metadata import Metadata
from bnnkit.export.from_torch.plain_arguments import plain_inputs
from bnnkit.nn.norm_statistics import statistics_of
from bnnkit.nn.recalibrate import recalibrate
from bnnkit.nn.sign import has_noisy_signs

IMAGES: Final = 2_500
"""The largest number of training images used; more do not help. Calibrated on 500 to 10,000
images, ten samples of the MNIST convnet had 99.0 % and 0.031 to 0.032 nats (98.7 % and 0.043
before). On 1,000 to 5,000 images, those of the CIFAR-10 network had 89.5 to 89.7 % and 0.355 to
0.360 nats (89.7 % and 0.361 before)."""
BATCH: Final = 500
DRAWN_BATCH: Final = 100
"""The number of images for each draw of the weights."""

A = TypeVar("A", Tensor, NDArray[np.generic])


def calibrated(
    model: nn.Module,
    inputs: object,
    example: Tensor,
    metadata: Metadata,
    *,
    mode: Mode | None,
    weight_draws: int,
    seed: int,
) -> tuple[nn.Module, Metadata]:
    """A copy of a model with batch norms for its deployment, and the metadata that record them.

    Args:
        model: The model, which is not changed.
        inputs: Training inputs (N, ...), a tensor or an array; at most `IMAGES` of them are used.
        example: An input of the export, whose shape and dtype they must have.
        metadata: Metadata of the export.
        mode: As in `export_onnx`.
        weight_draws: As in `export_onnx`.
        seed: The seed of the noise, the weight draws and the choice of inputs.

    Raises:
        UsageError: The inputs do not fit the example, or there are none.
    """
    given = plain_inputs(inputs, "inputs to calibrate with")
    if given.dtype != example.dtype or given.shape[1:] != example.shape[1:] or len(given) == 0:
        raise UsageError(
            f"expected inputs to calibrate with of {example.dtype} and shape (N,"
            f" {', '.join(map(str, example.shape[1:]))}), got {given.dtype} of shape"
            f" {tuple(given.shape)}"
        )
    chosen = some_inputs(given, IMAGES, seed)
    copy = deepcopy(model)
    found_mode: Mode = mode or ("samples" if has_noisy_signs(copy) else "deterministic")
    weights, size = ("drawn", DRAWN_BATCH) if weight_draws else ("maximum-probability", BATCH)
    recalibrate(copy, _batches(chosen, size), found_mode, weights=weights, seed=seed)  # type: ignore[arg-type]
    statistics = statistics_of(copy)
    if not statistics:
        return copy, metadata
    source = CalibrationSource(data="given inputs", mode=found_mode, seed=seed, images=len(chosen))
    record = CalibrationRecord(source=source, statistics=statistics)
    return copy, replace(metadata, calibration=record.to_json())


def some_inputs(inputs: A, most: int, seed: int) -> A:
    """Choose at most `most` inputs at random, because files may be ordered by class."""
    chosen: A = inputs[np.random.default_rng(seed).permutation(len(inputs))[:most]]
    return chosen


def _batches(inputs: Tensor, size: int) -> Iterator[Tensor]:
    """Split into batches of nearly equal size, because statistics are plain means over batches."""
    yield from torch.tensor_split(inputs, -(-len(inputs) // size))
