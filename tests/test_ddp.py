"""Layers in torch's `DistributedDataParallel`: two processes compute what one does."""

from pathlib import Path

import pytest
import torch
from ddp_processes import make, train, work
from torch import distributed
from torch.multiprocessing.spawn import spawn

pytestmark = pytest.mark.skipif(
    not distributed.is_available(), reason="this torch has no torch.distributed"
)


@pytest.mark.slow
def test_two_processes_have_the_network_of_one(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randint(256, (32, 12), dtype=torch.uint8, generator=generator)
    y = torch.randint(3, (32,), generator=generator)
    before, alone = make().state_dict(), make()
    train(alone, x, y)
    spawn(work, (tmp_path, x, y), nprocs=2)  # type: ignore[no-untyped-call]
    one, other = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in (0, 1))
    for name, wanted in alone.state_dict().items():
        assert torch.equal(one[name], other[name]), name
        torch.testing.assert_close(one[name], wanted, rtol=1e-4, atol=1e-5)
    changed = [name for name, tensor in before.items() if not torch.equal(one[name], tensor)]
    assert {"0.weight", "2.latent", "2.scale.value", "4.latent", "4.bias"} <= set(changed)
