"""The global random generators of the CPU, from which data sets of others draw."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch.utils.data import get_worker_info


@contextmanager
def kept_generators() -> Iterator[None]:
    """Let the generators go on, after the block, from where they were.

    In a worker nothing else draws from them.
    """
    if get_worker_info() is not None:
        yield
        return
    kept = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    try:
        yield
    finally:
        random.setstate(kept[0])
        np.random.set_state(kept[1])  # noqa: NPY002
        torch.set_rng_state(kept[2])


def seed_generators(*path: int) -> None:
    """Seed the generators by numbers, each 0 or more; each path gives other random numbers."""
    words = np.random.SeedSequence(path).generate_state(2, np.uint32)
    random.seed(int(words[0]))
    np.random.seed(int(words[0]))  # noqa: NPY002
    torch.default_generator.manual_seed(int(words[0]) << 32 | int(words[1]))
