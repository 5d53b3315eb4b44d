"""Activations of 2 to 4 bits: a sum of signs with equally spaced thresholds."""

from typing import Any, Final

import torch
from torch import Tensor, nn

from bnnkit.errors import UsageError
from bnnkit.nn.base import arguments
from bnnkit.nn.base.noise import Noise, get_noise
from bnnkit.nn.base.placement import Device, convert
from bnnkit.nn.base.straight_through import as_signs, straight_through
from bnnkit.nn.estimators import Estimator, get_estimator

BITS: Final = (2, 3, 4)
_SIGNED_STEPS: Final = {2: 0.9957, 3: 0.5860, 4: 0.3352}
_UNSIGNED_STEPS: Final = {2: 0.6508, 3: 0.3534, 4: 0.1932}
"""The steps with the least squared error for a ~ N(0, 1), as behind a batch norm; without a sign,
for max(a, 0). The first are those of Max, Quantizing for Minimum Distortion, 1960, table II."""


class Quantize(nn.Module):
    r"""Round activations to one of $2^b$ levels, so that binary layers take them as b bit planes.

    With $L = 2^b - 1$ and the step s, the output is

    - signed: the odd integer in [-L, L] nearest to $2a / s$, thresholds ..., -s, 0, s, ...
    - unsigned: the integer in [0, L] nearest to $a / s$, thresholds s/2, 3s/2, ...

    and at a threshold the greater one. Both are integers, so that sums of a binary layer are exact
    in float32; a batch norm behind the layer takes care of the scale. With one bit, step 2 and
    signs this is `Sign`.

    In training an estimator that draws noise ("st") draws one z for each activation, in units of
    half a step, which moves all its thresholds: with uniform noise this is stochastic rounding,
    whose mean is a between the outer levels. The derivative is the sum of the estimator's
    derivatives at the thresholds; for uniform noise it is 1 up to the outer levels and 0 beyond,
    the straight-through estimator of DoReFa and LSQ. Evaluation is deterministic.

    Input a: any shape, any floating-point dtype. Output: same shape and dtype.

    Args:
        bits: b, 2 to 4.
        signed: Whether the levels are symmetric around 0; else they start at 0, as behind a ReLU.
        step: s, above 0; None is the best for normally distributed a.
        learned: Whether s is a parameter, which starts at `step`. Its gradient is scaled as in
            LSQ, by $1 / \sqrt{Ln}$ for n activations in the batch.
        noise: A noise or its name.
        estimator: An estimator with an elementwise derivative, or its name.
        device: Where the step is made; None is torch's default.
        dtype: Its floating-point dtype; None is torch's default, float32.
        options: The options of an estimator given by name.

    Raises:
        UsageError: If the number of bits or the step is out of range; the noise, the estimator or
            an option is unknown, or they cannot be combined; the estimator has no elementwise
            derivative; in forward, if the input has an integer dtype.

    References:
        Zhou et al., DoReFa-Net, 2016, https://arxiv.org/abs/1606.06160; Esser et al., Learned Step
        Size Quantization, ICLR 2020, https://arxiv.org/abs/1902.08153.
    """

    def __init__(
        self,
        bits: int = 2,
        signed: bool = True,
        step: float | None = None,
        learned: bool = False,
        noise: str | Noise = "uniform",
        estimator: str | Estimator = "deterministic-st",
        device: Device = None,
        dtype: torch.dtype | None = None,
        **options: Any,
    ) -> None:
        super().__init__()
        self.bits, self.signed = _checked_bits(bits), arguments.flag("signed", signed)
        self.noise = get_noise(noise)
        self.estimator = get_estimator(estimator, options)
        self.estimator.check(self.noise)
        if type(self.estimator).propagate is not Estimator.propagate:
            raise UsageError(
                "expected an estimator with an elementwise derivative for Quantize, such as"
                f" deterministic-st, st or clipped-identity, got {self.estimator.name}"
            )
        initial = (_SIGNED_STEPS if signed else _UNSIGNED_STEPS)[bits] if step is None else step
        if arguments.real("a step", initial) == 0:
            raise UsageError("expected a step above 0, got 0")
        size = torch.tensor(float(initial), device=device)
        if arguments.flag("learned", learned):
            self.step: Tensor = nn.Parameter(size)
        else:
            self.register_buffer("step", size)
        convert(self, dtype)

    def forward(self, a: Tensor) -> Tensor:
        """Compute the level of each activation."""
        if not a.is_floating_point():
            raise UsageError(
                f"expected a floating-point input of Quantize, got {a.dtype}; convert it with"
                " .float()"
            )
        u = a / self._step(a)
        if torch.onnx.is_in_onnx_export():
            return self._mark(u)
        z = None
        if self.training and self.estimator.draws_noise:
            z = self.noise.sample(u) / 2
        # `bucketize` warns of other layouts, such as channels last, and copies them.
        drawn = (u if z is None else u - z).contiguous()
        count = torch.bucketize(drawn, self._thresholds(drawn), right=True)
        level = count.to(a.dtype)
        level = level * 2 - self._n_thresholds if self.signed else level
        return straight_through(u, level, self._derivative)

    @property
    def _n_thresholds(self) -> int:
        return int(2**self.bits) - 1

    def _thresholds(self, like: Tensor) -> Tensor:
        """The thresholds in units of the step, ascending, with the dtype and device of `like`.

        They are not a buffer: it would have no values in a module made on the device "meta".
        """
        lowest = 1 - 2 ** (self.bits - 1) if self.signed else 0.5
        end = lowest + self._n_thresholds
        return torch.arange(lowest, end, dtype=like.dtype, device=like.device)

    def _step(self, a: Tensor) -> Tensor:
        if not (self.training and isinstance(self.step, nn.Parameter)):
            return self.step.to(a.dtype)
        factor = (self._n_thresholds * max(1, a.numel())) ** -0.5
        scaled: Tensor = self.step * factor
        return (scaled + (self.step - scaled).detach()).to(a.dtype)

    def _derivative(self, u: Tensor) -> Tensor | float:
        """The derivative of the level with respect to u = a / s, u in float32 or float64."""
        per_unit = 2.0 if self.signed else 1.0
        total: Tensor | float = 0.0
        for threshold in self._thresholds(u):
            # The derivatives of a sign are in units of half a step.
            one = self.estimator.jacobian(2 * (u - threshold), self.noise)
            if isinstance(one, float):
                return one * per_unit  # the identity, at every threshold the same
            total = total + one
        return total * per_unit

    def _mark(self, u: Tensor) -> Tensor:
        scale, shift = (1.0, 0.0) if self.signed else (0.5, self._n_thresholds / 2)
        attributes: dict[str, Any] = {"scale": scale, "shift": shift}
        marked: Tensor = torch.onnx.ops.symbolic(
            "bnnkit::Quantize",
            (u, self._thresholds(u)),
            attributes,
            dtype=u.dtype,
            shape=u.shape,
            version=1,
        )
        return marked

    def stored_signs(self, a: Tensor) -> dict[str, tuple[Tensor, Tensor]]:
        """Return the signs that a file stores of an input in evaluation, and their numbers.

        Returns:
            By name: +1 and -1 (docs/artifact.md, Activations with few bits), and the number that
            the sign is of, for a plane the nearest to 0 of those of all levels.
        """
        u = a / self.step
        # Files compare -u if the levels start at 0.
        numbers = [u - t if self.signed else t - u for t in self._thresholds(u)]
        numbers = numbers if self.signed else numbers[::-1]
        reached = [n >= 0 if self.signed else n > 0 for n in numbers]
        found = {
            f"level{index}": (as_signs(is_plus, a.dtype), number)
            for index, (is_plus, number) in enumerate(zip(reached, numbers, strict=True), 1)
        }
        level = torch.stack(reached).sum(0)
        nearest = torch.stack(numbers).abs().amin(0)
        for bit in range(self.bits - 1):
            found[f"plane{bit}"] = as_signs((level >> bit) & 1 > 0, a.dtype), nearest
        return found

    def extra_repr(self) -> str:
        """Return the arguments for print(model)."""
        return (
            f"bits={self.bits}, signed={self.signed}, noise={self.noise.name!r},"
            f" estimator={self.estimator.name!r}"
        )


def _checked_bits(bits: int) -> int:
    if arguments.integer("bits", bits) not in BITS:
        raise UsageError(
            f"expected 2 to 4 bits of Quantize, got {bits}; Sign has one bit, and with more than 4"
            " int8 is as fast"
        )
    return int(bits)
