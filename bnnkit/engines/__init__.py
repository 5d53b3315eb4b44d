"""The engines that execute an artifact, by name, behind one interface.

| name               | what computes                                              | samples |
| ------------------ | ---------------------------------------------------------- | ------- |
| `bnnkit`           | the popcount runtime                                       | yes     |
| `onnxruntime`      | stock ONNX Runtime on the file as it is                    | yes     |
| `onnxruntime-fp32` | ONNX Runtime on the network rewritten in float32 operators | no      |
|                    | (rewrites/float32.py)                                      |         |
| `lce`              | Larq Compute Engine: a .tflite file as it is (lce_file.py),| no      |
|                    | an .onnx file converted (lce.py)                           |         |
| `reference`        | plain NumPy, slow; defines the correct result              | yes     |
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import bnnkit
from bnnkit.artifact.artifact import Artifact
from bnnkit.artifact.ensemble_config import EnsembleConfig
from bnnkit.artifact.format.input_batch import Batch
from bnnkit.artifact.format.sample import Sample
from bnnkit.artifact.reference import Reference
from bnnkit.engines.engine import Engine, SamplingEngine
from bnnkit.engines.lce import LarqComputeEngine
from bnnkit.engines.lce_file import LceOnFile
from bnnkit.engines.ort import Float32OnnxRuntime, OnnxRuntime
from bnnkit.errors import (
    ArtifactError,
    BnnkitError,
    MissingExtraError,
    UnsupportedError,
    UsageError,
)
from bnnkit.runtime import Model
from bnnkit.runtime.ensemble import Ensemble
from bnnkit.runtime.open_file import read
from bnnkit.runtime.threads import check_threads

Array = NDArray[Any]


class Runtime(SamplingEngine):
    """bnnkit's own popcount runtime."""

    name = "bnnkit"
    version = bnnkit.__version__

    def __init__(self, artifact: Artifact, threads: int = 1) -> None:
        super().__init__(artifact)
        self._model, self._threads = Model(artifact), threads
        self._signs = set(artifact.signs)

    def run(self, images: Batch, sample: Sample | None = None) -> tuple[Array, ...]:
        """As `SamplingEngine.run`."""
        if sample is None:
            result = self._model.run(images, threads=self._threads)
        else:
            result = self._model.run_sample(images, sample, threads=self._threads)
        return result if isinstance(result, tuple) else (result,)

    def trace(self, images: Batch, sample: Sample | None = None) -> dict[str, Array]:
        """As `SamplingEngine.trace`."""
        traced = self._model.trace(images, threads=self._threads, sample=sample)
        # The deterministic pass has signs before a pool where the file has them after it.
        return {name: signs for name, signs in traced.items() if name in self._signs}

    def ensemble(
        self, images: Batch, config: EnsembleConfig, *, image_offset: int = 0
    ) -> Ensemble:
        """As `Engine.ensemble`; layers that do not depend on the noise are computed once."""
        return self._model.ensemble(
            images, config, threads=self._threads, image_offset=image_offset
        )


class PlainReference(SamplingEngine):
    """The NumPy reference, on one thread."""

    name = "reference"
    version = bnnkit.__version__

    def __init__(self, artifact: Artifact, threads: int = 1) -> None:
        super().__init__(artifact)
        try:
            self._reference = Reference(artifact)
        except NotImplementedError as error:
            reason = str(error).splitlines()[0]
            raise UnsupportedError(f"the reference cannot execute the model: {reason}") from error

    def run(self, images: Batch, sample: Sample | None = None) -> tuple[Array, ...]:
        """As `SamplingEngine.run`."""
        batches = self._sampled_batches(images, sample)
        parts = [self._reference.run(batch, here) for batch, here in batches]
        return tuple(np.concatenate(pieces) for pieces in zip(*parts, strict=True))

    def trace(self, images: Batch, sample: Sample | None = None) -> dict[str, Array]:
        """As `SamplingEngine.trace`."""
        batches = self._sampled_batches(images, sample)
        parts = [self._reference.trace(batch, here) for batch, here in batches]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


ENGINES: dict[str, Callable[[Artifact, int], Engine]] = {
    engine.name: engine
    for engine in (Runtime, OnnxRuntime, Float32OnnxRuntime, LarqComputeEngine, PlainReference)
}


def open_engine(name: str, artifact: Artifact, *, threads: int = 1) -> Engine:
    """Open an engine for the artifact.

    Args:
        name: A key of `ENGINES`.
        artifact: What to execute. If it was read from a .tflite file, LCE runs that file.
        threads: At least 1; the result does not depend on it. The reference always uses one.

    Raises:
        UsageError: If the engine is unknown, or the number of threads is below 1.
        MissingExtraError: If the package of the engine is not installed.
        UnsupportedError: If the engine cannot execute a part of the artifact.
    """
    if name not in ENGINES:
        raise UsageError(f"expected an engine out of {', '.join(ENGINES)}, got {name!r}")
    check_threads(threads)
    if name == LceOnFile.name and artifact.tflite_source is not None:
        return LceOnFile(artifact, threads)
    return ENGINES[name](artifact, threads)


def open_file(name: str, path: Path, *, threads: int = 1) -> Engine:
    """Open an engine for a file; error messages begin with the file's path.

    Raises:
        ArtifactError: If the file is missing, damaged, not ONNX, or of a newer format.
        UsageError, MissingExtraError, UnsupportedError: As `open_engine`.
    """
    return open_read(name, path, read(path), threads=threads)


def open_read(name: str, path: Path, artifact: Artifact, *, threads: int = 1) -> Engine:
    """Open an engine for a file that has been read already.

    Args:
        name: As in `open_engine`.
        path: The path of the file, for error messages.
        artifact: The content of the file.
        threads: As in `open_engine`.
    """
    try:
        return open_engine(name, artifact, threads=threads)
    except (UsageError, MissingExtraError):
        raise
    except BnnkitError as error:
        raise type(error)(f"{path}: {error}") from error
    except (ValueError, IndexError, KeyError, TypeError) as error:
        raise ArtifactError(f"{path} is damaged: {error}") from error
