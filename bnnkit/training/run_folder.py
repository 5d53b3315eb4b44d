"""The folder of a run: which files it holds, and how far the run in it has come."""

from enum import Enum
from pathlib import Path

from bnnkit.atomic import write_text
from bnnkit.errors import ConfigError, FileError
from bnnkit.training.checkpoint import CHECKPOINT
from bnnkit.training.config import Config, differences, dump_config, load_config


class Stage(Enum):
    """How far the run in a folder has come."""

    NEW = "new"
    STOPPED = "stopped"
    FINISHED = "finished"


class RunFolder:
    """The files of a run.

    Attributes:
        config: The whole configuration, YAML; it is there from the start.
        metrics: JSON lines; see `History`.
        curves: A picture of them.
        state: From which a stopped run continues; it is there until the run is finished.
        best: The network of the epoch with the highest accuracy on the validation examples.
        checkpoint: The trained network; it is written last.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self.config = self.path / "config.yaml"
        self.metrics = self.path / "metrics.jsonl"
        self.curves = self.path / "curves.png"
        self.state = self.path / "state.safetensors"
        self.best = self.path / "best.safetensors"
        self.checkpoint = self.path / CHECKPOINT

    def stage(self, config: Config) -> Stage:
        """How far the run of this configuration has come; nothing is written.

        Raises:
            FileError: The path is a file, or holds files of a run whose configuration is missing.
            ConfigError: The folder holds a run of another configuration.
        """
        if self.path.exists() and not self.path.is_dir():
            raise FileError(f"{self.path} is a file; expected a folder for the run")
        if not self.config.is_file():
            self._check_is_free()
            return Stage.NEW
        changes = differences(load_config(self.config), config)
        if changes:
            raise ConfigError(
                f"{self.path} holds a run of another configuration: its {'; '.join(changes)}. "
                "Choose another folder, or remove this one"
            )
        return Stage.FINISHED if self.checkpoint.is_file() else Stage.STOPPED

    def prepare(self, config: Config) -> None:
        """Write the configuration into the folder, which is there.

        Raises:
            FileError: It cannot be written.
        """
        write_text(self.config, dump_config(config))

    def _check_is_free(self) -> None:
        for file in (self.checkpoint, self.state, self.metrics, self.curves):
            if file.exists():
                raise FileError(
                    f"{self.path} holds {file.name}, but no config.yaml that says of which run; "
                    "choose another folder"
                )
