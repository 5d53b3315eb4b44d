"""`bnnkit zoo`."""

from dataclasses import asdict

import click

from bnnkit.cli import options
from bnnkit.cli.console import print_json, print_table
from bnnkit.zoo import ZooModel, zoo


@click.command("zoo")
@options.as_json
def command(as_json: bool) -> None:
    """List the trained networks that come with the package.

    zoo:NAME stands for a model file in every command, as in `bnnkit bench zoo:cifar10-vgg`, and in
    Python's bnnkit.runtime.load. Accuracies are those on the test images of the data set, in one
    pass without noise and averaged over ten samples. ece is the expected calibration error on the
    second half of the test images, of ten samples if the file has noise.
    """
    models = zoo()
    if as_json:
        print_json([asdict(model) for model in models])
        return
    print_table(
        "zoo",
        ("name", "network", "data", "one pass", "10 samples", "ece", "MB"),
        [_row(model) for model in models],
        left=("name", "network", "data"),
    )


def _row(model: ZooModel) -> tuple[str, ...]:
    return (
        model.name,
        model.title,
        model.data,
        _percent(model.accuracy),
        _percent(model.accuracy_samples),
        f"{model.ece if model.ece_samples is None else model.ece_samples:.4f}",
        f"{model.size / 1e6:.2f}",
    )


def _percent(accuracy: float | None) -> str:
    return "" if accuracy is None else f"{100 * accuracy:.2f} %"
