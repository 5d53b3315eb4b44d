"""The exceptions of bnnkit, for wrong use and for input that it cannot read.

BnnkitError
├── UsageError            a wrong option, shape, dtype or value
│   └── MissingExtraError a package that this part needs is not installed
├── FileError             a file or folder that cannot be read or written, or is of another kind
│   ├── ArtifactError     a MODEL.onnx that is damaged, or of a newer format
│   └── CheckpointError   a checkpoint that is damaged, or of another model
├── ConfigError           a training configuration with an unknown key or an impossible value
└── UnsupportedError      a network with a part that bnnkit lacks; names the operator and its node

Every message is one line: what was expected, what was found, what to do. The command line prints
the message and exits with code 2.
"""


class BnnkitError(Exception):
    """The base class of all errors that bnnkit raises."""


class UsageError(BnnkitError, ValueError):
    """An argument, option, shape, dtype or value that cannot be used."""


class MissingExtraError(UsageError):
    """A package that is needed by a part of bnnkit and is not installed.

    Args:
        what: The requested part, as the subject of a sentence, for example "training".
        extra: The extra that installs the package, for example "train".
    """

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what} needs more packages: pip install 'bnnkit[{extra}]'")


class FileError(BnnkitError):
    """A file or folder that cannot be read or written, or is of another kind than expected."""


class ArtifactError(FileError):
    """A model file that is damaged, newer than this bnnkit, or not a model file."""


class CheckpointError(FileError):
    """A checkpoint that is damaged or belongs to another model."""


class ConfigError(BnnkitError):
    """A training configuration with an unknown key or an impossible value."""


class UnsupportedError(BnnkitError):
    """A network with a part that bnnkit does not support; the message names it."""
