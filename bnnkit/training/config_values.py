"""The types of the values of a configuration, and what pydantic checks of them."""

from itertools import pairwise
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from bnnkit.data.own_code import is_own

Count = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, lt=1)]
LearningRate = Annotated[float, Field(gt=0, le=1000)]
Decay = Annotated[float, Field(ge=0)]
Momentum = Annotated[float, Field(ge=0, lt=1)]
Augment = Literal["none", "crop", "crop-flip", "crop-flip-uniform"]
Policy = Literal["rand-augment", "trivial-augment", "auto-augment-cifar10", "aug-mix"]
LossName = Literal["cross-entropy", "multi-label", "mse", "l1", "huber"]


def _own_or(*names: str) -> AfterValidator:
    """Return a check that text is one of these names, or of the form module:function."""

    def check(name: str) -> str:
        if name not in names and not is_own(name):
            listed = ", ".join(repr(known) for known in names)
            raise ValueError(f"{listed} or your own function as module:function")
        return name

    return AfterValidator(check)


OptimizerName = Annotated[str, _own_or("adam", "adamw", "sgd")]
ScheduleName = Annotated[str, _own_or("cosine", "linear", "steps", "constant")]


def _ascending(points: list[tuple[int, float]]) -> list[tuple[int, float]]:
    if any(first >= second for (first, _), (second, _) in pairwise(points)):
        raise ValueError("[epoch, scale] pairs with ascending epochs")
    return points


NoiseScale = Annotated[
    list[tuple[Count, Annotated[float, Field(ge=0, le=1000)]]],
    Field(min_length=1),
    AfterValidator(_ascending),
]
