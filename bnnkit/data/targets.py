"""What a network learns to give for an input: a class, labels each on its own, or real values."""

from typing import Any, Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from bnnkit.errors import UsageError

TargetKind = Literal["classes", "labels", "values"]
"""Of each example: one of K classes; K labels, each of which holds or not; or K real values."""
TARGET_KINDS: Final[tuple[TargetKind, ...]] = get_args(TargetKind)
EXPECTED: Final = (
    "expected the classes' indices as integers, (N,); labels of 0 and 1 as integers or booleans, "
    "(N, K); or real values, (N,) or (N, K)"
)


def kind_of(y: NDArray[Any]) -> TargetKind | None:
    """Return the kind of targets in the form that a data set holds; None for another form.

    Args:
        y: Class indices, int64 (N,); labels, uint8 (N, K); or values, float32 (N, K).
    """
    forms: dict[tuple[np.dtype[Any], int], TargetKind] = {
        (np.dtype(np.int64), 1): "classes",
        (np.dtype(np.uint8), 2): "labels",
        (np.dtype(np.float32), 2): "values",
    }
    return forms.get((y.dtype, y.ndim))


def as_targets(y: NDArray[Any], name: str) -> NDArray[Any]:
    """Return targets in the form that a data set holds.

    Args:
        y: Integers (N,); integers or booleans (N, K); or real numbers of any float dtype, (N,) or
            (N, K).
        name: The name of the array, for the message.

    Raises:
        UsageError: If it is none of these, or a label is neither 0 nor 1.
    """
    if np.issubdtype(y.dtype, np.integer) and y.ndim == 1:
        return y.astype(np.int64)
    if y.dtype == np.bool_ and y.ndim == 2:
        return y.astype(np.uint8)
    if np.issubdtype(y.dtype, np.integer) and y.ndim == 2:
        _check_labels(y, name)
        return y.astype(np.uint8)
    if np.issubdtype(y.dtype, np.floating) and y.ndim in (1, 2):
        with np.errstate(over="ignore"):  # overflow becomes infinite, which is reported
            return y.astype(np.float32).reshape(len(y), -1)
    raise UsageError(f"{name} is {y.dtype} {y.shape}; {EXPECTED}")


def check_targets(y: NDArray[Any], name: str, n_examples: int, n_classes: int) -> None:
    """Check targets in the form that a data set holds.

    Args:
        y: The targets.
        name: The name of the array, for the message.
        n_examples: N.
        n_classes: K, the number of classes, labels or values.

    Raises:
        UsageError: If they have another form, or a target is out of range.
    """
    kind = kind_of(y)
    if kind is None or len(y) != n_examples:
        raise UsageError(
            f"{name} is {y.dtype} {y.shape}; expected one label an example, int64 "
            f"({n_examples},), or labels, uint8 ({n_examples}, K), or values, float32 "
            f"({n_examples}, K)"
        )
    if kind == "classes":
        _check_classes(y, name, n_classes)
        return
    if y.shape[1] != n_classes:
        raise UsageError(
            f"{name} has shape {y.shape}, but classes names {n_classes} {kind}: expected a name "
            "for each column"
        )
    if kind == "labels":
        _check_labels(y, name)
    elif not np.isfinite(y).all():
        n_bad = int(y.size - np.isfinite(y).sum())
        raise UsageError(
            f"{name} holds {n_bad} values that are NaN or infinite; expected finite numbers"
        )


def _check_classes(y: NDArray[Any], name: str, n_classes: int) -> None:
    outside = (y < 0) | (y >= n_classes)
    if outside.any():
        from_one = y.min() >= 1 and y.max() == n_classes
        hint = "; subtract 1 from labels that count from 1" if from_one else ""
        raise UsageError(
            f"{name}[{int(outside.argmax())}] is {y[outside][0]}; "
            f"expected labels from 0 to {n_classes - 1}{hint}"
        )


def _check_labels(y: NDArray[Any], name: str) -> None:
    outside = (y < 0) | (y > 1)
    if outside.any():
        raise UsageError(
            f"{name} of shape {y.shape} holds {y[outside][0]}; expected 0 or 1 for each label, or "
            "the classes' indices, (N,)"
        )
