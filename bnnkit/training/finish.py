"""Finish a run: recalibrate, evaluate and write the network."""

from dataclasses import asdict

from torch import nn

from bnnkit.data import Dataset
from bnnkit.errors import MissingExtraError
from bnnkit.files.csv_table import write_csv
from bnnkit.nn import BinaryWeight
from bnnkit.nn.choices import choices
from bnnkit.nn.sign import has_noisy_signs
from bnnkit.training import safetensors_file
from bnnkit.training.checkpoint import describe, restore_noise_scale, save_checkpoint
from bnnkit.training.curves import draw_curves
from bnnkit.training.deployed import recalibrate_run
from bnnkit.training.device_speed import DeviceSpeed
from bnnkit.training.flat import flat
from bnnkit.training.history import Record
from bnnkit.training.processes import agreed
from bnnkit.training.progress import accuracies, print_line, recalibration_line
from bnnkit.training.run_parts import RunParts
from bnnkit.training.tensorboard_log import write_tensorboard
from bnnkit.training.view_logits import view_logits


def finish(run: RunParts, epoch: int, speed: DeviceSpeed | None = None) -> Record:
    """Recalibrate, evaluate and write; the checkpoint last, because it marks a finished run.

    Args:
        run: A run after its last epoch.
        epoch: The last epoch; with early stopping it may be fewer than configured.
        speed: The measured speed of a GPU, which is recorded.

    Returns:
        The last record of the run.

    Raises:
        FileError: A file cannot be written.
    """
    _take_weights(run, epoch)
    record: Record = {"epoch": epoch, "final": True} | run.validation.both()
    if run.config.recalibrate:
        recalibrate_run(run, epoch)
        before = {f"{key}_before_recalibration": record[key] for key in _scores_in(record)}
        record |= before | run.validation.both()
        _report_recalibration(run, record)
    record |= run.test.both() | choices(run.network)
    if speed is not None:
        record |= asdict(speed)
    with agreed(run.fabric):
        if run.fabric.is_global_zero:
            _write(run, record)
    return record


def _take_weights(run: RunParts, epoch: int) -> None:
    """Load the network of the best epoch, or the averaged weights, as the configuration says."""
    if run.config.keep == "best":
        tensors, about = safetensors_file.read(run.folder.best)
        run.network.load_state_dict(tensors)
        restore_noise_scale(run.network, about)
    elif run.ema is not None:
        run.ema.write_to_network(epoch * run.batches.n_steps)


def _scores_in(record: Record) -> list[str]:
    return [key for key in record if key.startswith("validation_")]


def _report_recalibration(run: RunParts, record: Record) -> None:
    if _scores_in(record):
        line = recalibration_line(record, run.mode, run.validation.samples)
        print_line(run.console, line)


def _write(run: RunParts, record: Record) -> None:
    run.history.append(record)
    if "csv" in run.config.log:
        write_csv(run.folder.metrics_csv, [flat(record) for record in run.history.records])
    if "tensorboard" in run.config.log:
        write_tensorboard(run.folder.tensorboard, run.history.records)
    _draw(run, record)
    metric = run.task.metric
    metadata = describe(run.dataset, float(record[f"test_{metric}"]), metric=metric)
    save_checkpoint(run.folder.checkpoint, run.network, run.config, metadata)
    if run.config.store_logits and isinstance(run.dataset, Dataset):
        is_augmented = run.config.augment != "none"
        view_logits(run.folder.path, run.dataset, augmented=is_augmented, device=run.fabric.device)


def _draw(run: RunParts, record: Record) -> None:
    samples = run.test.samples
    title = f"{run.config.model.name} on {run.dataset.name}: {accuracies(record, samples)}"
    try:
        draw_curves(
            run.history.records,
            run.folder.curves,
            title,
            training=_training(run.network),
            samples=samples,
        )
    except MissingExtraError as error:
        print_line(run.console, f"no curves.png: {error}")


def _training(network: nn.Module) -> str:
    """Describe the estimator, the weight rule and the noise, for the legend of the curves."""
    modules = list(network.modules())
    parts = ["noisy signs"] if has_noisy_signs(network) else []
    if any(isinstance(m, BinaryWeight) and m.noise.name != "none" for m in modules):
        parts.append("sampled weights")
    how = [choices(network).get(key) for key in ("estimator", "weight_rule")]
    by = ", ".join(name.partition(" (")[0] for name in how if name)  # options take too much room
    return f"training ({by or 'float'}), {' and '.join(parts) or 'deterministic'}"
