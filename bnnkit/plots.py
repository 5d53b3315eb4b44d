"""Pictures: their formats, and figures that need no screen."""

from pathlib import Path
from typing import TYPE_CHECKING

from bnnkit.atomic import replacing
from bnnkit.errors import MissingExtraError, UsageError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_FORMATS = ("png", "svg", "pdf")


def picture_format(path: Path) -> str:
    """The format that the ending of a picture's name asks for: "png", "svg" or "pdf".

    Raises:
        UsageError: It is none of them.
    """
    ending = path.suffix.lower().removeprefix(".")
    if ending not in _FORMATS:
        raise UsageError(f"cannot draw {path}: expected a name that ends in .png, .svg or .pdf")
    return ending


def new_figure(width: float, height: float, *, drawing: str) -> "Figure":
    """A figure of a size in inches, drawn by Agg wherever it is.

    Args:
        width: Of the figure.
        height: Likewise.
        drawing: What needs it, for the message.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        if error.name != "matplotlib":
            raise
        raise MissingExtraError(f"drawing {drawing}", "plot") from error
    return Figure(figsize=(width, height), layout="constrained")  # without pyplot: always Agg


def save(figure: "Figure", path: Path) -> None:
    """Write a picture, 150 pixels an inch as a PNG; whole or not at all.

    Raises:
        UsageError: The picture's name ends otherwise.
        FileError: It cannot be written.
    """
    file_format = picture_format(path)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=150, format=file_format)
