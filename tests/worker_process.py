"""What worker processes of tests run: a module that a new process finds on its path."""

import numpy as np
from artifacts import Array

from bnnkit.runtime import Model


def run_in_process(model: Model, images: Array) -> Array:
    """Run a model on two threads."""
    return np.asarray(model.run(images, threads=2))


class Examples:
    """A data set whose examples are outputs of a model, for a loader with worker processes."""

    def __init__(self, model: Model, images: Array) -> None:
        self._model, self._images = model, images

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int) -> Array:
        return np.asarray(self._model.run(self._images[index : index + 1])[0])
