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
from bnnkit.nn.recalibrate import Weights, recalibrate
from bnnkit.nn.several_inputs import Tensors, each
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
    example: Tensors,
    metadata: Metadata,
    *,
    mode: Mode | None,
    weight_draws: int,
    seed: int,
) -> tuple[nn.Module, Metadata]:
    """A copy of a model with batch norms for its deployment, and the metadata that record them.

    Args:
        model: The model, which is not changed.
        inputs: Training inputs (N, ...), in the form of an example of `export_onnx`; at most
            `IMAGES` of them are used.
        example: Inputs of the export, whose shapes and dtypes they must have.
        metadata: Metadata of the export.
        mode: As in `export_onnx`.
        weight_draws: As in `export_onnx`.
        seed: The seed of the noise, the weight draws and the choice of inputs.

    Raises:
        UsageError: The inputs do not fit the example, or there are none.
    """
    given = plain_inputs(inputs, "inputs to calibrate with", model)
    _check(given, example)
    tensors = {name: some_inputs(one, IMAGES, seed) for name, one in each(given).items()}
    size = len(next(iter(tensors.values())))
    chosen: Tensors = tensors[""] if isinstance(given, Tensor) else tensors
    copy = deepcopy(model)
    found_mode: Mode = mode or ("samples" if has_noisy_signs(copy) else "deterministic")
    weights: Weights = "drawn" if weight_draws else "maximum-probability"
    batches = _batches(chosen, size, DRAWN_BATCH if weight_draws else BATCH)
    recalibrate(copy, batches, found_mode, weights=weights, seed=seed)
    statistics = statistics_of(copy)
    if not statistics:
        return copy, metadata
    source = CalibrationSource(data="given inputs", mode=found_mode, seed=seed, images=size)
    record = CalibrationRecord(source=source, statistics=statistics)
    return copy, replace(metadata, calibration=record.to_json())


def some_inputs(inputs: A, most: int, seed: int) -> A:
    """Choose at most `most` inputs at random, because files may be ordered by class."""
    chosen: A = inputs[np.random.default_rng(seed).permutation(len(inputs))[:most]]
    return chosen


def _check(given: Tensors, example: Tensors) -> None:
    """Check that inputs to calibrate with have the form of the example.

    Raises:
        UsageError: They have another form, or there are none.
    """
    tensors, wanted = each(given), each(example)
    if tensors.keys() != wanted.keys():
        raise UsageError(
            f"expected inputs to calibrate with for {', '.join(wanted) or 'one input'}, got"
            f" {', '.join(tensors) or 'one tensor'}"
        )
    for name, one in tensors.items():
        like = wanted[name]
        if one.dtype != like.dtype or one.shape[1:] != like.shape[1:] or len(one) == 0:
            what = f" for {name!r}" if name else ""
            raise UsageError(
                f"expected inputs to calibrate with{what} of {like.dtype} and shape (N,"
                f" {', '.join(map(str, like.shape[1:]))}), got {one.dtype} of shape"
                f" {tuple(one.shape)}"
            )


def _batches(inputs: Tensors, count: int, size: int) -> Iterator[Tensors]:
    """Split into batches of nearly equal size, because statistics are plain means over batches."""
    n_batches = -(-count // size)
    parts = {name: torch.tensor_split(one, n_batches) for name, one in each(inputs).items()}
    for index in range(n_batches):
        batch = {name: split[index] for name, split in parts.items()}
        yield batch[""] if isinstance(inputs, Tensor) else batch
