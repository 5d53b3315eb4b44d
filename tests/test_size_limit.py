"""The limit on a network while it is built from an untrusted configuration."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from bnnkit.errors import CheckpointError
from bnnkit.training.size_limit import OWN_GRACE_BYTES, size_limit

MOST = 4 * 100 + (64 << 20)


@pytest.mark.parametrize(
    "make",
    [
        lambda: torch.empty(MOST + 1, dtype=torch.uint8),
        lambda: torch.zeros(2**40, 2**40),
        lambda: torch.randn(2**62, 4),
        lambda: torch.ones(2**63),
        lambda: torch.eye(2**40),
        lambda: torch.linspace(0, 1, 2**63),
        lambda: torch.arange(2**70),
        lambda: nn.Module().register_buffer("b", torch.ones(1).expand(MOST)),
    ],
)
def test_what_is_too_large(make: Callable[[], object]) -> None:
    with size_limit(100, 1), pytest.raises(CheckpointError, match="a network larger than the"):
        make()


def test_what_is_just_small_enough() -> None:
    with size_limit(100, 1):
        assert torch.empty(MOST, dtype=torch.uint8).nbytes == MOST


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda: torch.ones(2, wrong=1), TypeError),  # type: ignore[call-overload]
        (lambda: torch.zeros(-1), RuntimeError),
        (lambda: torch.arange(0, 10, -1), RuntimeError),
    ],
)
def test_a_wrong_argument_is_not_called_large(
    make: Callable[[], Tensor], error: type[Exception]
) -> None:
    with size_limit(100, 1), pytest.raises(error):
        make()


def test_a_trusted_function_may_replace_large_layers() -> None:
    with size_limit(100, 1, grace_bytes=OWN_GRACE_BYTES):
        network = nn.Sequential(nn.Linear(8192, 8192))  # 256 MiB
        network[0] = nn.Linear(2, 2)
