"""The training loop: epochs, evaluations, and saved states."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, cast

import torch
from torch import Tensor, nn

from bnnkit.border import explained
from bnnkit.errors import CheckpointError, ConfigError, UsageError
from bnnkit.nn import attach_rules, set_progress
from bnnkit.nn.sign import scale_training_noise, training_noise_scale
from bnnkit.training.checkpoint import describe, save_checkpoint
from bnnkit.training.deployed import deployed
from bnnkit.training.device_speed import DeviceSpeed, measure_speed
from bnnkit.training.early_stopping import is_out_of_patience
from bnnkit.training.finish import finish
from bnnkit.training.flip_rates import FlipRates
from bnnkit.training.gradient_average import GradientAverage
from bnnkit.training.history import Record
from bnnkit.training.losses import make_loss
from bnnkit.training.more_epochs import forget_last_evaluation, more_epochs_line
from bnnkit.training.optimizers import Optimizers
from bnnkit.training.processes import agreed, broadcast_network
from bnnkit.training.progress import Progress, print_line
from bnnkit.training.randomness import seed_epoch
from bnnkit.training.run_parts import RunParts
from bnnkit.training.saturation import saturated_shares
from bnnkit.training.schedule import noise_scale_at
from bnnkit.training.scores import means
from bnnkit.training.state import load_state, save_state
from bnnkit.training.step import RecordedStep, Step
from bnnkit.training.sync_batch_norm import SyncBatchNorms
from bnnkit.training.task import is_better


class DivergedError(UsageError):
    """A run whose loss became infinite or NaN."""


class Loop:
    """A run on this process's device, ready to continue after the epochs that are done.

    Each of several processes takes its share of every batch and of every evaluation, and draws its
    own noise; the gradients are averaged, and batch norms see the whole batch, or their statistics
    are averaged after each epoch. The first process writes the files.

    Args:
        run: The parts of the run; its folder may hold a saved state.

    Raises:
        ConfigError: The configuration has a section latent, but the network has no latent
            weights, or a teacher is for other data.
        CheckpointError: The state in the folder, or a teacher, cannot be used.
        FileError: The folder cannot be written.
    """

    def __init__(self, run: RunParts) -> None:
        self.parts, self.config, self.fabric = run, run.config, run.fabric
        self.network, self.batches, self.folder = run.network, run.batches, run.folder
        self.optimizers = Optimizers(run.network, run.config)
        for optimizer in self.optimizers.all:
            attach_rules(run.network, optimizer)
        # Compiled or not, `model` trains the parameters of `network`.
        is_compiled = run.config.compile
        module = cast(nn.Module, torch.compile(run.network)) if is_compiled else run.network
        self.model, *optimizers = run.fabric.setup(module, *self.optimizers.all)
        is_shared = run.fabric.world_size > 1
        self.norms = SyncBatchNorms(run.network)
        self.step = Step(
            self.model,
            self.optimizers,
            optimizers,
            run.batches,
            make_loss(run.config, run.dataset, run.fabric.device, run.task),
            run.fabric,
            average_gradients=GradientAverage(self.optimizers.parameters) if is_shared else None,
            clip_gradients=run.config.clip_gradients,
            ema=run.ema,
            compiled=is_compiled,
        )
        self.flips = FlipRates(run.network)
        self.speed: DeviceSpeed | None = None
        self.done = self._restore()

    def run(self) -> Record:
        """Train the remaining epochs and finish the run.

        Returns:
            Losses and accuracies of the finished network on the validation and the test data:
            deterministic, such as test_loss and test_accuracy, and, if there is an ensemble, of
            the ensemble, such as test_loss_samples and test_accuracy_samples.

        Raises:
            DivergedError: The loss became infinite or NaN.
            FileError: A file cannot be written.
        """
        self._prepare()
        epochs, steps = self.config.epochs, self.batches.n_steps
        self._measure_speed()
        progress = Progress(
            self.parts.console,
            epochs=epochs,
            done=self.done,
            steps=steps,
            metric=self.parts.task.metric,
        )
        cudnn = torch.backends.cudnn.flags(enabled=True, benchmark=True, allow_tf32=True)
        with self._train_step() as train_step, progress, cudnn:
            for epoch in range(self.done + 1, epochs + 1):
                if self._stops_early():
                    break
                record = self._train_epoch(epoch, train_step, progress)
                record |= self._evaluate(epoch)
                progress.epoch_done(record)
                with agreed(self.fabric):
                    self._save(epoch, record)
                self.done = epoch
        if self.done < epochs:
            line = (
                f"stopped early, after epoch {self.done}: the validation loss has not fallen for "
                f"{self.config.patience} epochs"
            )
            print_line(self.parts.console, line)
        self._set_noise_scale(self.done)
        return finish(self.parts, self.done, self.speed)

    def _set_noise_scale(self, epoch: int) -> None:
        if self.config.noise_scale is not None:
            scale_training_noise(self.network, noise_scale_at(self.config.noise_scale, epoch))

    def _measure_speed(self) -> None:
        """Measure what the GPU can do, for the share of it in the records."""
        if self.fabric.device.type != "cuda" or self.done == self.config.epochs:
            return
        try:
            self.speed = measure_speed(self.network, self.batches.x[:2], self.fabric.world_size)
        except Exception as error:  # a network of the user's own may refuse to be copied
            line = f"the share of the device's peak is not recorded: {explained(error)}"
            print_line(self.parts.console, line)
            return
        print_line(self.parts.console, str(self.speed))

    def _stops_early(self) -> bool:
        """Return the decision of the first process, which has the records."""
        if self.config.patience is None:
            return False
        decision = is_out_of_patience(self.parts.history.records, self.config.patience)
        return bool(self.fabric.broadcast(decision))

    @contextmanager
    def _train_step(self) -> Iterator[Callable[[], None]]:
        """Give the step, recorded on a GPU if nothing in it waits for the device.

        Loss scaling does, and so may an optimizer of the user's own.
        """
        is_recorded = (
            self.config.cuda_graph
            and self.fabric.device.type == "cuda"
            and self.config.precision != "16-mixed"
            and self.optimizers.are_recordable
        )
        if not is_recorded:
            yield self.step
            return
        recorded = RecordedStep(self.step)
        yield recorded
        recorded.close()  # after an error the GPU may wait for a lost process

    def _restore(self) -> int:
        """Load the saved state, if any, and return the number of epochs done."""
        done, before = 0, self.folder.epochs_before()
        if self.folder.state.is_file():
            done, precision = self._load_state()
            self.fabric.strategy.precision.load_state_dict(precision)
            self.parts.console.print(f"continuing after epoch {done}", highlight=False)
            if before is not None and before < self.config.epochs:
                line = more_epochs_line(self.config, self.network, before=before, done=done)
                print_line(self.parts.console, line)
        return done

    def _prepare(self) -> None:
        """Make the processes equal, and let the first one prepare the folder."""
        first = self.fabric.broadcast(self.done)
        with agreed(self.fabric):
            if self.done != first:
                raise ConfigError(
                    f"process {self.fabric.global_rank} continues after epoch {self.done}, the "
                    f"first process after epoch {first}: all machines must share the folder "
                    f"{self.folder.path}"
                )
            if self.fabric.is_global_zero:
                forget_last_evaluation(self.config, self.folder, self.parts.history)
                self.folder.prepare(self.config)
                self.parts.history.restart_after(self.done)
        if self.fabric.world_size > 1:
            broadcast_network(self.network)

    def _load_state(self) -> tuple[int, dict[str, Any]]:
        try:
            return load_state(
                self.folder.state, self.network, self.optimizers.all, averages=self._averages()
            )
        except CheckpointError as error:
            raise CheckpointError(
                f"{error}; the run cannot be continued: delete {self.folder.state} to start it "
                "again, or choose another folder"
            ) from error

    def _train_epoch(
        self, epoch: int, train_step: Callable[[], None], progress: Progress
    ) -> Record:
        start = time.monotonic()
        seed_epoch(self.config.seed, epoch)
        if self._is_evaluated(epoch):
            self.flips.start()
        self._set_noise_scale(epoch)
        self.model.train()
        self.step.start_epoch(epoch)
        if not self.fabric.is_global_zero:
            seed_epoch(self.config.seed, epoch, self.fabric.global_rank)
        n_steps = self.batches.n_steps
        with self._batch_norms():
            for step in range(n_steps):
                done = (epoch - 1) * n_steps + step
                self.optimizers.set_learning_rates(done, n_steps)
                set_progress(self.network, done / (n_steps * self.config.epochs))
                self.batches.fetch()
                train_step()
                progress.step(epoch, self.step.totals)
        loss, metric = means(self.fabric, self.step.totals)
        with agreed(self.fabric):
            if not math.isfinite(loss):
                raise DivergedError(
                    f"the training loss became {loss} in epoch {epoch}; "
                    f"try a smaller learning rate than lr={self.config.lr}"
                )
        self._average_buffers()
        seconds = time.monotonic() - start
        images_per_second = n_steps * self.config.batch_size / seconds
        noise_scale = training_noise_scale(self.network)
        lr, *lr_latent = self.optimizers.learning_rates()
        return {
            "epoch": epoch,
            "train_loss": loss,
            f"train_{self.parts.task.metric}": metric,
            "lr": lr,
            **({"lr_latent": lr_latent[0]} if lr_latent else {}),
            **({"noise_scale": noise_scale} if noise_scale is not None else {}),
            "seconds": round(seconds, 3),
            "images_per_second": round(images_per_second),
            **(
                {"share_of_peak": round(self.speed.share(images_per_second), 4)}
                if self.speed
                else {}
            ),
        }

    def _evaluate(self, epoch: int) -> Record:
        """Compute the validation scores and shares of weights that are due after an epoch."""
        every = self.config.eval_samples_every
        has_ensemble = epoch == self.config.epochs or epoch % every == 0
        record: Record = {}
        if self._is_evaluated(epoch):
            rates = self.flips.rates()
            record |= {"flip_rates": rates} if rates else {}
            shares = saturated_shares(self.network)
            record |= {"saturated": shares} if shares else {}
        if self._is_evaluated(epoch) or has_ensemble:
            with deployed(self.parts, epoch):
                record |= self._scores(epoch, has_ensemble)
        return record

    def _scores(self, epoch: int, has_ensemble: bool) -> Record:
        """Score the network on the validation examples, and save it if it is the best so far."""
        record: Record = {}
        if self._is_evaluated(epoch):
            record |= self.parts.validation.deterministic()
        if has_ensemble:
            record |= self.parts.validation.ensemble()
        with agreed(self.fabric):
            if self.fabric.is_global_zero:
                self._save_best(epoch, record)
        return record

    def _is_evaluated(self, epoch: int) -> bool:
        return epoch == self.config.epochs or epoch % self.config.eval_every == 0

    def _batch_norms(self) -> AbstractContextManager[None]:
        is_shared = self.fabric.world_size > 1 and self.config.sync_batch_norm
        return self.norms.synchronised() if is_shared else nullcontext()

    def _average_buffers(self) -> None:
        """Average statistics over the processes, each of which may have seen only its share."""
        if self.fabric.world_size > 1:
            for buffer in self.network.buffers():
                if buffer.is_floating_point():
                    buffer.copy_(cast(Tensor, self.fabric.all_reduce(buffer, reduce_op="mean")))

    def _save(self, epoch: int, record: Record) -> None:
        """Write the record, then the state: a continued run drops records after its state."""
        if not self.fabric.is_global_zero:
            return
        self.parts.history.append(record)
        is_last = epoch == self.config.epochs or is_out_of_patience(
            self.parts.history.records, self.config.patience
        )
        if epoch % self.config.save_every == 0 or is_last:
            precision = self.fabric.strategy.precision.state_dict()
            save_state(
                self.folder.state,
                epoch,
                self.network,
                self.optimizers.all,
                precision,
                averages=self._averages(),
            )

    def _averages(self) -> dict[str, Tensor]:
        return self.parts.ema.sums if self.parts.ema else {}

    def _save_best(self, epoch: int, record: Record) -> None:
        metric = self.parts.task.metric
        key = f"validation_{metric}"
        if key not in record:
            return
        before = [one[key] for one in self.parts.history.records if key in one]
        if not before or is_better(metric, record[key], before):
            if epoch % self.config.eval_every:
                self.folder.set_best_aside()
            metadata = describe(self.parts.dataset, record[key], "validation", metric=metric)
            save_checkpoint(self.folder.best, self.network, self.config, metadata)
