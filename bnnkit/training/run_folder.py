"""The folder of a run: its files, and whether the run is new, stopped or finished.

A run that was stopped or finished can be given more epochs; then it counts as stopped.
"""

from enum import Enum
from pathlib import Path

from bnnkit.errors import ConfigError, FileError
from bnnkit.files.atomic import write_text
from bnnkit.training.checkpoint import read_metadata
from bnnkit.training.checkpoint_file import CHECKPOINT
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
        metrics_csv: The metrics as a table, if the configuration asks for it.
        tensorboard: A folder of the metrics for TensorBoard, if the configuration asks for it.
        curves: A plot of the metrics.
        state: The state from which a stopped run continues, and a finished one that is given more
            epochs; about three times as large as the network with adam, twice with sgd. Without it
            a finished run cannot be extended.
        best: The network of the epoch with the highest accuracy, or lowest mean absolute error, on
            the validation examples.
        former_best: The one before, if `best` is of a last epoch that is not a multiple of
            eval_every. A run with more epochs does not evaluate that epoch, and goes on with this.
        checkpoint: The trained network; written last.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self.config = self.path / "config.yaml"
        self.metrics = self.path / "metrics.jsonl"
        self.metrics_csv = self.path / "metrics.csv"
        self.tensorboard = self.path / "tensorboard"
        self.curves = self.path / "curves.png"
        self.state = self.path / "state.safetensors"
        self.best = self.path / "best.safetensors"
        self.former_best = self.path / "former_best.safetensors"
        self.checkpoint = self.path / CHECKPOINT

    def stage(self, config: Config) -> Stage:
        """Return the state of the run of this configuration, without writing.

        Raises:
            FileError: The path is a file, or has files of a run but no config.yaml.
            ConfigError: The folder holds a run of another configuration, or a finished run that
                is given more epochs or another preprocessing and has no saved state.
            CheckpointError: The checkpoint is damaged.
        """
        if self.path.exists() and not self.path.is_dir():
            raise FileError(f"{self.path} is a file; expected a folder for the run")
        if not self.config.is_file():
            self._check_is_free()
            return Stage.NEW
        before = load_config(self.config)
        self._check_is_same(before, config)
        if not self.checkpoint.is_file():
            return Stage.STOPPED
        # A run that was given more epochs, or another preprocessing, which its checkpoint stores,
        # keeps that checkpoint until it is finished again.
        finished = read_metadata(self.checkpoint)[0]
        has_epochs = finished.epochs == config.epochs
        if has_epochs and finished.data.preprocessing == config.data.preprocessing:
            return Stage.FINISHED
        if not self.state.is_file():
            goal = "take another data.preprocessing" if has_epochs else f"go on to {config.epochs}"
            raise ConfigError(
                f"{self.path} holds a finished run of {before.epochs} epochs without its "
                f"{self.state.name}, from which it could {goal}; choose another folder for a new "
                "run"
            )
        return Stage.STOPPED

    def epochs_before(self) -> int | None:
        """Return the number of epochs that the run in the folder was given; None if it is new."""
        return load_config(self.config).epochs if self.config.is_file() else None

    def set_best_aside(self) -> None:
        """Keep the best network as `former_best`, if there is one and it is not kept yet."""
        if self.best.exists() and not self.former_best.exists():
            self.best.rename(self.former_best)

    def restore_best(self) -> None:
        """Take `former_best` as the best network again."""
        if self.former_best.exists():
            self.former_best.replace(self.best)

    def prepare(self, config: Config) -> None:
        """Write the configuration into the folder, which must exist.

        Raises:
            FileError: The file cannot be written.
        """
        write_text(self.config, dump_config(config))

    def _check_is_same(self, before: Config, config: Config) -> None:
        """Check that a run may continue: with the same configuration, or with more epochs."""
        more = max(before.epochs, config.epochs)
        changes = differences(before.model_copy(update={"epochs": more}), config)
        if changes:
            hint = " (a run can be given more epochs, not fewer)" if more > config.epochs else ""
            raise ConfigError(
                f"{self.path} holds a run of another configuration: its {'; '.join(changes)}"
                f"{hint}. Choose another folder, or remove this one"
            )

    def _check_is_free(self) -> None:
        for file in (self.checkpoint, self.state, self.metrics, self.curves):
            if file.exists():
                raise FileError(
                    f"{self.path} holds {file.name} but no config.yaml; choose another folder"
                )
