"""How an image becomes the input of a network; a model file stores it (docs/artifact.md)."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Final, Literal, get_args

from bnnkit.errors import UsageError, brief

Interpolation = Literal["nearest", "bilinear", "bicubic", "lanczos"]
INTERPOLATIONS: Final[tuple[Interpolation, ...]] = get_args(Interpolation)
KEY: Final = "preprocessing"
"""The key in the metadata of a file, without the prefix, and in the section data of a config."""
_LARGEST_SIZE: Final = 1 << 14
_LARGEST_NUMBER: Final = 1e6


@dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """How an image becomes the input of a network.

    The image is resized, and its centre is cut out in the size of the input. Real inputs are
    (pixel / 255 - mean) / std, in float32; uint8 inputs are the pixels.

    Attributes:
        resize: The length of the shorter side in pixels, before the centre is cut out; or height
            and width, which may change the proportions. None makes the image just large enough.
        interpolation: "nearest", "bilinear", "bicubic" or "lanczos", as Pillow computes them: with
            antialiasing where the image becomes smaller.
        mean: Subtracted from each channel of real inputs; one number, or one for each channel.
        std: Each channel is divided by it; one positive number, or one for each channel.
        invert: Whether 255 minus the pixel is used, for dark writing on white paper where the
            network was trained on white digits on black, such as MNIST's.

    Raises:
        UsageError: If a value cannot be used.
    """

    resize: int | Sequence[int] | None = None
    interpolation: Interpolation = "bilinear"
    mean: float | Sequence[float] = 0.0
    std: float | Sequence[float] = 1.0
    invert: bool = False

    def __post_init__(self) -> None:
        for name in ("resize", "mean", "std"):
            value = getattr(self, name)
            if isinstance(value, list):
                object.__setattr__(self, name, tuple(value))
        _check_resize(self.resize)
        if self.interpolation not in INTERPOLATIONS:
            raise UsageError(
                f"expected an interpolation out of {', '.join(INTERPOLATIONS)}, got "
                f"{brief(self.interpolation)}"
            )
        _check_numbers("mean", self.mean, lowest=-_LARGEST_NUMBER)
        _check_numbers("std", self.std, lowest=1e-6)
        if not isinstance(self.invert, bool):
            raise UsageError(f"expected invert to be true or false, got {brief(self.invert)}")

    @property
    def normalizes(self) -> bool:
        """Whether a mean or a standard deviation is set, which only real inputs can use."""
        return set(_numbers(self.mean)) != {0} or set(_numbers(self.std)) != {1}

    def to_json(self) -> str:
        """Return the entry of a file's metadata."""
        return json.dumps(asdict(self))


def preprocessing_from(values: Mapping[str, Any]) -> Preprocessing:
    """Make a `Preprocessing` from a mapping, such as a section of a configuration.

    Raises:
        UsageError: If a key is unknown, or a value cannot be used.
    """
    known = [field.name for field in fields(Preprocessing)]
    unknown = [key for key in values if key not in known]
    if unknown:
        raise UsageError(f"expected the keys {', '.join(known)} of {KEY}, got {brief(unknown[0])}")
    return Preprocessing(**values)


def stored_preprocessing(metadata: Mapping[str, str]) -> Preprocessing | None:
    """Return what the metadata of a file say; None if they say nothing.

    Args:
        metadata: By key without the prefix "bnnkit.".

    Raises:
        UsageError: If the entry is damaged.
    """
    text = metadata.get(KEY)
    if text is None:
        return None
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"the file's metadata entry {KEY} is not JSON: {brief(text)}") from error
    if not isinstance(values, dict):
        raise UsageError(f"the file's metadata entry {KEY} is not an object: {brief(text)}")
    return preprocessing_from(values)


def _check_resize(resize: object) -> None:
    sizes = resize if isinstance(resize, tuple) else (resize,)
    if resize is not None and (
        len(sizes) not in (1, 2)
        or any(type(size) is not int or not 1 <= size <= _LARGEST_SIZE for size in sizes)
    ):
        raise UsageError(
            f"expected resize to be one or two sizes from 1 to {_LARGEST_SIZE:,} pixels, got "
            f"{brief(resize)}"
        )


def _numbers(value: object) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)


def _check_numbers(name: str, value: object, *, lowest: float) -> None:
    numbers = _numbers(value)
    if len(numbers) not in (1, 3) or not all(_is_number(number, lowest) for number in numbers):
        raise UsageError(
            f"expected {name} to be one finite number, or one for each of 3 channels, at least "
            f"{lowest:g}, got {brief(value)}"
        )


def _is_number(number: object, lowest: float) -> bool:
    is_real = isinstance(number, int | float) and not isinstance(number, bool)
    return is_real and lowest <= number <= _LARGEST_NUMBER  # type: ignore[operator]
