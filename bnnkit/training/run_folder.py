"""The folder of a run: its files, and whether the run is new, stopped or finished."""

from enum import Enum
from pathlib import Path

from bnnkit.atomic import write_text
from bnnkit.errors import ConfigError, FileError
from bnnkit.training.checkpoint import CHECKPOINT
from bnnkit.training.config import Config, differences, dump_config, load_config


class Stage(Enum):
    """The state of the run in a folder."""

    NEW = "new"
    STOPPED = "stopped"
    FINISHED = "finished"


class RunFolder:
    """The files of a run.

    Attributes:
        config: The whole configuration, YAML; written first.
        metrics: JSON lines; see `History`.
        curves: A plot of the metrics.
        state: The state from which a stopped run continues; removed when the run is finished.
        best: The network of the epoch with the highest accuracy on the validation examples.
        checkpoint: The trained network; written last.
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
        """Return the state of the run of this configuration, without writing.

        Raises:
            FileError: The path is a file, or has files of a run but no config.yaml.
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
        """Write the configuration into the folder, which must exist.

        Raises:
            FileError: The file cannot be written.
        """
        write_text(self.config, dump_config(config))

    def _check_is_free(self) -> None:
        for file in (self.checkpoint, self.state, self.metrics, self.curves):
            if file.exists():
                raise FileError(
                    f"{self.path} holds {file.name} but no config.yaml; choose another folder"
                )
