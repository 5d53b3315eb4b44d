"""`bnnkit train`."""

from pathlib import Path

import click

from bnnkit.cli import options
from bnnkit.cli.console import console
from bnnkit.data import check_name
from bnnkit.errors import ConfigError


@click.command("train")
@click.argument("config", type=options.PATH, metavar="CONFIG.yaml")
@click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")
@click.option(
    "--out",
    type=options.PATH,
    required=True,
    metavar="DIR",
    help="The folder of the run, for configuration, metrics, curves and checkpoint. A stopped run "
    "in it continues, and one that is given more epochs goes on to them.",
)
@options.data_dir
@options.trust_code
def command(config: Path, overrides: tuple[str, ...], out: Path, data_dir: Path | None) -> None:
    """Train a network from a configuration, or continue a run that was stopped.

    KEY=VALUE changes a key of the configuration; dots separate sections from keys: lr=0.001,
    model.width=64. The error message for an unknown key lists the valid keys.

    A run can be given more epochs, stopped or finished: epochs=60 on a run of 30 trains epochs 31
    to 60, with the learning rates of a run of 60 epochs. With schedule=constant the result is that
    of such a run; with the others it differs, because epochs 1 to 30 had other rates.
    """
    from bnnkit.training.checkpoint_file import CHECKPOINT
    from bnnkit.training.config import load_config

    loaded = load_config(config, options.with_data_dir(overrides, data_dir))
    if not (out / CHECKPOINT).is_file():  # a finished run needs no data
        folder = None if loaded.data.dir is None else Path(loaded.data.dir)
        check_name(loaded.data.name, folder)
    from bnnkit.training import train  # imports torch, which takes seconds

    try:
        train(loaded, out, console=console())
    except ConfigError as error:
        raise ConfigError(f"{config}: {error}") from error
