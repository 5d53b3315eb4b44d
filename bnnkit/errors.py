"""The exceptions of bnnkit, for wrong use and for input that it cannot read.

BnnkitError
├── UsageError            a wrong option, shape, dtype or value
│   └── MissingExtraError a package that this part needs is not installed
├── FileError             a file or folder that cannot be read or written, or is of another kind
│   ├── ArtifactError     a MODEL.onnx that is damaged, or of a newer format
│   └── CheckpointError   a checkpoint that is damaged, or of another model
├── ConfigError           a training configuration with an unknown key or an impossible value
├── OtherProcessError     another process of a training run failed, and reports why
└── UnsupportedError      a network with a part that bnnkit lacks; names the operator and its node

Every message is one line: what was expected, what was found, what to do. The command line prints
the message and exits with code 2. Names in a message may come from an untrusted file, so control
characters are shown escaped and a long message is shortened.
"""

import re
import reprlib
from typing import Any

_LONGEST_MESSAGE = 2000
_LONGEST_NUMBER_BITS = 256


def printable(text: str) -> str:
    """Escape what a terminal does not print as a character: controls, bidirectional marks, ...

    Printable text is unchanged, so escaping twice is the same as escaping once.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def brief(value: object) -> str:
    """Return the repr of a value from a file, in time and length that do not depend on it."""
    return _BRIEF.repr(value)


class _Brief(reprlib.Repr):
    def __init__(self) -> None:
        super().__init__()
        self.maxlevel, self.maxstring, self.maxother = 2, 80, 80

    def repr_int(self, x: int, level: int) -> str:
        """Python refuses to write integers of many digits."""
        bits = x.bit_length()
        return repr(x) if bits <= _LONGEST_NUMBER_BITS else f"an integer of {bits} bits"


_BRIEF = _Brief()


class BnnkitError(Exception):
    """The base class of all errors that bnnkit raises."""

    def __str__(self) -> str:
        """Return the message as one printable line, shortened in the middle if it is long."""
        message = re.sub(r"\s*[\r\n]\s*", " ", super().__str__())
        if len(message) > _LONGEST_MESSAGE:
            part = _LONGEST_MESSAGE // 2
            left_out = len(message) - 2 * part
            message = f"{message[:part]} [{left_out:,} characters] {message[-part:]}"
        return printable(message)


class UsageError(BnnkitError, ValueError):
    """An argument, option, shape, dtype or value that cannot be used."""


class MissingExtraError(UsageError, ImportError):
    """A package that is needed by a part of bnnkit and is not installed; an ImportError too.

    Args:
        what: The requested part, as the subject of a sentence, for example "training".
        extra: The extra that installs the package, for example "train".
    """

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what} needs more packages: pip install 'bnnkit[{extra}]'")
        self._arguments = (what, extra)

    def __reduce__(self) -> tuple[Any, ...]:
        """Return how to unpickle it, as errors go from worker processes to their parent."""
        return type(self), self._arguments


class FileError(BnnkitError):
    """A file or folder that cannot be read or written, or is of another kind than expected."""


class ArtifactError(FileError):
    """A model file that is damaged, newer than this bnnkit, or not a model file."""


class CheckpointError(FileError):
    """A checkpoint that is damaged or belongs to another model."""


class ConfigError(BnnkitError):
    """A training configuration with an unknown key or an impossible value."""


class OtherProcessError(BnnkitError):
    """Another process of a training run failed; it reports why, so the command line does not."""


class UnsupportedError(BnnkitError):
    """A network with a part that bnnkit does not support; the message names it."""
