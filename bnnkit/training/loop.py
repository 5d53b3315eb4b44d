"""The loop of training: epochs, evaluations, saved states, and the finished network."""

import math
import time
from collections.abc import Callable, Iterator
from typing import Any, cast

import torch
from rich.console import Console
from torch import Tensor, nn

from bnnkit.artifact.format import Mode
from bnnkit.data import Dataset
from bnnkit.errors import CheckpointError, ConfigError, MissingExtraError, UsageError
from bnnkit.nn import BinaryWeight, attach_rules, set_progress
from bnnkit.nn.choices import choices
from bnnkit.nn.sign import has_noisy_signs
from bnnkit.training import safetensors_file
from bnnkit.training.batches import Batches
from bnnkit.training.checkpoint import build_model, describe, save_checkpoint
from bnnkit.training.config import Config
from bnnkit.training.curves import draw_curves
from bnnkit.training.flip_rates import FlipRates
from bnnkit.training.history import History, Record
from bnnkit.training.launch import Fabric
from bnnkit.training.losses import make_loss
from bnnkit.training.optimizers import Optimizers
from bnnkit.training.progress import Progress, accuracies, recalibration_line
from bnnkit.training.randomness import seed_epoch, seed_initial_weights
from bnnkit.training.recalibrate import recalibrate
from bnnkit.training.run_folder import RunFolder
from bnnkit.training.scores import Scores, means
from bnnkit.training.state import load_state, save_state
from bnnkit.training.step import RecordedStep, Step
from bnnkit.training.validation import hold_out
from bnnkit.training.view_logits import view_logits


