"""One step of training: a batch forward and backward, and a step of the optimizers."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_

from bnnkit.training.batches import Batch, Batches
from bnnkit.training.evaluate import batch_totals
from bnnkit.training.launch import Fabric
from bnnkit.training.losses import Loss
from bnnkit.training.optimizers import Optimizers

_WARMUP_STEPS = 3


class Step:
    """The next step of an epoch, at each call.

    Nothing in it waits for the device, and all that changes from step to step is read from
    tensors there.

    Attributes:
        totals: Sums over the epoch, as of `batch_totals`; float64 (3,).

    Args:
        model: As Fabric has set it up, in training mode.
        optimizers: Of its parameters.
        fabric_optimizers: The same, as Fabric has set them up.
        batches: Of this process.
        loss: Of a batch.
        fabric: Launched.
        clip_gradients: The largest norm of all gradients together; None does not clip.
        compiled: Whether to compile the making of a batch and the loss, as the model is.
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
        clip_gradients: float | None = None,
        compiled: bool = False,
    ) -> None:
        self._model, self._fabric, self._batches = model, fabric, batches
        self._optimizers, self._fabric_optimizers = optimizers, fabric_optimizers
        self._clip_gradients = clip_gradients

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
        if self._clip_gradients is not None:
            clip_grad_norm_(self._optimizers.parameters, self._clip_gradients, foreach=True)
        for optimizer in self._fabric_optimizers:
            optimizer.step()
        self.totals += totals
        self._position += 1


class RecordedStep:
    """The same steps on a GPU, recorded as a CUDA graph once the first few have run.

    The first steps run as usual, on a stream of their own, so that libraries choose their kernels
    and optimizers make their states; the next one is recorded, which computes nothing, and
    replayed, as are all that follow.

    Args:
        step: On a GPU.
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

    def _recorded(self) -> torch.cuda.CUDAGraph:
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=self._stream):
            self._step()
        return graph
