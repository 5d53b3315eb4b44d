"""Evaluation with the noise of a sample, and the numbers of the signs that draw it."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from bnnkit.artifact.format.sample import Sample
from bnnkit.errors import UsageError
from bnnkit.nn.base.noise import Noise
from bnnkit.nn.layer_noise import draw
from bnnkit.nn.noisy_threshold import NoisyThreshold


@dataclass
class Sampling:
    """One forward pass with the noise of one sample.

    Attributes:
        sample: Which random numbers.
        thresholds: Noisy thresholds of the signs of integer sums, by layer.
        calls: Noisy signs so far; the number of the next layer.
    """

    sample: Sample
    thresholds: Mapping[int, NoisyThreshold] = field(default_factory=dict)
    calls: int = 0

    def is_plus(self, a: Tensor, noise: Noise) -> Tensor:
        """Where the next noisy sign is +1: bool, the shape of a, (N, C, ...)."""
        layer, self.calls = self.calls, self.calls + 1
        z = draw(noise, a.shape, self.sample, layer, a.device)
        threshold = self.thresholds.get(layer)
        return a >= z if threshold is None else threshold.is_plus(a, z)


@dataclass
class _Numbering:
    """The number of the next noisy sign in a pass that is traced for the export."""

    calls: int = 0


_sampling: ContextVar[Sampling | None] = ContextVar("sampling", default=None)
_numbering: ContextVar[_Numbering | None] = ContextVar("numbering", default=None)


@contextmanager
def sampling(
    sample: Sample | None, thresholds: Mapping[int, NoisyThreshold] | None = None
) -> Iterator[None]:
    """Noisy signs in evaluation mode draw their noise; to be entered for one forward pass.

    The layer of a sign is the number of its call since the context was entered, noisy signs alone
    counted. Signs without noise, weights, and modules in training mode are as ever.

    With a threshold, a sign compares the integers that the artifact compares, and gives the same
    bits as every engine. Without one it is a >= z, as the artifact has it for signs of real
    numbers; where the artifact compares integers, one sign in a million or fewer may differ, due
    to the rounding of a.

    Args:
        sample: Which random numbers; image n of the batch has the number image_offset + n. None
            is the deterministic network.
        thresholds: Noisy thresholds by layer, as `bnnkit.export.noisy_thresholds` gives.

    Raises:
        UsageError: After a pass in which no noisy sign drew (the network has none, is in training
            mode, or is compiled by torch.compile), or that lacks a sign which has a threshold.
    """
    state = None if sample is None else Sampling(sample, thresholds or {})
    token = _sampling.set(state)
    try:
        yield
    finally:
        _sampling.reset(token)
    if state is not None:
        _check(state)


def _check(state: Sampling) -> None:
    """Refuse a pass that drew nothing, or that lacks a sign for which a threshold is given."""
    if state.calls == 0:
        raise UsageError(
            "expected a network with noisy signs, in evaluation mode and not compiled, to draw "
            "samples from; none drew noise: use 0 samples"
        )
    without_sign = [layer for layer in state.thresholds if not 0 <= layer < state.calls]
    if without_sign:
        raise UsageError(
            f"expected thresholds of layers 0 to {state.calls - 1}, got one of {without_sign[0]}"
        )


def current_sampling() -> Sampling | None:
    """What the forward pass under way draws from; None in a deterministic one."""
    # A compiled network cannot look it up; `sampling` then finds that no sign was called.
    return None if torch.compiler.is_dynamo_compiling() else _sampling.get()


@contextmanager
def numbering(model: nn.Module) -> Iterator[None]:
    """In an export, marks of noisy signs bear their number in the forward pass of the model.

    The numbers begin at 0 in each pass, as torch may trace a model more than once.
    """
    state = _Numbering()

    def restart(module: nn.Module, inputs: tuple[Any, ...]) -> None:
        state.calls = 0

    token = _numbering.set(state)
    handle = model.register_forward_pre_hook(restart, prepend=True)
    try:
        yield
    finally:
        handle.remove()
        _numbering.reset(token)


def next_number() -> int | None:
    """The number of the noisy sign that is now traced; None outside of `numbering`."""
    state = None if torch.compiler.is_dynamo_compiling() else _numbering.get()
    if state is None:
        return None
    state.calls += 1
    return state.calls - 1