class Loop:
    """A run on this process's device, ready to go on after the epochs that are done.

    With several processes each takes its share of every batch and of every evaluation, with
    noise of its own; the gradients are averaged, and so are the batch-norm statistics after each
    epoch. The first process writes the files.

    Args:
        config: The run.
        dataset: Its data, which goes to the device as a whole.
        fabric: Launched.
        folder: Where a state may be, and where all results go.
        console: Where to report.

    Raises:
        ConfigError: The model cannot be built, or has no noise or latent weights where they are
            asked for, or a teacher is for other data.
        CheckpointError: The state in the folder, or a teacher, cannot be used.
        FileError: The folder cannot be written.
    """

    def __init__(
        self, config: Config, dataset: Dataset, fabric: Fabric, folder: RunFolder, console: Console
    ) -> None:
        self.config, self.dataset, self.fabric = config, dataset, fabric
        self.folder, self.console = folder, console
        seed_initial_weights(config.seed)
        self.network = build_model(config.model, dataset)
        self.mode = _mode(config, self.network)
        loss = make_loss(config, dataset, fabric.device)
        examples, held_out = hold_out(len(dataset.x_train), config.validation)
        self.batches = Batches(
            config,
            dataset,
            torch.from_numpy(examples),
            fabric.device,
            rank=fabric.global_rank,
            processes=fabric.world_size,
        )
        self.validation, self.test = (
            Scores(self.network, part, x, y, config.eval_samples, fabric)
            for part, x, y in (
                ("validation", dataset.x_train[held_out], dataset.y_train[held_out]),
                ("test", dataset.x_test, dataset.y_test),
            )
        )
        self._place_network()
        self.optimizers = Optimizers(self.network, config)
        for optimizer in self.optimizers.all:
            attach_rules(self.network, optimizer)
        # Compiled or not, `model` trains the parameters of `network`.
        module = cast(nn.Module, torch.compile(self.network)) if config.compile else self.network
        self.model, *optimizers = fabric.setup(module, *self.optimizers.all)
        self.step = Step(
            self.model,
            self.optimizers,
            optimizers,
            self.batches,
            loss,
            fabric,
            clip_gradients=config.clip_gradients,
            compiled=config.compile,
        )
        self.flips = FlipRates(self.network)
        self.history = History(folder.metrics)
        self.done = self._restore()

    def run(self) -> Record:
        """All epochs that are left, and the end of the run.

        Returns:
            Losses and accuracies of the finished network on the validation and the test data:
            those of the deterministic one, such as test_loss and test_accuracy, and those of the
            ensemble, where there is one, such as test_loss_samples and test_accuracy_samples.

        Raises:
            UsageError: The loss became infinite or NaN.
            FileError: A file cannot be written.
        """
        epochs, steps = self.config.epochs, self.batches.n_steps
        train_step = self._train_step()
        progress = Progress(self.console, epochs=epochs, done=self.done, steps=steps)
        with progress, torch.backends.cudnn.flags(enabled=True, benchmark=True, allow_tf32=True):
            for epoch in range(self.done + 1, epochs + 1):
                record = self._train_epoch(epoch, train_step, progress)
                record |= self._evaluate(epoch)
                progress.epoch_done(record)
                self._save(epoch, record)
        return self._finish()

    def _place_network(self) -> None:
        """Move the network to the device; convolutions on a GPU are faster with channels last."""
        self.network.to(self.fabric.device)
        if self.fabric.device.type == "cuda":
            self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def _train_step(self) -> Callable[[], None]:
        """The step, recorded where there is one GPU and no loss scaling, which waits for it."""
        config, fabric = self.config, self.fabric
        is_recorded = (
            config.cuda_graph
            and fabric.device.type == "cuda"
            and fabric.world_size == 1
            and config.precision != "16-mixed"
        )
        return RecordedStep(self.step) if is_recorded else self.step

    def _restore(self) -> int:
        """Load the state, where there is one; returns the number of epochs done."""
        done = 0
        if self.folder.state.is_file():
            done, precision = self._load_state()
            self.fabric.strategy.precision.load_state_dict(precision)
            self.console.print(f"continuing after epoch {done}", highlight=False)
        self.fabric.barrier()
        if self.fabric.is_global_zero:
            self.folder.prepare(self.config)
            self.history.restart_after(done)
        return done

    def _load_state(self) -> tuple[int, dict[str, Any]]:
        try:
            return load_state(self.folder.state, self.network, self.optimizers.all)
        except CheckpointError as error:
            raise CheckpointError(
                f"{error}; the run cannot be continued: delete {self.folder.state} to start it "
                "again, or choose another folder"
            ) from error

    def _train_epoch(
        self, epoch: int, train_step: Callable[[], None], progress: Progress
    ) -> Record:
        start = time.monotonic()
        seed_epoch(self.config.seed, epoch, self.fabric.global_rank)
        if self._is_evaluated(epoch):
            self.flips.start()
        self.model.train()
        self.step.start_epoch(epoch)
        n_steps = self.batches.n_steps
        for step in range(n_steps):
            done = (epoch - 1) * n_steps + step
            self.optimizers.set_learning_rates(done, n_steps)
            set_progress(self.network, done / (n_steps * self.config.epochs))
            train_step()
            progress.step(epoch, self.step.totals)
        loss, accuracy = means(self.fabric, self.step.totals)
        if not math.isfinite(loss):
            raise UsageError(
                f"the training loss became {loss} in epoch {epoch}; "
                f"try a smaller learning rate than lr={self.config.lr}"
            )
        self._average_buffers()
        seconds = time.monotonic() - start
        lr, *lr_latent = self.optimizers.learning_rates()
        return {
            "epoch": epoch,
            "train_loss": loss,
            "train_accuracy": accuracy,
            "lr": lr,
            **({"lr_latent": lr_latent[0]} if lr_latent else {}),
            "seconds": round(seconds, 3),
            "images_per_second": round(n_steps * self.config.batch_size / seconds),
        }

    def _evaluate(self, epoch: int) -> Record:
        """What is to be evaluated after an epoch, on the validation examples, and flip rates."""
        is_last, config = epoch == self.config.epochs, self.config
        record: Record = {}
        if self._is_evaluated(epoch):
            rates = self.flips.rates()
            record |= {"flip_rates": rates} if rates else {}
            record |= self.validation.deterministic()
        if is_last or epoch % config.eval_samples_every == 0:
            record |= self.validation.ensemble()
        return record

    def _is_evaluated(self, epoch: int) -> bool:
        return epoch == self.config.epochs or epoch % self.config.eval_every == 0

    def _average_buffers(self) -> None:
        """Make the batch-norm statistics of all processes one; each saw only its share."""
        if self.fabric.world_size > 1:
            for buffer in self.network.buffers():
                if buffer.is_floating_point():
                    buffer.copy_(self._over_all(buffer, "mean"))

    def _over_all(self, tensor: Tensor, operation: str) -> Tensor:
        return cast(Tensor, self.fabric.all_reduce(tensor, reduce_op=operation))

    def _save(self, epoch: int, record: Record) -> None:
        """The record first: what is written past the last state is dropped on continuing."""
        if not self.fabric.is_global_zero:
            return
        self._save_best(record)
        self.history.append(record)
        if epoch % self.config.save_every == 0 or epoch == self.config.epochs:
            precision = self.fabric.strategy.precision.state_dict()
            save_state(self.folder.state, epoch, self.network, self.optimizers.all, precision)

    def _save_best(self, record: Record) -> None:
        before = [r["validation_accuracy"] for r in self.history.records if _is_validated(r)]
        if _is_validated(record) and record["validation_accuracy"] > max(before, default=-1.0):
            metadata = describe(self.dataset, record["validation_accuracy"], part="validation")
            save_checkpoint(self.folder.best, self.network, self.config, metadata)

    def _finish(self) -> Record:
        """Recalibrate, evaluate, and write; the checkpoint last, because it says "finished"."""
        self._take_best()
        record: Record = {"epoch": self.config.epochs, "final": True} | choices(self.network)
        record |= self.validation.both()
        if self.config.recalibrate:
            recalibrate(self.network, self._calibration_inputs(), self.mode, seed=self.config.seed)
            before = {f"{key}_before_recalibration": record[key] for key in _scores_in(record)}
            record |= before | self.validation.both()
            self._report_recalibration(record)
        record |= self.test.both()
        if self.fabric.is_global_zero:
            self.history.append(record)
            self._draw(record)
            metadata = describe(self.dataset, float(record["test_accuracy"]))
            save_checkpoint(self.folder.checkpoint, self.network, self.config, metadata)
            self._store_logits()
            self.folder.state.unlink(missing_ok=True)
        self.fabric.barrier()
        return record

    def _take_best(self) -> None:
        """Go back to the best epoch, where that is what the checkpoint is to hold."""
        if self.config.keep == "best":
            self.fabric.barrier()  # the first process has written it
            self.network.load_state_dict(safetensors_file.read(self.folder.best)[0])

    def _store_logits(self) -> None:
        if self.config.store_logits:
            augmented = self.config.augment != "none"
            device = self.fabric.device
            view_logits(self.folder.path, self.dataset, augmented=augmented, device=device)

    def _calibration_inputs(self) -> Iterator[Tensor]:
        """Training inputs as they are deployed, not augmented; the same in every process."""
        examples = self.batches.examples_of(self.config.epochs + 1)
        for index in examples[: self.config.recalibrate].to(self.fabric.device):
            yield self.batches.x[index]

    def _report_recalibration(self, record: Record) -> None:
        if _is_validated(record):
            line = recalibration_line(record, self.mode, self.validation.samples)
            self.console.print(line, highlight=False, soft_wrap=True)

    def _draw(self, record: Record) -> None:
        samples = self.test.samples
        title = f"{self.config.model.name} on {self.dataset.name}: {accuracies(record, samples)}"
        try:
            draw_curves(
                self.history.records,
                self.folder.curves,
                title,
                training=_training(self.network),
                samples=samples,
            )
        except MissingExtraError as error:
            self.console.print(f"no curves.png: {error}", markup=False, soft_wrap=True)


def _is_validated(record: Record) -> bool:
    return "validation_accuracy" in record


def _scores_in(record: Record) -> list[str]:
    return [key for key in record if key.startswith("validation_")]


def _mode(config: Config, network: nn.Module) -> Mode:
    """How the network will be deployed."""
    noisy = has_noisy_signs(network)
    if config.recalibrate_mode == "samples" and not noisy:
        raise ConfigError(
            "recalibrate_mode samples is for networks with noisy signs, this one has none; "
            "use recalibrate_mode=auto"
        )
    if config.recalibrate_mode == "auto":
        return "samples" if noisy else "deterministic"
    return config.recalibrate_mode


def _training(network: nn.Module) -> str:
    """How a network is trained and what is random in it, for the legend of its curves."""
    modules = list(network.modules())
    parts = ["noisy signs"] if has_noisy_signs(network) else []
    if any(isinstance(m, BinaryWeight) and m.noise.name != "none" for m in modules):
        parts.append("sampled weights")
    how = [choices(network).get(key) for key in ("estimator", "weight_rule")]
    by = ", ".join(name.partition(" (")[0] for name in how if name)  # options take too much room
    return f"training ({by or 'float'}), {' and '.join(parts) or 'deterministic'}"
