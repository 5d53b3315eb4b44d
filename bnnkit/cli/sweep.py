"""`bnnkit sweep`."""

from pathlib import Path

import click

from bnnkit.cli import options
from bnnkit.cli.console import console, print_json
from bnnkit.cli.sweep_table import print_sweep
from bnnkit.errors import UsageError


@click.command("sweep")
@click.argument("config", type=options.PATH, metavar="CONFIG.yaml")
@click.argument("overrides", nargs=-1, metavar="[KEY=VALUE[,VALUE]...]...")
@click.option(
    "--out",
    type=options.PATH,
    required=True,
    metavar="DIR",
    help="The folder of the sweep: a folder for each run, and the results in sweep.json, "
    "sweep.csv and runs.csv.",
)
@options.data_dir
@options.trust_code
@options.as_json
def command(
    config: Path, overrides: tuple[str, ...], out: Path, data_dir: Path | None, as_json: bool
) -> None:
    """Train a network with several seeds or settings; show mean and standard deviation.

    KEY=VALUE,VALUE trains with each of the values: seed=1,2,3 lr=0.1,0.05 are six runs, two
    settings with three seeds. A section sweep in the configuration does the same: sweep: {seed:
    [1, 2, 3]}. Commas in brackets or quotes do not separate values.

    Repeat the command to continue: finished runs are not trained again, and values can be added.
    Processes that are given the same command share its runs, for example one on each GPU.

    Results are averaged over the seeds. The best setting is the one with the highest accuracy, or
    lowest mean absolute error, on the validation examples; the test data are evaluated once in
    each run and choose nothing.
    """
    from bnnkit.sweeps.grid import load_grid
    from bnnkit.sweeps.summary import summarise
    from bnnkit.sweeps.sweep import is_first_process, run_sweep
    from bnnkit.sweeps.tables import as_json as results

    if out.exists() and not out.is_dir():
        raise UsageError(f"{out} is a file; expected a folder for the sweep")
    variants = load_grid(config, options.with_data_dir(overrides, data_dir))
    runs = run_sweep(variants, out, console=console(stderr=as_json))
    if not is_first_process():
        return
    if as_json:
        print_json(results(runs, summarise(runs)))
    else:
        print_sweep(summarise(runs), out)
