"""Several processes of one run, each on its own device: errors and numbers that all of them share.

torchrun starts the processes, or Fabric does for `devices` above 1; they work together through
torch.distributed.
"""

import atexit
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import torch
from torch import distributed, nn

from bnnkit.errors import BnnkitError, OtherProcessError
from bnnkit.training.launch import Fabric

_WRONG_USE = 2


@contextmanager
def agreed(fabric: Fabric) -> Iterator[None]:
    """Raise in every process if one of them raises inside.

    All processes must come to this block, and none may wait for another one inside.

    Args:
        fabric: The launched Fabric.

    Raises:
        OtherProcessError: Another process raised; the one with the lowest rank reports its error.
    """
    error: Exception | None = None
    try:
        yield
    except Exception as found:  # whatever it is, the other processes must not wait
        if fabric.world_size == 1:
            raise
        error = found
    if fabric.world_size > 1:
        _raise_everywhere(fabric, error)


@contextmanager
def connected(fabric: Fabric) -> Iterator[None]:
    """Report a lost process as one, and end without waiting for it.

    Args:
        fabric: The launched Fabric.

    Raises:
        BnnkitError: Another process of the run ended or cannot be reached.
    """
    if fabric.world_size == 1:
        yield
        return
    atexit.register(_close)
    try:
        yield
    except BnnkitError:
        raise  # in every process
    except BaseException as error:
        atexit.register(_leave, _exit_code(error))
        if _is_lost_connection(error):
            raise BnnkitError(
                f"process {fabric.global_rank} lost its connection to another process of this "
                "run, which has probably ended; the same command continues the run after its last "
                "saved epoch"
            ) from error
        raise


def broadcast_network(network: nn.Module) -> None:
    """Give the network of every process the weights and statistics of the first one's."""
    for tensor in network.state_dict().values():
        sent = tensor.contiguous()
        distributed.broadcast(sent, 0)
        tensor.copy_(sent)


def _raise_everywhere(fabric: Fabric, error: Exception | None) -> None:
    rank, none = fabric.global_rank, fabric.world_size
    first = torch.tensor(none if error is None else rank, device=fabric.device)
    distributed.all_reduce(first, distributed.ReduceOp.MIN)
    if int(first) == rank and error is not None:
        raise error
    if int(first) < none:
        raise OtherProcessError(f"process {int(first)} of this run failed") from error


def is_distributed() -> bool:
    """Return whether this process is one of several that are connected."""
    return distributed.is_available() and distributed.is_initialized()


def _is_lost_connection(error: BaseException) -> bool:
    if not isinstance(error, RuntimeError):
        return False
    return isinstance(error, distributed.DistError) or "gloo" in str(error)


def _exit_code(error: BaseException) -> int:
    if isinstance(error, KeyboardInterrupt):
        return 128 + signal.SIGINT
    code = getattr(error, "code", None)
    return code if isinstance(code, int) else _WRONG_USE


def _close() -> None:
    """End the connections in order: gloo's threads would abort a process that ends before them."""
    if is_distributed():
        distributed.destroy_process_group()


def _leave(code: int) -> None:
    """End at once: a GPU would wait for a process that is gone, and torch for the GPU."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)
