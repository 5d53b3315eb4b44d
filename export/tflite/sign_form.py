"""How signs lie in the tensors of a TFLite file, and the operators that work on them."""

from typing import TYPE_CHECKING, Any, Protocol

from numpy.typing import NDArray

from bnnkit.export.tflite.epilogue import Epilogue
from bnnkit.export.tflite.values import Value
from bnnkit.tflite.schema import Padding
from bnnkit.tflite.window import Window

if TYPE_CHECKING:
    from bnnkit.export.tflite.tflite_builder import TfliteBuilder


class SignForm(Protocol):
    """What a file's variant makes of signs; -1 pads a map with -1 in each."""

    @property
    def channel_unit(self) -> int:
        """Channels that an element holds: only whole ones stand behind one another."""

    @property
    def plus(self) -> float | None:
        """What pads a map with +1; None for zeros."""

    def of_reals(
        self, builder: "TfliteBuilder", tensor: int, *, may_be_minus_zero: bool = False
    ) -> int:
        """The signs of numbers (N, H, W, C): +1 where x >= 0."""

    def of_truths(self, builder: "TfliteBuilder", tensor: int) -> int:
        """Signs: +1 where a BOOL (N, H, W, C) is true."""

    def to_numbers(self, builder: "TfliteBuilder", tensor: int, channels: int) -> int:
        """Signs as -1.0 and +1.0."""

    def to_elements(self, builder: "TfliteBuilder", tensor: int, channels: int) -> int:
        """Signs (N, H, W, C), each an element of its own, -1 or +1."""

    def of_elements(self, builder: "TfliteBuilder", tensor: int) -> int:
        """The signs of such elements (N, H, W, C)."""

    def max_pool(
        self, builder: "TfliteBuilder", tensor: int, window: Window, padding: Padding
    ) -> int:
        """The sign of the maximum of a window, which SAME clips at the border."""

    def convolve(
        self,
        builder: "TfliteBuilder",
        x: Value,
        weight: NDArray[Any],
        window: Window,
        epilogue: Epilogue,
        n_groups: int,
    ) -> int:
        """A convolution of signs with weights (O, KH, KW, I / groups); its pads are zeros."""
