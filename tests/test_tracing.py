"""To look at a model's forward pass leaves the model as it was."""

import copy
import threading
from collections.abc import Callable
from typing import Any

import pytest
import torch
from conv_bn_relu_networks import vgg
from torch import Tensor, nn

import bnnkit.nn as bnn
from bnnkit.errors import UsageError
from bnnkit.nn.tracing import traced


class Keeper(nn.Module):
    """Stores something in each place that its forward can reach."""

    steps: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Linear(4, 4), nn.Linear(4, 2)
        self.grid: Any = None
        self.calls, self.counts = 0, {"calls": {"all": 0}}
        self.seen: list[Any] = [1]
        self.lock = threading.Lock()
        self.register_buffer("steps", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        x = self.body(x)
        if self.grid is None:
            self.grid = torch.zeros_like(x[:1])
        self.calls += 1
        self.steps += 1
        self.seen.append(x)
        self.counts["calls"]["all"] += 1
        self.head.last = x
        y: Tensor = self.head(x + self.grid + torch.rand(4))
        return y


def kept(model: nn.Module) -> list[dict[str, str]]:
    return [{key: repr(value) for key, value in vars(one).items()} for one in model.modules()]


def test_what_a_forward_stores_is_dropped() -> None:
    model = Keeper()
    before, containers = kept(model), (model.seen, model.counts)
    random = torch.random.get_rng_state()
    assert traced(model) is not None
    assert kept(model) == before
    assert (model.seen, model.counts) == ([1], {"calls": {"all": 0}})
    assert containers[0] is model.seen
    assert containers[1] is model.counts
    assert torch.equal(random, torch.random.get_rng_state())


class Stops(Keeper):
    """Makes a layer in its forward, which torch.fx cannot trace."""

    def forward(self, x: Tensor) -> Tensor:
        y = super().forward(x)
        if not hasattr(self, "gate"):
            self.gate = nn.Linear(2, 2)
        added: Tensor = y + self.gate(y)
        return added


@pytest.mark.parametrize("make", [Keeper, Stops])
@pytest.mark.parametrize("options", [{"layers": ["head"]}, {"preset": "conv-bn-relu"}])
def test_binarize_leaves_what_a_model_stores(
    make: Callable[[], Keeper], options: dict[str, Any]
) -> None:
    model = make()
    if "preset" in options:
        with pytest.raises(UsageError):
            bnn.binarize_(model, **options)
    else:
        bnn.binarize_(model, **options)
    assert (model.grid, model.calls, model.seen, float(model.steps)) == (None, 0, [1], 0)
    assert not hasattr(model, "gate")
    torch.manual_seed(0)
    assert bool(model(torch.ones(3, 4)).isfinite().all())
    assert isinstance(model.grid, Tensor)


def test_hooks_are_not_called() -> None:
    model, seen = vgg(), []
    model.get_submodule("features").register_forward_hook(lambda m, x, y: seen.append(y))
    model.get_submodule("features").register_forward_pre_hook(lambda m, x: seen.append(x))
    twin = copy.deepcopy(model)
    bnn.binarize_(model, preset="conv-bn-relu")
    assert seen == []
    model(torch.ones(2, 1, 8, 8))
    twin(torch.ones(2, 1, 8, 8))
    assert len(seen) == 4
