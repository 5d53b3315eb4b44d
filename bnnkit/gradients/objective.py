"""The expected loss of a network with stochastic signs, and control over their values."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd

from bnnkit.errors import UsageError
from bnnkit.nn.binary_weight import BinaryWeight
from bnnkit.nn.sign import Sign

Batch = TypeVar("Batch")
Choose = Callable[[Sign, Tensor], Tensor]
"""A function from a sign and its input a to the signs x that it returns instead of its own."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Objective(Generic[Batch]):
    """E[L]: the mean loss of the examples of a batch, expected over the noise of all signs.

    Signs with the noise "none", and binary weights, which must have no noise, keep the gradient
    of their estimator and rule, in the true gradient too.

    Attributes:
        model: The network, in training mode, with `bnnkit.nn.Sign` layers that have a noise.
        loss: Runs the model on a batch of N examples and returns their losses, (N,).
        parameters: Those whose gradient is measured; all of the model that require one by default.

    Raises:
        UsageError: If no sign has noise, signs are in evaluation mode, or something other than
            the signs makes the losses random or couples examples: drawn weights, dropout, batch
            norms in training mode.
    """

    model: nn.Module
    loss: Callable[[Batch], Tensor]
    parameters: Sequence[Tensor] = field(default=())

    def __post_init__(self) -> None:
        if not self.parameters:
            parameters = [p for p in self.model.parameters() if p.requires_grad]
            object.__setattr__(self, "parameters", parameters)
        if not self.signs:
            raise UsageError(
                "expected a model with bnnkit.nn.Sign layers that have a noise, found none; "
                "without noise the loss has no expectation to differentiate"
            )
        if not all(sign.training for sign in self.signs):
            raise UsageError(
                "expected signs in training mode, where their noise is drawn; call model.train(), "
                "then .eval() of batch norms and dropout"
            )
        for name, module in self.model.named_modules():
            _check_is_independent(name, module)

    @property
    def signs(self) -> list[Sign]:
        """The signs that have a noise."""
        modules = self.model.modules()
        return [m for m in modules if isinstance(m, Sign) and m.noise.name != "none"]

    def losses(self, batch: Batch) -> Tensor:
        """Run the model and return the losses of the N examples, (N,).

        Raises:
            UsageError: If the loss returns something else.
        """
        losses = self.loss(batch)
        if losses.dim() != 1:
            raise UsageError(
                "expected the loss to return one number for each example, shape (N,), got shape "
                f"{tuple(losses.shape)}; use reduction='none'"
            )
        return losses

    def gradient(self, value: Tensor) -> Tensor:
        """Return the gradient of a number in all parameters, flattened, (P,)."""
        found = torch.autograd.grad(
            value, self.parameters, retain_graph=True, allow_unused=True, materialize_grads=True
        )
        return torch.cat([gradient.flatten() for gradient in found])

    @contextmanager
    def choosing(self, choose: Choose) -> Iterator[None]:
        """Let a function choose what signs with noise return, in the order of their calls."""

        def hook(sign: nn.Module, args: Any, kwargs: Any, output: Tensor) -> Tensor:
            assert isinstance(sign, Sign)
            return choose(sign, (*args, *kwargs.values())[0])

        handles = [sign.register_forward_hook(hook, with_kwargs=True) for sign in self.signs]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def inputs(self, batch: Batch) -> list[tuple[Sign, Tensor]]:
        """Run the model once and return each call of a noisy sign, with its input (N, ...)."""
        calls: list[tuple[Sign, Tensor]] = []

        def record(sign: Sign, a: Tensor) -> Tensor:
            calls.append((sign, a))
            return torch.where(a >= 0, 1, -1).to(a.dtype)

        with self.choosing(record):
            n_examples = len(self.losses(batch))
        for _, a in calls:
            if len(a) != n_examples:
                raise UsageError(
                    f"expected inputs of signs with the {n_examples} examples of the loss in the "
                    f"first axis, got shape {tuple(a.shape)}"
                )
        return calls


def _check_is_independent(name: str, module: nn.Module) -> None:
    if not module.training:
        return
    if isinstance(module, BinaryWeight) and module.noise.name != "none":
        raise UsageError(
            f"{name} draws weights, so the loss does not depend on the signs alone; measure with "
            'a rule without noise, such as weight_rule="binary-connect"'
        )
    if isinstance(module, _BatchNorm):
        raise UsageError(
            f"{name} is a batch norm in training mode, whose statistics make the loss of an "
            "example depend on the signs of others; call its .eval()"
        )
    if isinstance(module, _DropoutNd) and module.p > 0:
        raise UsageError(f"{name} is dropout, which makes the loss random; call its .eval()")
