"""What bnnkit raises when it was used wrongly or was given something that it cannot read.

BnnkitError
├── UsageError            a wrong option, shape, dtype or value
│   └── MissingExtraError a package that this part needs is not installed
├── FileError             a file or folder that cannot be read or written, or is another thing
│   ├── ArtifactError     a MODEL.onnx that is damaged, or of a newer format
│   └── CheckpointError   a checkpoint that is damaged, or of another model
├── ConfigError           a training configuration with an unknown key or an impossible value
└── UnsupportedError      a network of which bnnkit lacks a part; names the operator and its node

Every message is one line: what was expected, what came, what to do. The command line prints it as
it is and exits with 2.
"""


class BnnkitError(Exception):
    """The base of all of bnnkit's errors; catch this one to catch them all."""


class UsageError(BnnkitError, ValueError):
    """An argument, option, shape, dtype or value that cannot be used."""


class MissingExtraError(UsageError):
    """A part of bnnkit that needs a package which is not installed.

    Args:
        what: What was asked for, as the subject of a sentence, for example "training".
        extra: The extra that brings the package, for example "train".
    """

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what} needs more packages: pip install 'bnnkit[{extra}]'")


class FileError(BnnkitError):
    """A file or a folder that cannot be read or written, or is not what it should be."""


class ArtifactError(FileError):
    """A model file that is damaged, newer than this bnnkit, or no model file at all."""


class CheckpointError(FileError):
    """A checkpoint that is damaged or belongs to another model."""


class ConfigError(BnnkitError):
    """A training configuration with an unknown key or an impossible value."""


class UnsupportedError(BnnkitError):
    """A network with a part that bnnkit does not have; the message names it."""
