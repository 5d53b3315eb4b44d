"""Where an artifact differs from the network that it was converted from."""

from dataclasses import dataclass


@dataclass(frozen=True)
class RemappedZero:
    """A `Sign` of ONNX whose input can be 0: it gives 0 there, and +1 in the artifact.

    Attributes:
        name: The name of the signs in the artifact.
        input: What it is the sign of: "an integer sum" or "a real value".
    """

    name: str
    input: str


@dataclass(frozen=True)
class ConstantZeros:
    """A `Sign` of ONNX with elements that are 0 for every input; they are 0 in the artifact too.

    Attributes:
        name: The name of the signs in the artifact.
        n_zeros: The number of elements that are 0, for one image.
        n_signs: The number of all elements.
    """

    name: str
    n_zeros: int
    n_signs: int


@dataclass(frozen=True)
class RoundingTie:
    """A sign that is +1 for sums whose sign in the source depends on rounding.

    Attributes:
        name: The name of the signs in the artifact.
        layer: The layer that gives the sum.
        channels: The number of its output channels with such a sum.
    """

    name: str
    layer: str
    channels: int


@dataclass(frozen=True)
class LostRounding:
    """Numbers that are +-s up to rounding in the source, and exactly +-s in the artifact.

    Attributes:
        name: The name of the signs, or of the layer with the weights.
        deviation: The largest difference from +-s, relative to s. For signs it is measured on
            inputs of magnitude 8 at most.
    """

    name: str
    deviation: float


@dataclass(frozen=True)
class TernaryWeights:
    """A layer with some weights of 0, which becomes two binary layers; this is exact.

    Attributes:
        name: The name of the layer.
        n_zeros: The number of weights that are 0.
        n_weights: The number of all weights of the layer.
    """

    name: str
    n_zeros: int
    n_weights: int


@dataclass(frozen=True)
class Differences:
    """All differences of one artifact from its source, and what was changed without one.

    Attributes:
        remapped: Signs that give +1 for a 0 for which the source gives 0, in some images.
        constant_zeros: Signs that are 0 at some elements in every image; this is exact.
        ties: Signs that are +1 for sums whose sign in the source depends on rounding.
        rounded_signs: Signs of a straight-through estimator, without its rounding.
        rounded_weights: Layers whose weights are +-s only up to rounding.
        weights_with_zeros: Layers whose weights are +-s or 0, as two binary layers.
    """

    remapped: tuple[RemappedZero, ...]
    constant_zeros: tuple[ConstantZeros, ...]
    ties: tuple[RoundingTie, ...]
    rounded_signs: tuple[LostRounding, ...]
    rounded_weights: tuple[LostRounding, ...]
    weights_with_zeros: tuple[TernaryWeights, ...]
