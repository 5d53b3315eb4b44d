"""Train all runs of a sweep, or those that are left."""

import os
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from bnnkit.data import AnyDataset
from bnnkit.errors import ConfigError, OtherProcessError
from bnnkit.sweeps.grid import Variant, words
from bnnkit.sweeps.run import Run, read_run
from bnnkit.sweeps.tables import write_tables
from bnnkit.training import train
from bnnkit.training.build_model import build_model
from bnnkit.training.loop import DivergedError
from bnnkit.training.progress import print_line
from bnnkit.training.run import open_dataset
from bnnkit.training.run_folder import RunFolder
from bnnkit.training.run_lock import FolderInUseError


def run_sweep(variants: Sequence[Variant], out: Path, *, console: Console) -> list[Run]:
    """Train every run of a sweep in a folder of its own; finished ones are left as they are.

    Several processes may work on one sweep: each trains runs that no other trains. Those that
    torchrun starts train each run together.

    Args:
        variants: The runs, from `load_grid`.
        out: The folder of the sweep. A run has the folder `Variant.name` in it; sweep.json,
            sweep.csv and runs.csv are written after every run.
        console: The console to report to.

    Raises:
        ConfigError: A configuration does not fit its data or the machine, or a folder holds a run
            of another configuration. Nothing has been trained then.
        FileError, UsageError: As for `train`, except for a loss that became infinite or NaN.
    """
    _check(variants, out)
    diverged: set[str] = set()
    for number, variant in enumerate(variants, 1):
        if is_first_process():
            print_line(console, f"run {number} of {len(variants)}: {words(variant.values)}")
        try:
            train(variant.config, out / variant.name, console=console)
        except (DivergedError, OtherProcessError) as error:
            if not isinstance(error.__cause__ or error, DivergedError):
                raise
            diverged.add(variant.name)
            print_line(console, str(error))
        except FolderInUseError as error:
            if is_one_of_several():  # the others have not seen the error, and train
                raise
            print_line(console, f"left out: {error}")
        except ConfigError as error:
            raise ConfigError(f"{words(variant.values)}: {error}") from error
        if is_first_process():
            write_tables(out, _runs(variants, out, diverged))
    return _runs(variants, out, diverged)


def _check(variants: Sequence[Variant], out: Path) -> None:
    """Check every run before the first one is trained, as far as that takes little time."""
    datasets: dict[str, AnyDataset] = {}
    built: set[str] = set()
    for variant in variants:
        config = variant.config
        if config.devices > 1 and "TORCHELASTIC_RUN_ID" not in os.environ:
            raise ConfigError(
                "a sweep on several GPUs needs torchrun: torchrun --nproc-per-node "
                f"{config.devices} -m bnnkit sweep CONFIG.yaml --out DIR"
            )
        RunFolder(out / variant.name).stage(config)
        key = config.data.model_dump_json()
        if key not in datasets:
            datasets[key] = open_dataset(config.data)
        network = f"{key} {config.model.model_dump_json()}"
        if network not in built:
            build_model(config.model, datasets[key])
            built.add(network)


def is_one_of_several() -> bool:
    """Return whether torchrun has started this process with others, for the same runs."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def is_first_process() -> bool:
    """Return whether this process reports and writes the results."""
    return not is_one_of_several() or os.environ.get("RANK") == "0"


def _runs(variants: Sequence[Variant], out: Path, diverged: set[str]) -> list[Run]:
    return [read_run(v, out / v.name, has_diverged=v.name in diverged) for v in variants]
