"""A loaded network: `load`, `Model.run`, `Model.predict`."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from bnnkit.errors import ArtifactError, BnnkitError, UnsupportedError, UsageError
from bnnkit.runtime import artifact
from bnnkit.runtime.graph import Graph, from_model
from bnnkit.runtime.inputs import check_inputs
from bnnkit.runtime.plan import Bound, Plan
from bnnkit.runtime.probabilities import probabilities
from bnnkit.runtime.threads import check_threads
from bnnkit.runtime.values import Array


def load(path: Path | str) -> "Model":
    """Load a MODEL.onnx and plan how to run it.

    Raises:
        ArtifactError: The file is missing, truncated, no ONNX file, or of a newer format.
        UnsupportedError: It has an operator that the runtime lacks.
    """
    model = artifact.read(path)
    try:
        return Model(model)
    except UnsupportedError as error:
        raise UnsupportedError(f"{path}: {error}") from error
    except BnnkitError as error:
        raise ArtifactError(f"{path}: {error}") from error
    except (ValueError, IndexError, KeyError, TypeError) as error:
        raise ArtifactError(f"{path} is damaged: {error}") from error


class Model:
    """A network ready to run. Several threads may call it at the same time.

    Attributes:
        graph: What was loaded.
        metadata: What bnnkit wrote about it: classes, data set, accuracy, ...
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        self.graph: Graph = from_model(model)
        self.metadata = artifact.metadata(model)
        self._plan = Plan(self.graph)
        self._chunk = self._plan.chunk()
        self._idle: dict[tuple[int, int], list[Bound]] = {}
        self._lock = threading.Lock()

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one input, such as (C, H, W)."""
        return self.graph.input_shape

    @property
    def input_dtype(self) -> np.dtype[Any]:
        """Element type of the input: uint8 for images."""
        return self.graph.input_dtype

    def run(self, images: Array, *, threads: int = 1) -> Array | tuple[Array, ...]:
        """One deterministic pass.

        Args:
            images: (N, *input_shape), of input_dtype; N is free.
            threads: The result is the same bits for every number.

        Returns:
            The file's own output, such as scores (N, K); a tuple where it has several.

        Raises:
            UsageError: Wrong shape or dtype, NaN, or no threads.
        """
        outputs = self._compute(images, threads, self.graph.outputs)
        results = tuple(outputs[name] for name in self.graph.outputs)
        return results[0] if len(results) == 1 else results

    def predict(
        self, images: Array, *, samples: int = 0, seed: int = 0, threads: int = 1
    ) -> Array:
        """Class probabilities.

        Args:
            images: (N, *input_shape), of input_dtype.
            samples: 0 for the deterministic pass; files of this version hold no other.
            seed: Of the noise; without samples it changes nothing.
            threads: The result is the same bits for every number.

        Returns:
            float32, (N, K), rows sum to 1: softmax of the first output, or that output where it is
            probabilities already.

        Raises:
            UsageError: As `run`; or samples are asked of a deterministic file.
        """
        if samples != 0:
            raise UsageError(f"the file is deterministic: expected samples=0, got {samples}")
        first = self.graph.outputs[0]
        return probabilities(self.graph, self._compute(images, threads, (first,))[first])

    def trace(self, images: Array, *, threads: int = 1) -> dict[str, Array]:
        """Signs inside the network, by the name of the value, in ONNX's layout.

        Args:
            images: (N, *input_shape), of input_dtype.
            threads: The result is the same bits for every number.

        Returns:
            uint8, (N, C, H, W) or (N, F), 0 is -1 and 2 is +1. Signs that a kernel consumes at
            once, before a maximum or with a padding, are not there: they never reach memory.
        """
        return self._compute(images, threads, self._plan.signs)

    def _compute(self, images: Array, threads: int, names: tuple[str, ...]) -> dict[str, Array]:
        check_inputs(images, self.input_shape, self.input_dtype)
        check_threads(threads)
        parts = [self._one(chunk, threads, names) for chunk in self._chunks(images)]
        return {name: np.concatenate([part[name] for part in parts]) for name in names}

    def _chunks(self, images: Array) -> Iterator[Array]:
        for start in range(0, len(images), self._chunk):
            yield images[start : start + self._chunk]

    def _one(self, images: Array, threads: int, names: tuple[str, ...]) -> dict[str, Array]:
        bound = self._borrow(len(images), threads)
        try:
            np.copyto(bound.memory.buffers[self.graph.input], images)
            bound.run()
            return {name: self._plan.read(name, bound.memory) for name in names}
        finally:
            self._give_back(bound, threads)

    def _borrow(self, batch: int, threads: int) -> Bound:
        """Buffers that nobody uses now; each concurrent caller has its own."""
        with self._lock:
            idle = self._idle.get((batch, threads))
            if idle:
                return idle.pop()
        return self._plan.bind(batch, threads)

    def _give_back(self, bound: Bound, threads: int) -> None:
        with self._lock:
            key = (bound.memory.batch, threads)
            if key not in self._idle and len(self._idle) >= 4:
                self._idle.pop(next(iter(self._idle)))
            self._idle.setdefault(key, []).append(bound)
