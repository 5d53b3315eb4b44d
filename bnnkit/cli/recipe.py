"""`bnnkit recipe`."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bnnkit.cli import options
from bnnkit.cli.console import print_json, print_table, waiting, write
from bnnkit.data import check_name, open_data
from bnnkit.errors import printable

if TYPE_CHECKING:
    from bnnkit.training import Recipe


@click.command("recipe")
@click.argument("model", metavar="MODULE:FUNCTION")
@click.argument("arguments", nargs=-1, metavar="[KEY=VALUE]...")
@click.option(
    "--data",
    "data",
    required=True,
    metavar="NAME",
    help=f"The data set: {options.DATA_NAMES}, the path of an .npz file, or your own "
    "module:function.",
)
@options.data_dir
@click.option(
    "-o",
    "--output",
    type=options.PATH,
    required=True,
    metavar="DIR",
    help="The folder for the configurations; the runs go there too.",
)
@click.option(
    "--epochs",
    type=click.IntRange(min=1),
    default=200,
    show_default=True,
    help="Epochs of the binary network; the float network is trained for half as many.",
)
@options.trust_code
@options.as_json
def command(
    model: str,
    arguments: tuple[str, ...],
    data: str,
    data_dir: Path | None,
    output: Path,
    epochs: int,
    as_json: bool,
) -> None:
    """Write the configurations that make a binary network of your own float network.

    MODULE:FUNCTION makes a torch network of convolutions, batch norms and activations, such as a
    VGG, a ResNet or a MobileNet; KEY=VALUE are arguments of the function. A network of bnnkit's
    with real weights can be named too: resnet18-real, vgg16-real, vgg-small-real.

    The recipe has two stages: float.yaml trains the network as it is; binary.yaml trains its twin
    with binary weights and activations, which starts from the float weights and learns from the
    float network's outputs. The configurations say what each key is for. The command prints which
    layers become binary and why others stay real-valued, and the commands to run.
    """
    from bnnkit.training.config import DataConfig
    from bnnkit.training.model_config import parse_model
    from bnnkit.training.recipe_files import check_recipe_folder

    network = parse_model(model, arguments)
    check_recipe_folder(output)
    check_name(data, data_dir)
    with waiting("tracing the network"):
        from bnnkit.training import make_recipe  # imports torch, which takes seconds

        folder = None if data_dir is None else str(data_dir)
        recipe = make_recipe(
            network,
            DataConfig(name=data, dir=folder),
            open_data(data, data_dir),
            output,
            epochs=epochs,
        )
    if as_json:
        print_json({**asdict(recipe), "files": [str(file) for file in recipe.files]})
    else:
        _print(recipe)


def _print(recipe: "Recipe") -> None:
    changes = recipe.changes
    rows = [(name, "binary", "") for name in changes.binary]
    rows += [(name, "real", reason) for name, reason in changes.real.items()]
    columns = ("layer", "weights", "why not binary")
    print_table("layers of the binary network", columns, rows, left=columns)
    for what, names in (
        ("activations removed", changes.removed),
        ("activations that become RPReLU", changes.replaced),
        ("binary layers with a new skip", changes.skips),
    ):
        write(f"{what}: {', '.join(names) or 'none'}")
    write(f"wrote {' and '.join(map(str, recipe.files))}; run")
    for line in recipe.commands:
        click.echo(f"  {printable(line)}")
