"""The true gradient of an expected loss, with its own sampling error."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, kw_only=True, eq=False)
class TrueGradient:
    """The gradient of the expected loss in all parameters, exact or averaged over samples.

    Attributes:
        value: The gradient, flattened, (P,).
        variance: The sum of the P variances of `value`, 0 if it is exact.
        method: "enumeration", "arm" or "reinforce".
        samples: The number of states or samples.
    """

    value: Tensor
    variance: float
    method: str
    samples: int
