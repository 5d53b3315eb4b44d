"""A training step: forward and backward pass of a batch, and a step of the optimizers."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_

from bnnkit.training.batches import Batch, Batches
from bnnkit.training.ema import Ema
from bnnkit.training.launch import Fabric
from bnnkit.training.losses import Loss
from bnnkit.training.optimizers import Optimizers
from bnnkit.training.processes import is_distributed
from bnnkit.training.task import batch_totals

_WARMUP_STEPS = 3


class Step:
    """A callable that trains on the next batch of the epoch.

    It never waits for the device, and reads everything that changes between steps from tensors on
    the device.

    Attributes:
        totals: Sums of `batch_totals` over the epoch; float64 (3,).

    Args:
        model: The model as set up by Fabric, in training mode.
        optimizers: The optimizers of its parameters.
        fabric_optimizers: The same optimizers, as set up by Fabric.
        batches: The batches of this process.
        loss: The loss function.
        fabric: The launched Fabric.
        average_gradients: Averages the gradients over the processes; None in a single one.
        clip_gradients: The largest norm of all gradients together; None does not clip.
        ema: The average of the weights, updated after each step; None without one.
        compiled: Whether to compile the loss and the making of a batch too.
    """

    def __init__(
        self,
        model: Callable[[Tensor], Tensor],
        optimizers: Optimizers,
        fabric_optimizers: list[torch.optim.Optimizer],
        batches: Batches,
        loss: Loss,
        fabric: Fabric,
        *,
        average_gradients: Callable[[], None] | None = None,
        clip_gradients: float | None = None,
        ema: Ema | None = None,
        compiled: bool = False,
    ) -> None:
        self._model, self._fabric, self._batches = model, fabric, batches
        self._optimizers, self._fabric_optimizers = optimizers, fabric_optimizers
        self._average_gradients = average_gradients
        self._clip_gradients, self._ema = clip_gradients, ema

        def loss_and_totals(logits: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
            mean = loss(logits, batch)
            return mean, batch_totals(mean, logits, batch.y)

        self._batch_at: Callable[[Tensor], Batch] = batches.at
        self._loss_and_totals = loss_and_totals
        if compiled:
            self._batch_at = torch.compile(batches.at, dynamic=False)
            self._loss_and_totals = torch.compile(loss_and_totals, dynamic=False)
        self._position = torch.zeros(1, dtype=torch.int64, device=fabric.device)
        self.totals = torch.zeros(3, dtype=torch.float64, device=fabric.device)

    def start_epoch(self, epoch: int) -> None:
        """Go to the first step of an epoch."""
        self._batches.start_epoch(epoch)
        self._position.zero_()
        self.totals.zero_()

    def __call__(self) -> None:
        """Train on one batch."""
        for optimizer in self._fabric_optimizers:
            optimizer.zero_grad()
        batch = self._batch_at(self._position)
        loss, totals = self._loss_and_totals(self._model(batch.x), batch)
        self._fabric.backward(loss)
        if self._average_gradients is not None:
            self._average_gradients()
        if self._clip_gradients is not None:
            clip_grad_norm_(self._optimizers.parameters, self._clip_gradients, foreach=True)
        for optimizer in self._fabric_optimizers:
            optimizer.step()
        if self._ema is not None:
            self._ema.update()
        self.totals += totals
        self._position += 1


class RecordedStep:
    """A step on a GPU that is recorded as a CUDA graph and replayed.

    The first steps run as usual, on a separate stream, so that libraries choose their kernels and
    optimizers create their state. The next step is recorded, which computes nothing; it and all
    later steps replay the recording. Operations between processes are recorded too: all processes
    record and replay the same steps.

    Args:
        step: The step to record, on a GPU.
    """

    def __init__(self, step: Callable[[], None]) -> None:
        self._step = step
        self._stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        self._graph: torch.cuda.CUDAGraph | None = None
        self._done = 0

    def __call__(self) -> None:
        """Train on one batch."""
        if self._done < _WARMUP_STEPS:
            self._stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(self._stream):
                self._step()
            torch.cuda.current_stream().wait_stream(self._stream)
            self._done += 1
            return
        if self._graph is None:
            self._graph = self._recorded()
        self._graph.replay()

    def close(self) -> None:
        """Release the recording; the connections between processes cannot be closed before."""
        if self._graph is not None:
            torch.cuda.synchronize()
            self._graph.reset()
            self._graph = None

    def _recorded(self) -> torch.cuda.CUDAGraph:
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        # The mode "global" forbids calls by other threads, such as NCCL's.
        mode = "thread_local" if is_distributed() else "global"
        with torch.cuda.graph(graph, stream=self._stream, capture_error_mode=mode):
            self._step()
        return graph
