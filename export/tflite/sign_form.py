"""How tensors of a TFLite file store signs, and the operators that work on them."""

from typing import TYPE_CHECKING, Any, Protocol

from numpy.typing import NDArray

from bnnkit.export.tflite.epilogue import Epilogue
from bnnkit.export.tflite.values import TfliteValue
from bnnkit.tflite.schema import Padding
from bnnkit.tflite.window import Window

if TYPE_CHECKING:
    from bnnkit.export.tflite.tflite_builder import TfliteBuilder


class SignForm(Protocol):
    """The form of signs in a variant of the file; -1 as padding stands for signs -1 in each."""

    @property
    def channel_unit(self) -> int:
        """Channels that an element holds; only whole elements can be concatenated or sliced."""

    @property
    def plus(self) -> float | None:
        """The padding that stands for +1; None for zeros."""

    def of_reals(
        self, builder: "TfliteBuilder", tensor: int, *, may_be_minus_zero: bool = False
    ) -> int:
        """Emit the signs of numbers (N, H, W, C): +1 if x >= 0."""

    def of_bools(self, builder: "TfliteBuilder", tensor: int) -> int:
        """Emit the signs of bools (N, H, W, C): +1 if true."""

    def to_numbers(self, builder: "TfliteBuilder", tensor: int, channels: int) -> int:
        """Emit signs as -1.0 and +1.0."""

    def to_elements(self, builder: "TfliteBuilder", tensor: int, channels: int) -> int:
        """Emit signs (N, H, W, C) with one element for each, -1 or +1."""

    def of_elements(self, builder: "TfliteBuilder", tensor: int) -> int:
        """Emit the signs of such elements (N, H, W, C)."""

    def max_pool(
        self, builder: "TfliteBuilder", tensor: int, window: Window, padding: Padding
    ) -> int:
        """Emit maxima of signs, in windows that SAME clips at the border."""

    def convolve(
        self,
        builder: "TfliteBuilder",
        x: TfliteValue,
        weight: NDArray[Any],
        window: Window,
        epilogue: Epilogue,
        n_groups: int,
    ) -> int:
        """Emit a convolution of signs with weights (O, KH, KW, I / groups); its pads are zeros."""
