"""What worker processes of tests run: a module that a new process finds on its path."""

import numpy as np
from artifacts import Array

from bnnkit.runtime import Model


def run_in_process(model: Model, images: Array) -> Array:
    """Run a model on two threads."""
    return np.asarray(model.run(images, threads=2))
