"""The loop of training: epochs, evaluations, saved states, and the finished network."""

import math
import time
from collections.abc import Iterator
from typing import Any, cast

import torch
from rich.console import Console
from torch import Tensor, nn
from torch.nn import functional

from bnnkit.artifact.format import Mode
from bnnkit.data import Dataset
from bnnkit.errors import CheckpointError, ConfigError, MissingExtraError, UsageError
from bnnkit.nn import BinaryWeight, Sign, attach_rules, set_progress
from bnnkit.nn.sign import has_noisy_signs
from bnnkit.training.augment import CropFlip
from bnnkit.training.checkpoint import build_model, describe, save_checkpoint
from bnnkit.training.config import Config
from bnnkit.training.curves import draw_curves
from bnnkit.training.evaluate import batch_totals
from bnnkit.training.history import History, Record
from bnnkit.training.launch import Fabric
from bnnkit.training.progress import Progress, accuracies, recalibration_line
from bnnkit.training.randomness import epoch_batches, seed_epoch, seed_initial_weights
from bnnkit.training.recalibrate import recalibrate
from bnnkit.training.run_folder import RunFolder
from bnnkit.training.schedule import learning_rate_factor
from bnnkit.training.scores import Scores, means
from bnnkit.training.state import load_state, save_state


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
        ConfigError: The model cannot be built, or has no noise for what is asked of it.
        CheckpointError: The state in the folder cannot be used.
        FileError: The folder cannot be written.
    """

    def __init__(
        self, config: Config, dataset: Dataset, fabric: Fabric, folder: RunFolder, console: Console
    ) -> None:
        self.config, self.dataset, self.fabric = config, dataset, fabric
        self.folder, self.console = folder, console
        self.x_train, self.y_train = (
            torch.tensor(array, device=fabric.device)
            for array in (dataset.x_train, dataset.y_train)
        )
        self.augment = CropFlip(dataset.zero_point) if config.augment == "crop-flip" else None
        seed_initial_weights(config.seed)
        self.network = build_model(config.model, dataset)
        self.mode = _mode(config, self.network)
        self.scores = Scores(self.network, dataset, config.eval_samples, fabric)
        self.adam = _adam(self.network, config, fabric.device)
        attach_rules(self.network, self.adam)
        # Compiled or not, `model` trains the parameters of `network`.
        module = cast(nn.Module, torch.compile(self.network)) if config.compile else self.network
        self.model, self.optimizer = fabric.setup(module, self.adam)
        self.history = History(folder.metrics)
        self.done = self._restore()

    def run(self) -> Record:
        """All epochs that are left, and the end of the run.

        Returns:
            Losses and accuracies of the finished network on the test data: those of the
            deterministic one, test_loss and test_accuracy, and those of the ensemble, where there
            is one, test_loss_samples and test_accuracy_samples.

        Raises:
            UsageError: The loss became infinite or NaN.
            FileError: A file cannot be written.
        """
        epochs, steps = self.config.epochs, len(self.x_train) // self.config.batch_size
        with Progress(self.console, epochs=epochs, done=self.done, steps=steps) as progress:
            scored: Record = {}
            for epoch in range(self.done + 1, epochs + 1):
                trained = self._train_epoch(epoch, progress)
                scored = self._evaluate(epoch)
                progress.epoch_done(trained | scored)
                self._save(epoch, trained | scored)
        # A run that was stopped after its last epoch goes on here.
        return self._finish(scored or self._evaluate(epochs))

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
            return load_state(self.folder.state, self.network, self.adam)
        except CheckpointError as error:
            raise CheckpointError(
                f"{error}; the run cannot be continued: delete {self.folder.state} to start it "
                "again, or choose another folder"
            ) from error

    def _train_epoch(self, epoch: int, progress: Progress) -> Record:
        start = time.monotonic()
        seed_epoch(self.config.seed, epoch, self.fabric.global_rank)
        self.model.train()
        totals = torch.zeros(3, dtype=torch.float64, device=self.fabric.device)
        batches = self._batches(epoch)
        for step, index in enumerate(batches):
            progressed = (epoch - 1 + step / len(batches)) / self.config.epochs
            self._set_learning_rate(progressed)
            set_progress(self.network, progressed)
            totals += self._step(index[self.fabric.global_rank :: self.fabric.world_size])
            progress.step(epoch, totals)
        loss, accuracy = means(self.fabric, totals)
        if not math.isfinite(loss):
            raise UsageError(
                f"the training loss became {loss} in epoch {epoch}; "
                f"try a smaller learning rate than lr={self.config.lr}"
            )
        self._average_buffers()
        return {
            "epoch": epoch,
            "train_loss": loss,
            "train_accuracy": accuracy,
            "lr": self.adam.param_groups[0]["lr"],
            "seconds": round(time.monotonic() - start, 3),
        }

    def _step(self, index: Tensor) -> Tensor:
        x, y = self.x_train[index], self.y_train[index]
        logits = self.model(self.augment(x) if self.augment else x)
        loss = functional.cross_entropy(logits, y, label_smoothing=self.config.label_smoothing)
        self.fabric.backward(loss)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return batch_totals(loss, logits, y)

    def _batches(self, epoch: int) -> Tensor:
        batches = epoch_batches(self.config.seed, epoch, len(self.x_train), self.config.batch_size)
        return batches.to(self.fabric.device)

    def _set_learning_rate(self, progress: float) -> None:
        factor = learning_rate_factor(self.config.schedule, progress)
        for group in self.adam.param_groups:
            group["lr"] = self.config.lr * factor

    def _evaluate(self, epoch: int) -> Record:
        """What is to be evaluated after an epoch."""
        is_last, config = epoch == self.config.epochs, self.config
        record: Record = {}
        if is_last or epoch % config.eval_every == 0:
            record |= self.scores.deterministic()
        if is_last or epoch % config.eval_samples_every == 0:
            record |= self.scores.ensemble()
        return record

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
        self.history.append(record)
        if epoch % self.config.save_every == 0 or epoch == self.config.epochs:
            precision = self.fabric.strategy.precision.state_dict()
            save_state(self.folder.state, epoch, self.network, self.adam, precision)

    def _finish(self, trained: Record) -> Record:
        """Recalibrate, evaluate, and write; the checkpoint last, because it says "finished".

        Args:
            trained: The scores of the network as it was trained.
        """
        record: Record = {"epoch": self.config.epochs, "final": True} | trained
        if self.config.recalibrate:
            recalibrate(self.network, self._calibration_inputs(), self.mode, seed=self.config.seed)
            record |= {f"{key}_before_recalibration": trained[key] for key in trained}
            record |= self._evaluate(self.config.epochs)
            self.console.print(
                recalibration_line(record, self.mode, self.scores.samples),
                highlight=False,
                soft_wrap=True,
            )
        if self.fabric.is_global_zero:
            self.history.append(record)
            self._draw(record)
            metadata = describe(self.dataset, float(record["test_accuracy"]))
            save_checkpoint(self.folder.checkpoint, self.network, self.config, metadata)
            self.folder.state.unlink(missing_ok=True)
        self.fabric.barrier()
        return record

    def _calibration_inputs(self) -> Iterator[Tensor]:
        """Training inputs as they are deployed, not augmented; the same in every process."""
        for index in self._batches(self.config.epochs + 1)[: self.config.recalibrate]:
            yield self.x_train[index]

    def _draw(self, record: Record) -> None:
        samples = self.scores.samples
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
    """What is random when a network is trained, for the legend of its curves."""
    modules = list(network.modules())
    parts = [
        name
        for kind, name in ((Sign, "noisy signs"), (BinaryWeight, "sampled weights"))
        if any(isinstance(m, kind) and m.noise.name != "none" for m in modules)
    ]
    return f"training, {' and '.join(parts) or 'deterministic'}"


def _adam(network: nn.Module, config: Config, device: torch.device) -> torch.optim.Optimizer:
    """Adam; the weight decay leaves out biases and batch norms, which have one axis."""
    weights = [p for p in network.parameters() if p.ndim > 1]
    others = [p for p in network.parameters() if p.ndim <= 1]
    groups = [
        {"params": weights, "weight_decay": config.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    return torch.optim.Adam(groups, lr=config.lr, fused=device.type == "cuda")
