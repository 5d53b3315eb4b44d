"""Seed the random numbers of a run: those of an epoch depend on (seed, epoch) only.

No generator state is stored, so a run that is continued after any epoch draws the same numbers as
one that was never stopped.
"""

import numpy as np
import torch
from torch import Tensor


def seed_initial_weights(seed: int) -> None:
    """Seed torch's generators for the initial weights."""
    torch.manual_seed(_derive(seed, 0))


def seed_epoch(seed: int, epoch: int, rank: int = 0) -> None:
    """Seed torch's generators, of all devices, for an epoch.

    Every process draws the augmentation of whole batches with rank 0, and its own noise with its
    rank.

    Args:
        seed: The seed of the run.
        epoch: The epoch, from 1.
        rank: The rank of the process.
    """
    torch.manual_seed(_derive(seed, epoch, rank))


def epoch_batches(seed: int, epoch: int, n_examples: int, batch_size: int) -> Tensor:
    """Draw the batches of an epoch; they are the same on every device and in every process.

    The last examples of the order that do not fill a batch are left out; they differ by epoch.

    Returns:
        Indices into the examples, int64 (batches, batch_size), on the CPU.
    """
    generator = torch.Generator().manual_seed(_derive(seed, epoch))
    order = torch.randperm(n_examples, generator=generator)
    n_batches = n_examples // batch_size
    return order[: n_batches * batch_size].reshape(n_batches, batch_size)


def _derive(seed: int, *path: int) -> int:
    """Derive a 64-bit seed that is independent of the seeds of all other paths."""
    return int(np.random.SeedSequence(seed, spawn_key=path).generate_state(1, np.uint64)[0])
