"""The record of a calibration in an artifact's metadata (docs/artifact.md, Metadata).

A checkpoint keeps the batch norms of training. With the record, a network from the checkpoint can
get the calibrated batch norms of the artifact. Reading the record needs no torch.
"""

import base64
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnnkit.artifact.artifact import Artifact
from bnnkit.artifact.format.constants import MODES
from bnnkit.artifact.format.sample import check_seed
from bnnkit.errors import ArtifactError

KEY = "calibration"
"""The key in the metadata, without the prefix."""
_STATISTICS = "statistics"


@dataclass(frozen=True, kw_only=True)
class CalibrationSource:
    """The data on which the statistics of the batch norms were estimated.

    Attributes:
        data: The name of the data set.
        mode: "samples": with the noise of the signs; "deterministic": without.
        seed: The seed of the noise and of the choice of images.
        images: The number of training images.
    """

    data: str
    mode: str
    seed: int
    images: int

    def __str__(self) -> str:
        return f"calibrated on {self.data}, mode {self.mode}"


@dataclass(frozen=True, eq=False)
class NormStatistics:
    """The mean and variance of a batch norm, float32 (C,)."""

    mean: NDArray[np.float32]
    variance: NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class CalibrationRecord:
    """The calibration of an artifact.

    Attributes:
        source: The data of the calibration.
        statistics: The statistics by the path of the batch norm in the network.
    """

    source: CalibrationSource
    statistics: Mapping[str, NormStatistics]

    def to_json(self) -> str:
        """Return the entry of the metadata."""
        packed = {path: _packed(norm) for path, norm in self.statistics.items()}
        return json.dumps({**asdict(self.source), _STATISTICS: packed}, ensure_ascii=False)


def read_calibration(artifact: Artifact) -> CalibrationRecord | None:
    """Read the record of an artifact; None if it was not calibrated.

    Raises:
        ArtifactError: If the record is damaged.
    """
    text = artifact.metadata.get(KEY)
    if text is None:
        return None
    try:
        return _parsed(json.loads(text))
    except (ValueError, RecursionError) as error:
        raise ArtifactError(
            f"the calibration in the model's metadata is damaged: {error}; export it again"
        ) from error


def _parsed(content: Any) -> CalibrationRecord:
    """Parse the record in a JSON value.

    Raises:
        ValueError: If a part is missing or invalid.
    """
    names = (*CalibrationSource.__dataclass_fields__, _STATISTICS)
    if not isinstance(content, dict) or set(content) != set(names):
        raise ValueError(f"expected an object of {', '.join(names)}")
    statistics = content.pop(_STATISTICS)
    source = CalibrationSource(**content)
    if not isinstance(source.data, str) or source.mode not in MODES:
        raise ValueError(f"expected data and a mode out of {', '.join(MODES)}")
    check_seed(source.seed)
    if type(source.images) is not int or source.images < 1:
        raise ValueError(f"expected a number of images, got {source.images!r}")
    if not isinstance(statistics, dict):
        raise ValueError("expected statistics by the path of the batch norm")
    norms = {path: _unpacked(path, text) for path, text in statistics.items()}
    return CalibrationRecord(source=source, statistics=norms)


def _packed(norm: NormStatistics) -> str:
    content = np.concatenate([norm.mean, norm.variance]).astype("<f4").tobytes()
    return base64.b64encode(content).decode()


def _unpacked(path: str, text: object) -> NormStatistics:
    if not isinstance(text, str):
        raise ValueError(f"expected base64 for {path!r}, got {text!r}")
    try:
        content = base64.b64decode(text, validate=True)
    except ValueError as error:
        raise ValueError(f"expected base64 for {path!r}: {error}") from error
    if len(content) == 0 or len(content) % 8:
        raise ValueError(
            f"expected float32 means and as many variances for {path!r}, got {len(content)} bytes"
        )
    mean, variance = np.frombuffer(content, "<f4").astype(np.float32).reshape(2, -1)
    if not (np.isfinite(mean).all() and np.isfinite(variance).all() and (variance >= 0).all()):
        raise ValueError(f"expected finite means and variances from 0 for {path!r}")
    return NormStatistics(mean, variance)
