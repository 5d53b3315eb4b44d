"""The runtime's results against those of the slow reference."""

import numpy as np
from artifacts import Array

from bnnkit.artifact.artifact import Artifact
from bnnkit.artifact.reference import Reference
from bnnkit.runtime import Model
from bnnkit.runtime.plan import Plan


def kinds(model: Artifact) -> list[str]:
    """Return the class of each step of the runtime."""
    return [type(step).__name__ for step in Plan(model.graph).steps]


def assert_equal(model: Artifact, x: Array) -> None:
    runtime, want = Model(model), Reference(model).run(x)
    for threads in (1, 3):
        got = runtime.run(x, threads=threads)
        for w, g in zip(want, got if isinstance(got, tuple) else (got,), strict=True):
            np.testing.assert_array_equal(g, w)
