"""Several small networks of one shape as one, with the networks along a leading axis.

M is the number of networks, N of examples. The sum of the losses of all networks has, for each
parameter, the gradient of its own network, and Adam works elementwise; so the networks are
independent, as if each were trained alone.
"""

import time
from collections.abc import Callable, Mapping, Sequence

import torch
from experiment import Job, OutOfTimeError
from experiment_config import Record
from torch import Tensor, nn

from bnnkit.training.randomness import epoch_batches, seed_epoch
from bnnkit.training.step import RecordedStep


class StackedLinear(nn.Module):
    """M linear layers: inputs (M, N, I) or (N, I), outputs (M, N, O).

    Weights and biases of a network are drawn from U(-1/sqrt(I), 1/sqrt(I)) by its generator.
    """

    def __init__(self, n_in: int, n_out: int, generators: Sequence[torch.Generator]) -> None:
        super().__init__()
        bound = n_in**-0.5

        def drawn(rows: int) -> nn.Parameter:
            shape = (rows, n_out)
            each = [torch.empty(shape).uniform_(-bound, bound, generator=g) for g in generators]
            return nn.Parameter(torch.stack(each))

        self.weight, self.bias = drawn(n_in), drawn(1)

    def forward(self, x: Tensor) -> Tensor:
        return self.of(slice(None), x)

    def of(self, networks: slice, x: Tensor) -> Tensor:
        """The outputs of some of the networks."""
        return x @ self.weight[networks] + self.bias[networks]


def generators(seeds: Sequence[int]) -> list[torch.Generator]:
    """A generator of initial weights for each network; equal seeds give equal weights."""
    return [torch.Generator().manual_seed(seed) for seed in seeds]


class Batches:
    """Indices of examples, of one batch after another of an epoch, all on the device."""

    def __init__(self, n_examples: int, batch_size: int, device: torch.device) -> None:
        self.n_batches = n_examples // batch_size
        self._n_examples, self._batch_size = n_examples, batch_size
        self._order = torch.zeros(self.n_batches, batch_size, dtype=torch.int64, device=device)
        self._position = torch.zeros(1, dtype=torch.int64, device=device)

    def start_epoch(self, seed: int, epoch: int) -> None:
        self._order.copy_(epoch_batches(seed, epoch, self._n_examples, self._batch_size))
        self._position.zero_()

    def next(self) -> Tensor:
        """The indices (batch_size,) of the next batch; a CUDA graph can record it."""
        batch = self._order.index_select(0, self._position).squeeze(0)
        self._position += 1
        return batch


Losses = Callable[[Tensor], Tensor]
"""From the indices of a batch to the losses of the networks, (M, N), for the backward pass."""


