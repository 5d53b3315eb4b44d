"""What the source rounds and the artifact does not."""

from dataclasses import dataclass


@dataclass(frozen=True)
class LostRounding:
    """Numbers of the source that are +-s but for rounding: in the artifact they are +-s.

    Attributes:
        name: Of the signs, or of the layer with the weights.
        deviation: The largest difference from +-s, relative to s; of signs, for inputs up to 8.
    """

    name: str
    deviation: float
