"""Export of a checkpoint to an artifact whose metadata name the checkpoint and data set."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import torch
from numpy.typing import NDArray

from bnnkit.artifact.artifact import Artifact
from bnnkit.artifact.calibration_record import CalibrationRecord, CalibrationSource
from bnnkit.artifact.format.constants import Mode
from bnnkit.artifact.report import Report
from bnnkit.data import AnyDataset, StreamedDataset
from bnnkit.data.examples import ArrayExamples
from bnnkit.data.streamed import AnyExamples
from bnnkit.deployment.calibrate import TEST_IMAGES, Advance, Calibration, calibrate
from bnnkit.deployment.choose_noise_scale import SCALES, By, NoiseScaleChoice, choose_noise_scale
from bnnkit.deployment.samples import SAMPLES
from bnnkit.deployment.temperature import (
    check_scores,
    divide_logits,
    fit_temperature,
    held_out_logits,
    last_linear,
)
from bnnkit.errors import UsageError
from bnnkit.export.assembly.metadata import Metadata
from bnnkit.export.from_torch.export_onnx import export_onnx, from_torch
from bnnkit.images.preprocessing import (
    KEY,
    Preprocessing,
    preprocessing_from,
    stored_preprocessing,
)
from bnnkit.nn.norm_statistics import statistics_of
from bnnkit.nn.sign import has_noisy_signs, set_noise_scale
from bnnkit.training import CheckpointMetadata, checkpoint_sha256, load_checkpoint
from bnnkit.training.checkpoint import Checkpoint
from bnnkit.training.task import Task
from bnnkit.training.validation import has_validation, hold_out

MOST_HELD_BYTES: Final = 1 << 30
"""The largest size in memory of streamed examples to choose by; at most `TEST_IMAGES` of them."""
_SHARE_OF_OTHERS: Final = 0.1
"""The share of a data set that is held out if the network was trained on another one."""


class CheckpointExport:
    """Exports a checkpoint, after an optional calibration.

    Args:
        checkpoint: A run's folder, or the checkpoint in it.
        mode: As in `export_onnx`.
        weight_draws: As in `export_onnx`.
        seed: The seed of the weight draws and of a calibration.
        noise_scale: The factor of the signs' noise in samples; None keeps the noise of training.
        temperature: The T by which the logits are divided; None leaves them as they are.

    Raises:
        CheckpointError: If the checkpoint is missing, damaged, or of another model.
        UsageError: If the scale is negative or not finite, or no sign has a noise; or as
            `divide_logits`.
    """

    def __init__(
        self,
        checkpoint: Path,
        *,
        mode: Mode | None = None,
        weight_draws: int = 0,
        seed: int = 0,
        noise_scale: float | None = None,
        temperature: float | None = None,
    ) -> None:
        opened = load_checkpoint(checkpoint)
        self._network, config, self._checkpoint_metadata = opened
        self._augment, self._validation = config.augment, config.validation
        self._task = opened.task
        if noise_scale is not None:
            set_noise_scale(self._network, noise_scale)
        self._metadata = _metadata(checkpoint, opened)
        self._mode, self._weight_draws, self._seed = mode, weight_draws, seed
        if temperature is not None:
            if self._task.outputs == "values":
                raise UsageError("a temperature divides logits; this network gives real values")
            self._divide(temperature)

    def choose_noise_scale(
        self,
        data: AnyDataset,
        scales: Sequence[float] = SCALES,
        *,
        by: By = "accuracy",
        samples: int = SAMPLES,
        advance: Advance = lambda n_scales: None,
    ) -> NoiseScaleChoice:
        """Give the file the noise scale that is best on held-out images, and record the choice.

        Call `calibrate` afterwards, which re-estimates the batch norms for this scale.

        Args:
            data: The data set of the run, of whose training part it held examples out; or another
                one, of which a tenth is held out here.
            scales: As in `bnnkit.deployment.choose_noise_scale.choose_noise_scale`.
            by: As there.
            samples: As there.
            advance: Called with 1 after each scale.

        Raises:
            UsageError: The network does not accept the data, has no noise, does not decide between
                classes, or was trained on all of the data; or as `choose_noise_scale`.
        """
        trained, held_out = self._split(data)
        choice = choose_noise_scale(
            self._network, data, trained, held_out,
            scales=scales, by=by, samples=samples, augment=self._augment,
            weight_draws=self._weight_draws, seed=self._seed, advance=advance,
        )  # fmt: skip
        set_noise_scale(self._network, choice.scale)
        self._metadata = replace(self._metadata, noise_choice=choice.to_json())
        return choice

    def calibrate(
        self, data: AnyDataset, *, advance: Advance = lambda n_images: None
    ) -> Calibration:
        """Re-estimate the batch norms for the mode of deployment, and record it in the metadata.

        Args:
            data: As in `bnnkit.deployment.calibrate.calibrate`.
            advance: Called with the number of images done since the last call.

        Raises:
            UsageError: If the network does not accept the inputs or the targets of the data.
        """
        self._check_data(data)
        about = self._checkpoint_metadata
        mode = self._mode or ("samples" if has_noisy_signs(self._network) else "deterministic")
        calibration = calibrate(
            self._network,
            data,
            mode,
            task=self._task,
            augment=self._augment,
            weight_draws=self._weight_draws,
            seed=self._seed,
            advance=advance,
        )
        is_whole = calibration.test_images == len(data.test)
        is_known = data.name == about.dataset and is_whole
        is_accuracy = calibration.metric == "accuracy"
        accuracy = calibration.after.deterministic if is_known and is_accuracy else None
        record = CalibrationRecord(
            source=CalibrationSource(
                data=data.name, mode=mode, seed=self._seed, images=calibration.images
            ),
            statistics=statistics_of(self._network),
        )
        self._metadata = replace(self._metadata, accuracy=accuracy, calibration=record.to_json())
        return calibration

    def check_temperature(self, data: AnyDataset) -> None:
        """Check, before long work, that a temperature can be fitted.

        Args:
            data: As in `fit_temperature`.

        Raises:
            UsageError: If the network does not accept the data, gives no scores of classes, or
                does not end in a linear layer; or if the run held no examples out.
        """
        self._check_data(data)
        check_scores(self._task.outputs)
        last_linear(self._network, _example(self._checkpoint_metadata))
        self._held_out_for_temperature(data)

    def fit_temperature(self, data: AnyDataset) -> float:
        """Divide the logits by the temperature that fits the examples that the run held out.

        Args:
            data: The data set of the run; call `calibrate` first.

        Returns:
            The temperature, rounded to two decimals.

        Raises:
            UsageError: If the run held no examples out; or as `fit_temperature`,
                `held_out_logits` and `divide_logits` of `bnnkit.deployment.temperature`.
        """
        images, labels = _arrays(self._held_out_for_temperature(data))
        logits = held_out_logits(self.artifact(), images, self._seed)
        temperature = round(fit_temperature(logits, labels), 2)
        self._divide(temperature)
        return temperature

    def artifact(self) -> Artifact:
        """Return the artifact.

        Raises:
            UsageError, UnsupportedError: As `export_onnx`.
        """
        return from_torch(self._network, _example(self._checkpoint_metadata), **self._options())

    def write(self, output: Path) -> Report:
        """Write the artifact; return its report.

        Raises:
            UsageError, UnsupportedError, FileError: As `export_onnx`.
        """
        return export_onnx(
            self._network, _example(self._checkpoint_metadata), output, **self._options()
        )

    def _held_out_for_temperature(self, data: AnyDataset) -> AnyExamples:
        held_out = _held_out(data, self._validation)
        if held_out is None:
            raise _nothing_held_out("temperature", "fitted")
        return held_out

    def _split(self, data: AnyDataset) -> tuple[AnyExamples, tuple[NDArray[Any], NDArray[Any]]]:
        """Return training examples for statistics, and images held out to choose on."""
        self._check_data(data)
        if self._task.targets != "classes" or self._mode == "deterministic":
            what = "deterministic file" if self._mode == "deterministic" else self._task.targets
            raise UsageError(
                "a noise scale is chosen for samples of a network that decides between classes, "
                f"got {what}: give a number"
            )
        is_own = data.name == self._checkpoint_metadata.dataset
        share = self._validation or (0.0 if is_own else _SHARE_OF_OTHERS)
        held_out = _held_out(data, share)
        if held_out is None:
            raise _nothing_held_out("noise scale", "chosen")
        if has_validation(data):
            return data.train, _arrays(held_out)
        return data.train.part(hold_out(len(data.train), share)[0]), _arrays(held_out)

    def _check_data(self, data: AnyDataset) -> None:
        about = self._checkpoint_metadata
        found = (data.input_shape, data.input_dtype)
        if found != (tuple(about.input_shape), about.input_dtype):
            raise UsageError(
                f"expected data of {about.input_dtype} {tuple(about.input_shape)} to calibrate"
                f" this network, got {found[1]} {found[0]} in {data.name}"
            )
        _check_targets(self._task, len(about.classes), data)

    def _divide(self, temperature: float) -> None:
        divide_logits(self._network, _example(self._checkpoint_metadata), temperature)
        self._metadata = replace(self._metadata, temperature=temperature)

    def _options(self) -> dict[str, Any]:
        return {
            "metadata": self._metadata,
            "mode": self._mode,
            "weight_draws": self._weight_draws,
            "seed": self._seed,
        }


def export_checkpoint(checkpoint: Path, output: Path, *, mode: Mode | None = None) -> Report:
    """Export a checkpoint.

    Args:
        checkpoint: A run's folder, or the checkpoint in it.
        output: The file to write; an existing file is replaced atomically.
        mode: As in `export_onnx`.

    Returns:
        The report: which layers are binary, why others are not, and their sizes.

    Raises:
        CheckpointError: If the checkpoint is missing, damaged, or of another model.
        UsageError: If samples are requested of a network without noise.
        UnsupportedError: If a part of the network cannot be exported.
        FileError: If the file cannot be written.
    """
    return CheckpointExport(checkpoint, mode=mode).write(output)


def checkpoint_artifact(checkpoint: Path, *, mode: Mode | None = None) -> Artifact:
    """Return the artifact that `export_checkpoint` would write.

    Raises:
        CheckpointError, UsageError, UnsupportedError: As `export_checkpoint`.
    """
    return CheckpointExport(checkpoint, mode=mode).artifact()


def _example(about: CheckpointMetadata) -> torch.Tensor:
    dtype = torch.uint8 if about.input_dtype == "uint8" else torch.float32
    return torch.zeros((1, *about.input_shape), dtype=dtype)


def _nothing_held_out(what: str, how: str) -> UsageError:
    return UsageError(
        f"the run held out none of its training examples: a {what} is {how} on examples that the "
        "network has not seen; give the number that a run of the same recipe with validation: 0.1 "
        "finds"
    )


def _held_out(data: AnyDataset, share: float) -> AnyExamples | None:
    """Return the examples that a run held out; None if it held none out."""
    if isinstance(data, StreamedDataset) and data.validation is not None:
        return data.validation
    _, positions = hold_out(len(data.train), share)
    if len(positions) == 0 or (isinstance(data, StreamedDataset) and data.train.is_stream):
        return None
    return data.train.part(positions)


def _arrays(examples: AnyExamples) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return inputs and targets, of streamed examples as many as `MOST_HELD_BYTES` allow."""
    if isinstance(examples, ArrayExamples):
        return examples.x, examples.y
    most = max(1, MOST_HELD_BYTES // examples.example_bytes)
    return examples.some(min(TEST_IMAGES, most), 0)


def _check_targets(task: Task, n_outputs: int, data: AnyDataset) -> None:
    if data.targets != task.targets:
        raise UsageError(
            f"the network was trained on {task.targets}, the targets of {data.name} are "
            f"{data.targets}"
        )
    if task.targets != "classes":
        if len(data.classes) != n_outputs:
            raise UsageError(
                f"the network has {n_outputs} outputs, {data.name} has {len(data.classes)} "
                f"{data.targets}"
            )
    elif isinstance(data, StreamedDataset):
        if len(data.classes) > n_outputs:
            raise UsageError(
                f"the network has {n_outputs} classes, {data.name} has {len(data.classes)}"
            )
    elif max(data.y_train.max(), data.y_test.max()) >= n_outputs:
        hint = "; subtract 1 from labels that count from 1" if data.counts_from_one else ""
        raise UsageError(
            f"the network has {n_outputs} classes: expected labels from 0 to {n_outputs - 1}"
            f" in {data.name}, got {min(data.y_train.min(), data.y_test.min())} to"
            f" {max(data.y_train.max(), data.y_test.max())}{hint}"
        )


def _metadata(checkpoint: Path, opened: Checkpoint) -> Metadata:
    about, task = opened.metadata, opened.task
    return Metadata(
        classes=about.classes,
        dataset=about.dataset,
        accuracy=about.accuracy if about.part == "test" else None,
        checkpoint=checkpoint_sha256(checkpoint),
        # Scores of classes are recognised by the last layers, which may hold probabilities too.
        outputs=() if task.outputs == "scores" else task.outputs,
        preprocessing=_preprocessing(opened),
    )


def _preprocessing(opened: Checkpoint) -> Preprocessing | None:
    """Return the preprocessing of the configuration, else that of the data set."""
    said = opened.config.data.preprocessing
    if said is not None:
        return preprocessing_from(said)
    stored = opened.metadata.preprocessing
    return None if stored is None else stored_preprocessing({KEY: stored})
