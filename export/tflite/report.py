"""What an export to TFLite chose, and what it costs."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Choice:
    """One layer that has no operator of its own in TFLite or Larq Compute Engine.

    Attributes:
        layer: Name of its value in the artifact.
        form: What stands in the file for it.
        reason: Why.
        extra_bytes: Of constants that the usual form would not need.
    """

    layer: str
    form: str
    reason: str
    extra_bytes: int


@dataclass(frozen=True)
class TfliteReport:
    """What is in the file; `dataclasses.asdict` makes it JSON.

    Attributes:
        batch: Images in a run; it is fixed.
        input_shape: With the batch, NHWC.
        operators: How many of each there are.
        choices: In the order of the graph.
        file_bytes: The whole file.
        artifact_bytes: The artifact it was made of, for comparison.
    """

    batch: int
    input_shape: tuple[int, ...]
    operators: dict[str, int]
    choices: tuple[Choice, ...]
    file_bytes: int
    artifact_bytes: int
