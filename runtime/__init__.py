"""Run a binarized network by popcount: `load(path)`, then `run`, `predict` and `classify`.

`open_artifact(path)` returns the file itself as an `Artifact`, such as `bnnkit.export.to_tflite`
takes.
"""

import warnings
from collections.abc import Callable

if __name__ != "bnnkit.runtime":
    raise ImportError("import this package as bnnkit.runtime, not as runtime")

from bnnkit.artifact.ensemble_config import EnsembleConfig
from bnnkit.images.preprocessing import Preprocessing
from bnnkit.runtime.classification import Classification, ClassProbability
from bnnkit.runtime.ensemble import Ensemble
from bnnkit.runtime.model import Model, load
from bnnkit.runtime.open_file import read as open_artifact
from bnnkit.runtime.renamed_keywords import renamed_keywords

__all__ = [
    "ClassProbability",
    "Classification",
    "Ensemble",
    "EnsembleConfig",
    "Model",
    "Preprocessing",
    "load",
    "open_artifact",
]


def __getattr__(name: str) -> Callable[..., EnsembleConfig]:
    """The former name of EnsembleConfig with its former keywords, kept for one release."""
    if name != "Averaging":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    warnings.warn(
        "Averaging is now EnsembleConfig: from bnnkit.runtime import EnsembleConfig",
        DeprecationWarning,
        stacklevel=2,
    )
    return renamed_keywords(most="max_samples", error="error_rate")(EnsembleConfig)
