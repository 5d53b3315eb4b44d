"""Make Fabric for a configuration (device, precision, processes), and silence its messages."""

import importlib.util
import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import nn

from bnnkit.errors import ConfigError
from bnnkit.training.config import Config

if TYPE_CHECKING or importlib.util.find_spec("lightning_fabric"):
    from lightning_fabric import Fabric
    from lightning_fabric.strategies.ddp import DDPStrategy
else:  # the same, where the whole of Lightning is installed
    from lightning.fabric import Fabric
    from lightning.fabric.strategies.ddp import DDPStrategy

__all__ = ["Fabric", "make_fabric", "quiet_libraries"]


class ReplicatedStrategy(DDPStrategy):
    """Every process has a copy of the network; `GradientAverage` keeps the copies equal.

    torch's DistributedDataParallel, which Fabric would wrap around the network, interrupts a
    compiled network between its buckets, and overwrites the batch norms' statistics with those of
    the first process.
    """

    def setup_module(self, module: nn.Module) -> nn.Module:  # type: ignore[override]
        """Return the module itself."""
        return module


_CHATTY = ("lightning_fabric", "lightning.fabric", "torch.distributed")


def make_fabric(config: Config) -> Fabric:
    """Make Fabric as the configuration says, not yet launched.

    Under torchrun, torchrun sets the numbers of processes.

    Raises:
        ConfigError: The machine has too few such devices, the precision needs another device, the
            batch cannot be divided evenly, or several machines are used without torchrun.
    """
    device = _device(config)
    devices, num_nodes = _world(config)
    if config.precision == "16-mixed" and device == "cpu":
        raise ConfigError("precision 16-mixed needs a GPU; on a CPU use bf16-mixed or 32-true")
    if config.precision == "16-mixed" and (config.latent or config.clip_gradients):
        raise ConfigError(
            "precision 16-mixed scales the loss for one optimizer and unclipped gradients; "
            "with latent or clip_gradients use bf16-mixed or 32-true"
        )
    if device == "cuda" and devices > torch.cuda.device_count():
        raise ConfigError(f"expected {devices} GPUs, this machine has {torch.cuda.device_count()}")
    if config.batch_size % (devices * num_nodes):
        raise ConfigError(
            f"batch_size {config.batch_size} cannot be shared evenly by {devices * num_nodes} "
            "processes; choose a multiple"
        )
    return Fabric(
        accelerator=device,
        strategy=ReplicatedStrategy() if devices * num_nodes > 1 else "auto",
        devices=devices,
        num_nodes=num_nodes,
        precision=config.precision,
    )


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Show only errors of Fabric and torch; their advice concerns choices that bnnkit makes."""
    loggers = [logging.getLogger(name) for name in _CHATTY]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        for pattern in (r"lightning", r"torch"):
            warnings.filterwarnings("ignore", module=pattern)
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


def _device(config: Config) -> str:
    if config.device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if config.device == "cuda" and not torch.cuda.is_available():
        raise ConfigError("device cuda: torch finds no GPU here; use device=cpu or device=auto")
    return config.device


def _world(config: Config) -> tuple[int, int]:
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        if config.num_nodes > 1:  # they would wait for each other forever
            raise ConfigError(
                f"num_nodes {config.num_nodes} needs torchrun, on every machine: "
                f"torchrun --nnodes {config.num_nodes} --nproc-per-node {config.devices} "
                "--rdzv-backend c10d --rdzv-endpoint HOST:29400 -m bnnkit train CONFIG --out DIR"
            )
        return config.devices, config.num_nodes
    local = int(os.environ["LOCAL_WORLD_SIZE"])
    return local, int(os.environ["WORLD_SIZE"]) // local
