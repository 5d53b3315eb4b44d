"""Uniform numbers with which a .tflite file draws the same random bits as the artifact."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnnkit.artifact.format.sample import TABLE_SIZE, Sample
from bnnkit.artifact.operators.noise import quantile_indices
from bnnkit.export.tflite import UniformInput


def uniforms(inputs: Iterable[UniformInput], batch: int, sample: Sample) -> list[NDArray[Any]]:
    """Inputs of a file with `GivenUniforms`, in addition to the images.

    Args:
        inputs: `TfliteReport.uniform_inputs` of the file; `bnnkit export --json` prints them too,
            and `UniformInput(**entry)` reads an entry.
        batch: Images in a run, N.
        sample: Seed, number of the first image and number of the sample (docs/artifact.md,
            Sampling).

    Returns:
        An array for each input, float32 (N, H, W, C): (i + 1/2) / 4096 for the index i of the
        quantile, which is exact in float32.
    """
    return [_uniforms(entry, batch, sample) for entry in inputs]


def _uniforms(entry: UniformInput, batch: int, sample: Sample) -> NDArray[Any]:
    index = quantile_indices((batch, *entry.shape), entry.layer, sample)
    maps = index.reshape(batch, *entry.map).transpose(0, 2, 3, 1)
    return np.ascontiguousarray(((maps + 0.5) / TABLE_SIZE).astype(np.float32))
