"""The catalogue of the trained networks in this folder, which `zoo.json` lists."""

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from bnnkit.errors import ArtifactError

SCHEME = "zoo:"
"""zoo:NAME stands for a model of the zoo wherever the path of a model file may stand."""
FOLDER = Path(__file__).parent


@dataclass(frozen=True, kw_only=True)
class ZooModel:
    """A trained network that comes with the package.

    `benchmarks/zoo.py` measures the accuracies and writes the catalogue.

    Attributes:
        name: The name, as in zoo:NAME.
        title: The network in a few words.
        data: The data set that it classifies, as in `--data`.
        accuracy: The share of the test images that are right in one pass without noise.
        accuracy_samples: The same for ten samples of the noise, seed 0; None without noise.
        ece: The expected calibration error of one pass, a fraction, on the second half of the
            test images; temperatures were fitted on the first half.
        ece_samples: The same for the ten samples; None without noise.
        sha256: The hash of the file, hexadecimal.
        size: The size of the file, in bytes.
        recipe: The configuration in examples/configs that it was trained with.
        epochs: The number of epochs.
        seed: The seed of the run.
        licence: The licence of the file, an SPDX expression.
    """

    name: str
    title: str
    data: str
    accuracy: float
    accuracy_samples: float | None
    ece: float
    ece_samples: float | None
    sha256: str
    size: int
    recipe: str
    epochs: int
    seed: int
    licence: str

    @property
    def path(self) -> Path:
        """The model file."""
        return FOLDER / f"{self.name}.onnx"


@lru_cache(maxsize=1)
def zoo() -> tuple[ZooModel, ...]:
    """Return the models of the zoo, ordered by name."""
    return tuple(ZooModel(**entry) for entry in json.loads((FOLDER / "zoo.json").read_text()))


def located(path: Path | str) -> Path:
    """Return the path of a model file; zoo:NAME stands for the file of that model.

    Raises:
        ArtifactError: No model of the zoo has this name.
    """
    text = str(path)
    if not text.startswith(SCHEME):
        return Path(path)
    found = {model.name: model for model in zoo()}
    name = text.removeprefix(SCHEME)
    if name not in found:
        raise ArtifactError(f"expected a model of the zoo out of {', '.join(found)}, got {name!r}")
    return found[name].path
