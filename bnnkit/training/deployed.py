"""The network of a run as it would be deployed: averaged weights, re-estimated batch norms."""

from collections.abc import Iterator
from contextlib import contextmanager

from bnnkit.nn.recalibrate import recalibrate
from bnnkit.training.run_parts import RunParts


@contextmanager
def deployed(run: RunParts, epoch: int) -> Iterator[None]:
    """Give the network, between two epochs, the weights and batch norms that are evaluated.

    Without an average of the weights these are the network's own.

    Args:
        run: The parts of the run.
        epoch: Number of epochs done.
    """
    if run.ema is None:
        yield
        return
    with run.ema.in_network(epoch * run.batches.n_steps):
        recalibrate_run(run, epoch)
        yield


def recalibrate_run(run: RunParts, epoch: int) -> None:
    """Re-estimate the batch norms on inputs of the following epoch, augmented as in training.

    The inputs are the same in every process.

    Args:
        run: The parts of the run.
        epoch: Number of epochs done.
    """
    inputs = run.batches.calibration_batches(epoch + 1, run.config.recalibrate)
    recalibrate(run.network, inputs, run.mode, seed=run.config.seed)
