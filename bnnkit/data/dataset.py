"""The type of a data set, with its checks, and the fixed split into training and test data."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnnkit.data.examples import ArrayExamples
from bnnkit.data.targets import TargetKind, check_targets, kind_of
from bnnkit.errors import UsageError
from bnnkit.images.preprocessing import Preprocessing

TEST_FRACTION = 0.2


@dataclass(frozen=True, kw_only=True, eq=False)
class Dataset:
    """Labelled examples for training and for testing.

    N is the number of examples, C, H and W an image's channels, height and width, F a number of
    features, T a number of time steps, K the number of classes, labels or values.

    Attributes:
        name: The name of the data set, for example "mnist".
        x_train: Images, uint8 (N, C, H, W); or real inputs, float32 (N, F), (N, C, T) or
            (N, C, H, W).
        y_train: Class indices, int64 (N,), from 0 to K - 1; labels that may hold together, uint8
            (N, K), 0 or 1; or real values, float32 (N, K).
        x_test: As `x_train`.
        y_test: As `y_train`.
        classes: The names of the classes, labels or values, K.
        preprocessing: How an image file becomes one of the inputs, which exported files then
            store; None for the rule of docs/artifact.md (Images).

    Raises:
        UsageError: If an array has another dtype or shape, contains NaN or infinity, or a target
            is out of range.
    """

    name: str
    x_train: NDArray[Any]
    y_train: NDArray[Any]
    x_test: NDArray[Any]
    y_test: NDArray[Any]
    classes: tuple[str, ...]
    preprocessing: Preprocessing | None = None

    def __post_init__(self) -> None:
        for part in ("train", "test"):
            x, y = getattr(self, f"x_{part}"), getattr(self, f"y_{part}")
            _check_plain(x, f"x_{part}")
            _check_plain(y, f"y_{part}")
            check_inputs(x, f"x_{part}")
            check_targets(y, f"y_{part}", len(x), len(self.classes))
        if (
            self.x_train.shape[1:] != self.x_test.shape[1:]
            or self.x_train.dtype != self.x_test.dtype
        ):
            raise UsageError(
                f"x_test is {_describe(self.x_test)}, x_train {_describe(self.x_train)}: "
                "they must have one dtype and one shape after the first axis"
            )
        if self.y_train.dtype != self.y_test.dtype:
            raise UsageError(
                f"y_test is {_describe(self.y_test)}, y_train {_describe(self.y_train)}: "
                "they must have one dtype"
            )

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one example: (C, H, W), (C, T) or (F,)."""
        return self.x_train.shape[1:]

    @property
    def train(self) -> ArrayExamples:
        """The examples for training."""
        return ArrayExamples(self.x_train, self.y_train)

    @property
    def test(self) -> ArrayExamples:
        """The examples for testing."""
        return ArrayExamples(self.x_test, self.y_test)

    @property
    def input_dtype(self) -> str:
        """The dtype of the inputs, "uint8" or "float32"."""
        return str(self.x_train.dtype)

    @property
    def targets(self) -> TargetKind:
        """What there is to learn: "classes", "labels" or "values"."""
        kind = kind_of(self.y_train)
        assert kind is not None  # it was checked
        return kind

    @property
    def counts_from_one(self) -> bool:
        """Whether no label is 0 and no class is named, so that labels seem to be 1 to K."""
        if self.targets != "classes":
            return False
        smallest = min(int(self.y_train.min()), int(self.y_test.min()))
        return smallest == 1 and self.classes == tuple(map(str, range(len(self.classes))))

    @cached_property
    def zero_point(self) -> tuple[int, ...] | None:
        """The rounded mean of the training images in each channel, C integers in 0..255.

        The first layer subtracts it, so that padding with this value is padding with zeros. None
        for real inputs.
        """
        if self.x_train.dtype != np.uint8:
            return None
        sums = self.x_train.sum(axis=(0, 2, 3), dtype=np.int64)
        pixels = self.x_train.size // self.x_train.shape[1]
        return tuple(int(value) for value in np.rint(sums / pixels))


def split(n_examples: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Split examples into 80 % for training and 20 % for testing, always in the same way.

    The order is that of raw PCG64 words, because NumPy guarantees the stream of a bit generator,
    but not that of `Generator.permutation`.

    Returns:
        Indices into the N examples, int64.

    Raises:
        UsageError: If there are fewer than 2 examples.
    """
    if n_examples < 2:
        raise UsageError(
            f"a split into training and test needs 2 examples or more, got {n_examples}"
        )
    words = np.random.PCG64(0).random_raw(n_examples)
    order = np.argsort(words, kind="stable").astype(np.int64)
    n_test = max(1, int(n_examples * TEST_FRACTION))
    return order[n_test:], order[:n_test]


def as_inputs(x: NDArray[Any]) -> NDArray[Any]:
    """Return inputs in the form that a data set holds.

    Args:
        x: Images, uint8 (N, C, H, W) or gray (N, H, W), or real inputs of any float dtype; other
            arrays are returned as they are.
    """
    if x.dtype == np.uint8 and x.ndim == 3:
        return x[:, None]
    if np.issubdtype(x.dtype, np.floating):
        with np.errstate(over="ignore"):  # overflow becomes infinite, which is reported
            return x.astype(np.float32)
    return x


def _check_plain(array: NDArray[Any], name: str) -> None:
    if isinstance(array, np.ma.MaskedArray):
        raise UsageError(
            f"{name} is a masked array; expected a plain one: leave the masked examples out, or "
            f"fill them, as with {name}.filled(0)"
        )


def check_inputs(x: NDArray[Any], name: str) -> None:
    """Check inputs, N of them, in the form that a data set holds.

    Args:
        x: The inputs.
        name: The name of the array, for the message.

    Raises:
        UsageError: If they have another form, or hold NaN or infinity.
    """
    if not any(matches(x) for matches in _INPUT_KINDS):
        raise UsageError(
            f"{name} is {_describe(x)}; expected images, uint8 (N, C, H, W), or real inputs, "
            "float32 (N, F), (N, C, T) or (N, C, H, W)"
        )
    if _has_channels_last(x):
        raise UsageError(
            f"{name} has shape {x.shape}, which are images (N, H, W, C); "
            "expected (N, C, H, W): use x.transpose(0, 3, 1, 2)"
        )
    if x.size == 0:
        raise UsageError(f"{name} is empty: its shape is {x.shape}")
    if x.dtype == np.float32 and not np.isfinite(x).all():
        n_bad = int(x.size - np.isfinite(x).sum())
        raise UsageError(
            f"{name} holds {n_bad} values that are NaN or infinite; expected finite numbers"
        )


_INPUT_KINDS: tuple[Callable[[NDArray[Any]], bool], ...] = (
    lambda x: x.dtype == np.uint8 and x.ndim == 4,
    lambda x: x.dtype == np.float32 and x.ndim in (2, 3, 4),
)


def _has_channels_last(x: NDArray[Any]) -> bool:
    """Return whether uint8 images are more than 4 pixels wide and have channels last."""
    return x.dtype == np.uint8 and x.shape[3] in (1, 3, 4) and min(x.shape[1:3]) > 4


def _describe(array: NDArray[Any]) -> str:
    return f"{array.dtype} {array.shape}"
