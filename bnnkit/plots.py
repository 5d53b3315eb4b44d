"""Pictures: their file formats, and figures that need no display."""

from pathlib import Path
from typing import TYPE_CHECKING

from bnnkit.errors import MissingExtraError, UsageError
from bnnkit.files.atomic import replacing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_FORMATS = ("png", "svg", "pdf")


def picture_format(path: Path) -> str:
    """Return the format of a picture by the ending of its name: "png", "svg" or "pdf".

    Raises:
        UsageError: If the name has another ending.
    """
    ending = path.suffix.lower().removeprefix(".")
    if ending not in _FORMATS:
        raise UsageError(f"cannot draw {path}: expected a name that ends in .png, .svg or .pdf")
    return ending


def new_figure(width: float, height: float, *, drawing: str) -> "Figure":
    """Create a figure that is drawn by matplotlib's Agg backend.

    Args:
        width: The width in inches.
        height: The height in inches.
        drawing: What is drawn, for the error message.

    Raises:
        MissingExtraError: If matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        if error.name != "matplotlib":
            raise
        raise MissingExtraError(f"drawing {drawing}", "plot") from error
    return Figure(figsize=(width, height), layout="constrained")  # without pyplot: always Agg


def save(figure: "Figure", path: Path) -> None:
    """Write a picture atomically, with 150 pixels per inch as a PNG.

    Raises:
        UsageError: If the picture's name has another ending.
        FileError: If the picture cannot be written.
    """
    file_format = picture_format(path)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=150, format=file_format)
