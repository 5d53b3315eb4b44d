"""Checks that every engine computes what was trained: the same bits at every sign, the same class.

All engines are compared with the reference executor. Signs and classes must be equal; real outputs
may differ by `OUTPUT_TOLERANCE`. A stochastic network is compared in the deterministic pass and in
samples of several seeds.

One kind of difference is excused, and counted: engines may sum real numbers in different orders.
So the sign of a real number within `MARGIN` of zero, or of its noise, may differ
(artifact/rounding.py lists these signs), together with everything that follows from it in the same
image. A network whose sums are all integers has no such sign.

An engine that lacks a sign that it must have (coverage.py) counts as different, because nothing
was compared there.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from bnnkit.artifact.artifact import Artifact
from bnnkit.artifact.calibration_record import (
    CalibrationRecord,
    CalibrationSource,
    read_calibration,
)
from bnnkit.artifact.format.input_batch import Batch, InputBatch
from bnnkit.artifact.format.sample import Sample
from bnnkit.engines import open_engine
from bnnkit.errors import CheckpointError
from bnnkit.runtime.inputs import GivenInputs
from bnnkit.tflite.channels_last import as_network_takes
from bnnkit.verification.candidates import Candidates
from bnnkit.verification.comparison import Comparison
from bnnkit.verification.reference_run import ReferenceRun

if TYPE_CHECKING:
    from torch import nn

Array = NDArray[Any]

BATCH = 50
SAMPLES = 2
"""The number of samples of each seed."""
SEEDS = (0, 2**32 + 1)
"""The second seed has bits in both words of the generator's key."""


@dataclass(frozen=True, kw_only=True)
class Verification:
    """The result of comparing all engines with the reference.

    Attributes:
        n_images: The number of images.
        calibration: The data on which the artifact's batch norms were re-estimated after training;
            torch uses the same statistics. None if they were not re-estimated, or torch was not
            compared.
        samples: The sampled passes beside the deterministic one, for the first image.
        comparisons: One comparison for each engine.
        left_out: Why other engines could not be compared, by name.
    """

    n_images: int
    calibration: CalibrationSource | None
    samples: tuple[Sample, ...]
    comparisons: tuple[Comparison, ...]
    left_out: dict[str, str]

    @property
    def is_equal(self) -> bool:
        """Whether no engine differs."""
        return all(comparison.is_equal for comparison in self.comparisons)


def verify(
    artifact: Artifact,
    images: GivenInputs,
    *,
    network: "nn.Module | None" = None,
    samples: int = SAMPLES,
    with_lce: bool = False,
    advance: Callable[[int], object] = lambda n_images: None,
) -> Verification:
    """Run images through all engines and compare the results.

    Args:
        artifact: The artifact. If it was read from a .tflite file, Larq Compute Engine (if
            installed) runs that file, and torch gets the images as (N, C, H, W).
        images: (N, *input_shape), of the input's dtype; for a network with several inputs a tuple
            in their order, or a dict by name.
        network: The torch network that the artifact was exported from, in evaluation mode on the
            CPU. A copy of it gets the noise scale, temperature and batch norm statistics of
            the artifact.
        samples: For a stochastic network: the number of samples of each of the `SEEDS`.
        with_lce: Compare Larq Compute Engine too, in the deterministic pass.
        advance: Called with the number of images done since the last call.

    Raises:
        UsageError: If the images have another shape or dtype, or contain a NaN.
        UnsupportedError: If the runtime, or LCE, cannot execute the model.
        MissingExtraError: If LCE is requested and not installed.
        ArtifactError: If the calibration in the model's metadata is damaged.
    """
    images = open_engine("bnnkit", artifact).accepted(images)
    drawn = _samples(samples) if artifact.is_stochastic else ()
    calibration = None if network is None else read_calibration(artifact)
    if network is not None:
        network = _deployed(network, artifact, images[:1])
    if network is not None and calibration is not None:
        network = _calibrated(network, calibration)
    reference = ReferenceRun(artifact)
    candidates = Candidates(artifact, images[:1])
    candidates.add_torch(network)
    candidates.add_engines()
    if with_lce:
        candidates.add_lce()
    elif artifact.tflite_source is not None:
        candidates.try_lce()
    size = artifact.fixed_batch or BATCH
    for start in range(0, len(images), size):
        batch = images[start : start + size]
        for sample in (None, *(replace(one, image_offset=start) for one in drawn)):
            expected = reference(batch, sample)
            for tally, run in candidates.runnable:
                found = run(batch, sample)
                if found is not None:
                    tally.add(expected, found, first=start, sample=sample)
        advance(len(batch))
    return Verification(
        n_images=len(images),
        calibration=None if calibration is None else calibration.source,
        samples=drawn,
        comparisons=tuple(tally.comparison() for tally, _ in candidates.runnable),
        left_out=candidates.left_out,
    )


def check_pair(checkpoint: Path, artifact: Artifact, *, name: str = "the model") -> None:
    """Check that the artifact's metadata names the checkpoint that it was exported from.

    Args:
        checkpoint: A run's folder, or the checkpoint in it.
        artifact: The artifact.
        name: The name of the artifact's file, for error messages.

    Raises:
        CheckpointError: If the artifact names another checkpoint or none, or there is no
            checkpoint.
    """
    from bnnkit.training import checkpoint_sha256

    expected = artifact.metadata.get("checkpoint")
    found = checkpoint_sha256(checkpoint)
    if expected is None:
        raise CheckpointError(
            f"{name} does not say which checkpoint it was made from: verify it without one"
        )
    if expected != found:
        raise CheckpointError(
            f"{checkpoint} is not the checkpoint that the model was exported from: expected sha256"
            f" {expected[:12]}..., got {found[:12]}...; export it again"
        )


def _samples(count: int) -> tuple[Sample, ...]:
    """Return `count` samples of each seed; those of the second seed are antithetic pairs."""
    return tuple(
        Sample(seed=seed, index=index, antithetic=seed == SEEDS[1])
        for seed in SEEDS
        for index in range(count)
    )


def _deployed(network: "nn.Module", artifact: Artifact, example: Batch) -> "nn.Module":
    """Return the network with the noise scale and the temperature of the artifact."""
    from bnnkit.deployment.noise_scale import with_noise_of
    from bnnkit.deployment.temperature import with_temperature_of

    network = with_noise_of(network, artifact)
    if isinstance(example, InputBatch):
        return network  # `bnnkit export`, which sets temperatures, makes files with one input
    image = example if artifact.tflite_source is None else as_network_takes(example)
    return with_temperature_of(network, artifact, image)


def _calibrated(network: "nn.Module", calibration: CalibrationRecord) -> "nn.Module":
    from bnnkit.nn.norm_statistics import with_statistics

    return with_statistics(network, calibration.statistics)
