"""Where the random numbers of a run come from: each epoch's from (seed, epoch) alone.

No state of a generator is ever stored, so a run that is continued after any epoch draws the same
numbers as one that was never stopped.
"""

import numpy as np
import torch
from torch import Tensor


def seed_initial_weights(seed: int) -> None:
    """Seed torch's generators for the initial weights."""
    torch.manual_seed(_derive(seed, 0))


def seed_epoch(seed: int, epoch: int, rank: int) -> None:
    """Seed torch's generators, of all devices, for the noise and augmentation of an epoch.

    Args:
        seed: The run's.
        epoch: From 1.
        rank: The process; each draws noise of its own.
    """
    torch.manual_seed(_derive(seed, epoch, rank))


def epoch_batches(seed: int, epoch: int, n_examples: int, batch_size: int) -> Tensor:
    """The batches of an epoch, in random order; the same on every device and in every process.

    Examples that fill no whole batch are left out: another choice in each epoch.

    Returns:
        Indices into the examples, int64 (batches, batch_size), on the CPU.
    """
    generator = torch.Generator().manual_seed(_derive(seed, epoch))
    order = torch.randperm(n_examples, generator=generator)
    n_batches = n_examples // batch_size
    return order[: n_batches * batch_size].reshape(n_batches, batch_size)


def _derive(seed: int, *path: int) -> int:
    """A seed of 64 bits that is independent of the seeds of all other paths."""
    return int(np.random.SeedSequence(seed, spawn_key=path).generate_state(1, np.uint64)[0])