class Trainer:
    """Trains a stack with Adam, on any device; on a GPU each step is a recorded CUDA graph."""

    def __init__(self, stack: nn.Module, lr: float, losses: Losses, batches: Batches) -> None:
        self.stack, self.losses, self.batches = stack, losses, batches
        device = next(stack.parameters()).device
        self._is_on_gpu = device.type == "cuda"
        if self._is_on_gpu:
            torch.set_float32_matmul_precision("high")  # TF32
        self._totals: Tensor | None = None
        self.optimizer = torch.optim.Adam(
            stack.parameters(), lr=lr, fused=self._is_on_gpu, capturable=self._is_on_gpu
        )
        self.start_phase(losses)

    def start_phase(self, losses: Losses) -> None:
        """Go on with another loss and with Adam's averages reset."""
        self.losses, self._totals = losses, None
        self.optimizer.state.clear()
        self._step: Callable[[], None] = (
            RecordedStep(self._one_step) if self._is_on_gpu else self._one_step
        )

    def epoch(self, seed: int, epoch: int) -> Tensor:
        """Train for an epoch and return the mean losses of the networks, (M,)."""
        seed_epoch(seed, epoch, 0)
        self.batches.start_epoch(seed, epoch)
        if self._totals is not None:
            self._totals.zero_()
        for _ in range(self.batches.n_batches):
            self._step()
        assert self._totals is not None
        return self._totals / self.batches.n_batches

    def _one_step(self) -> None:
        self.optimizer.zero_grad()
        losses = self.losses(self.batches.next()).mean(1)
        losses.sum().backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        if self._totals is None:
            self._totals = torch.zeros_like(losses)
        self._totals += losses.detach()

    def state(self) -> dict[str, Tensor]:
        """Parameters and Adam's state, by name."""
        tensors = {f"stack.{name}": value for name, value in self.stack.state_dict().items()}
        for name, parameter in self.stack.named_parameters():
            for key, value in self.optimizer.state[parameter].items():
                tensors[f"adam.{key}.{name}"] = value
        return tensors

    def load_state(self, tensors: Mapping[str, Tensor]) -> None:
        """Continue from `state`."""
        stack = self.stack.state_dict()
        self.stack.load_state_dict({name: tensors[f"stack.{name}"] for name in stack})
        for name, parameter in self.stack.named_parameters():
            for key in ("step", "exp_avg", "exp_avg_sq"):
                if (value := tensors.get(f"adam.{key}.{name}")) is not None:
                    on_device = key != "step" or self._is_on_gpu
                    where = parameter.device if on_device else "cpu"
                    self.optimizer.state[parameter][key] = value.to(where)


def train(
    job: Job,
    trainer: Trainer,
    epochs: int,
    *,
    seed: int,
    record: Record,
    each_epoch: Callable[[int, Tensor], None],
    phases: Mapping[int, Losses] | None = None,
    save_every_s: float = 120,
) -> None:
    """Train up to an epoch, from where a saved state of the job is.

    Args:
        job: The job.
        trainer: Its trainer, new.
        epochs: The last epoch.
        seed: Seed of batches and noise.
        record: Curves, saved with the state and updated from it; `each_epoch` adds to them.
        each_epoch: Called with the epoch and its mean losses (M,).
        phases: The losses from an epoch on, after which Adam starts again.
        save_every_s: The time between two saved states.

    Raises:
        OutOfTimeError: If the job has to stop; its state is saved.
    """
    first, phases = 1, phases or {}
    if (saved := job.load()) is not None:
        tensors, about = saved
        first = about["epoch"] + 1
        record.clear()
        record.update(about["record"])
        for start in sorted(phases):
            if start < first:
                trainer.start_phase(phases[start])
        trainer.load_state(tensors)
    clock, saved_at = _Clock(job, [*phases, epochs + 1]), time.monotonic()
    for epoch in range(first, epochs + 1):
        if epoch in phases:
            trainer.start_phase(phases[epoch])
        losses = trainer.epoch(seed, epoch)
        clock.tick(epoch, losses)
        each_epoch(epoch, losses)
        if job.is_out_of_time or time.monotonic() - saved_at > save_every_s:
            job.save(trainer.state(), {"epoch": epoch, "record": record})
            saved_at = time.monotonic()
        if job.is_out_of_time and epoch < epochs:
            raise OutOfTimeError


class _Clock:
    """Says how long the epochs of a phase take, once three of them have been timed."""

    def __init__(self, job: Job, ends: Sequence[int]) -> None:
        self._job, self._ends, self._times = job, sorted(ends), list[float]()

    def tick(self, epoch: int, losses: Tensor) -> None:
        """Take the time at the end of an epoch."""
        losses.sum().item()  # waits for the device
        if self._times and epoch in self._ends:
            self._times.clear()
        self._times.append(time.monotonic())
        if len(self._times) == 4:
            seconds = (self._times[3] - self._times[0]) / 3
            left = next(end for end in self._ends if end > epoch) - 1 - epoch
            self._job.say(
                f"{seconds:.3f} s an epoch, about {seconds * left:.0f} s to the end of the phase, "
                "without measuring"
            )
