"""Runs an engine on inputs, batch by batch, and joins what it gives."""

from collections.abc import Sequence

import numpy as np

from bnnkit.artifact.ensemble_config import EnsembleConfig
from bnnkit.artifact.output_kinds import OF_CLASSES, OF_LABELS
from bnnkit.cli.array_files import Array
from bnnkit.cli.console import progress
from bnnkit.engines.engine import Engine
from bnnkit.errors import UnsupportedError
from bnnkit.runtime.ensemble import Ensemble
from bnnkit.runtime.image_inputs import IMAGES_AT_ONCE, ArrayInputs, ImageInputs
from bnnkit.runtime.output_mean import OutputMean

Inputs = ArrayInputs | ImageInputs


def outputs_of(engine: Engine, images: Inputs) -> dict[str, Array]:
    """Compute the outputs of the file, by name."""
    parts = []
    with progress("running", len(images)) as advance:
        for start in range(0, len(images), IMAGES_AT_ONCE):
            batch = images[start : start + IMAGES_AT_ONCE]
            parts.append(engine.run(batch))
            _check_rows(engine.outputs, parts[-1], len(batch))
            advance(len(batch))
    pieces = zip(*parts, strict=True)
    return {name: np.concatenate(p) for name, p in zip(engine.outputs, pieces, strict=True)}


def _check_rows(names: Sequence[str], outputs: Sequence[Array], images: int) -> None:
    """Check that every output has a row for each image, so that batches can be concatenated.

    Raises:
        UnsupportedError: If an output has another number of rows.
    """
    for name, output in zip(names, outputs, strict=True):
        if output.shape[:1] != (images,):
            raise UnsupportedError(
                f"expected an output with a row for each of {images} images, {name!r} has the"
                f" shape {output.shape}: it mixes the images, or does not depend on them"
            )


def ensemble_of(engine: Engine, images: Inputs, config: EnsembleConfig) -> Ensemble:
    """Average the outputs over samples; 0 samples are the deterministic pass."""
    parts = []
    with progress("running", len(images)) as advance:
        for start in range(0, len(images), IMAGES_AT_ONCE):
            batch = images[start : start + IMAGES_AT_ONCE]
            parts.append(engine.ensemble(batch, config, image_offset=start))
            advance(len(batch))
    return Ensemble.joined(parts)


def arrays_of(engine: Engine, found: Ensemble) -> dict[str, Array]:
    """Return the means of an ensemble and their uncertainty, by name."""
    arrays = [_named(output) for output in found.outputs]
    if len(arrays) > 1:
        named = zip(engine.outputs, arrays, strict=True)
        arrays = [{f"{name}.{key}": a for key, a in part.items()} for name, part in named]
    return {name: a for part in arrays for name, a in part.items()} | {"samples": found.samples}


def _named(output: OutputMean) -> dict[str, Array]:
    """The arrays of one output; the mean is called probabilities if it holds such."""
    holds_probabilities = output.kind in (*OF_CLASSES, *OF_LABELS)
    names = {"mean": "probabilities"} if holds_probabilities else {}
    return {names.get(name, name): array for name, array in output.arrays.items()}
