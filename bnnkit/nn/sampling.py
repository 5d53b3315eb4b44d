"""Evaluation with the noise of a sample, and the numbering of noisy signs."""

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
        sample: Which random numbers to use.
        thresholds: The noisy thresholds of signs of integer sums, by layer.
        calls: The number of noisy signs so far, which is the number of the next layer.
    """

    sample: Sample
    thresholds: Mapping[int, NoisyThreshold] = field(default_factory=dict)
    calls: int = 0

    def is_plus(self, a: Tensor, noise: Noise) -> Tensor:
        """Return where the next noisy sign is +1: bool, of the shape of a, (N, C, ...)."""
        layer, self.calls = self.calls, self.calls + 1
        z = draw(noise, a.shape, self.sample, layer, a.device)
        threshold = self.thresholds.get(layer)
        return a >= z if threshold is None else threshold.is_plus(a, z)


@dataclass
class _Numbering:
    """The number of the next noisy sign in a pass that the export traces."""

    calls: int = 0


_sampling: ContextVar[Sampling | None] = ContextVar("sampling", default=None)
_numbering: ContextVar[_Numbering | None] = ContextVar("numbering", default=None)


@contextmanager
def sampling(
    sample: Sample | None, thresholds: Mapping[int, NoisyThreshold] | None = None
) -> Iterator[None]:
    """Let noisy signs in evaluation mode draw their noise; enter it for one forward pass.

    The layer of a sign is the number of its call since the context was entered; only noisy signs
    count. Signs without noise, weights, and modules in training mode are not affected.

    With a threshold, a sign compares the same integers as the artifact and computes the same bits
    as every engine. Without one it computes a >= z, as the artifact does for signs of real
    numbers. Where the artifact compares integers, at most one sign in a million may then differ
    because of the rounding of a.

    Args:
        sample: Which random numbers to use; image n of the batch has the number image_offset + n.
            None is the deterministic network.
        thresholds: The noisy thresholds by layer, from `bnnkit.export.noisy_thresholds`.

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
    """Raise UsageError if a pass drew no noise, or lacks a sign that has a threshold."""
    if state.calls == 0:
        raise UsageError(
            "expected a network with noisy signs, in evaluation mode and not compiled, to draw "
            "samples from; none drew noise: use 0 samples"
        )
    without_sign = [layer for layer in state.thresholds if not 0 <= layer < state.calls]
    if without_sign:
        raise UsageError(
            f"expected thresholds of layers 0 to {state.calls - 1}, got one of {without_sign[0]}, "
            "which no noisy sign of this pass has as its number"
        )


def current_sampling() -> Sampling | None:
    """Return the sampling of the current forward pass; None if it is deterministic."""
    # A compiled network cannot look it up; `sampling` then finds that no sign was called.
    return None if torch.compiler.is_dynamo_compiling() else _sampling.get()


@contextmanager
def numbering(model: nn.Module) -> Iterator[None]:
    """Number the noisy signs in the forward pass of a model that the export traces.

    The numbers begin at 0 in each pass, because torch may trace a model more than once.
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
    """Return the number of the noisy sign that is being traced; None outside of `numbering`."""
    state = None if torch.compiler.is_dynamo_compiling() else _numbering.get()
    if state is None:
        return None
    state.calls += 1
    return state.calls - 1
