"""`bnnkit eval`."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import click

from bnnkit import data
from bnnkit.artifact.calibration_record import CalibrationSource, read_calibration
from bnnkit.artifact.ensemble_config import DEFAULT_MAX_SAMPLES, EnsembleConfig, Samples
from bnnkit.cli import options
from bnnkit.cli.array_files import Array, check_file, check_not_read
from bnnkit.cli.console import print_json, progress, write
from bnnkit.cli.evaluation_table import print_evaluations
from bnnkit.cli.packing_note import write_packing_note
from bnnkit.data.own_code import is_own
from bnnkit.data.targets import TargetKind
from bnnkit.engines import open_read
from bnnkit.errors import UsageError
from bnnkit.evaluation import metrics
from bnnkit.evaluation.cost_curve import draw_cost
from bnnkit.evaluation.evaluate import (
    Cost,
    Evaluation,
    Examples,
    Predictor,
    evaluate,
    evaluate_labels,
    evaluate_values,
)
from bnnkit.evaluation.reliability import draw_reliability
from bnnkit.files.regular_file import open_file
from bnnkit.plots import picture_format
from bnnkit.runtime.open_file import read
from bnnkit.tflite.channels_last import as_model_takes


@click.command("eval")
@click.argument("path", type=options.MODEL, metavar="CKPT_OR_MODEL")
@click.option(
    "--data",
    "name",
    metavar="NAME",
    help=f"The data set whose test part is used: {options.DATA_NAMES}, a .npz file, or your "
    "own module:function. The default is the data set that the network was trained on; it is "
    "required for a model file that was trained on a .npz file.",
)
@options.data_dir
@options.trust_code
@click.option(
    "--samples",
    callback=options.numbers_of_samples,
    default="0",
    show_default=True,
    metavar="COUNTS",
    help="Numbers of samples of the noise to average, such as 0,1,2,4,10,auto. 0 is the "
    "deterministic pass, auto takes as many samples as each image needs.",
)
@options.seed
@options.antithetic
@options.adaptive
@options.threads
@options.as_json
@click.option(
    "--plot",
    type=options.PATH,
    metavar="FILE.png",
    help="Draw the reliability diagram (accuracy over confidence), or, for several numbers of "
    "samples, accuracy and ece over latency: .png, .svg or .pdf.",
)
def command(
    path: Path,
    name: str | None,
    data_dir: Path | None,
    samples: tuple[Samples, ...],
    seed: int,
    antithetic: bool,
    error_rate: float,
    max_samples: int,
    threads: int,
    as_json: bool,
    plot: Path | None,
) -> None:
    """Measure accuracy and calibration, or errors, of a checkpoint or a model.

    CKPT_OR_MODEL is the folder of a run or its checkpoint.safetensors, which torch evaluates, or a
    model file, which bnnkit's runtime runs.

    accuracy: the fraction of images whose most probable class is correct. nll: the mean negative
    log likelihood of the correct class, in nats. brier: the mean squared error of the
    probabilities, from 0 to 2. ece: the expected calibration error, from 0 to 1, in 15 bins. With
    several numbers of samples there is a row for each, and JSON is a list.

    Of labels, each on its own: accuracy and nll of a label, exact_match: the fraction of inputs
    with all labels correct, and mean_average_precision. Of real values: the mean absolute error
    (mae), the root mean square error (rmse) and R^2 (r2).
    """
    configs = [
        EnsembleConfig(
            samples=s,
            seed=seed,
            antithetic=antithetic,
            error_rate=error_rate,
            max_samples=max_samples if s == options.AUTO else DEFAULT_MAX_SAMPLES,
        )
        for s in samples
    ]
    options.note_no_effect(
        options.is_given("samples"), "without --samples M", "seed", "antithetic"
    )
    options.note_no_effect(
        options.AUTO in samples, "without --samples auto", "error_rate", "max_samples"
    )
    options.note_no_effect(
        not options.is_checkpoint(path), "on a checkpoint, which torch evaluates", "threads"
    )
    if plot is not None:
        picture_format(plot)
        check_not_read(plot, path)
        check_file(plot)
    _check_files(path, name, data_dir)
    metrics.check_installed()  # imports torch, which takes seconds
    opened = _opened(path, threads)
    dataset = data.open_data(name, data_dir) if name else _load(opened.trained_on, data_dir, path)
    examples = _Examples(dataset.test, opened, name or dataset.name)
    title = f"{path.name} on {dataset.name}"
    if dataset.targets == "classes":
        cost_title = f"{title}, {threads} thread{'s' * (threads > 1)}"
        found: Sequence[Cost] = _evaluate(examples, configs, plot, (title, cost_title))
    elif plot is not None:
        raise UsageError(f"--plot is for classes; {dataset.name} has {dataset.targets}")
    else:
        found = _evaluate_others(examples, configs, dataset.targets)
    if as_json:
        about = {
            "file": str(path),
            "data": dataset.name,
            "images": len(examples),
            "calibration": asdict(opened.calibration) if opened.calibration else None,
            "seed": seed,
        }
        entries = [{**about, **asdict(one)} for one in found]
        print_json(entries if len(entries) > 1 else entries[0])
        return
    inputs = "images" if len(dataset.input_shape) == 3 else "inputs"
    print_evaluations(found, f"{path} on {dataset.name}, {len(examples):,} {inputs}")
    if opened.calibration is not None:
        write(f"batch norms: {opened.calibration}")
    if plot is not None:
        write(f"wrote {plot}")


def _check_files(path: Path, name: str | None, data_dir: Path | None) -> None:
    """Check at once that the files are there."""
    if options.is_checkpoint(path):
        from bnnkit.training.checkpoint_file import checkpoint_path

        checkpoint_path(path)
    else:
        open_file(path).close()
    if name is not None:
        data.check_name(name, data_dir)


@dataclass(frozen=True)
class _TrainedOn:
    """The name and folder of a data set in a configuration."""

    name: str | None
    dir: str | None = None


@dataclass(frozen=True)
class _Opened:
    """A network, the data set it was trained on, and the calibration of its batch norms."""

    network: Predictor
    input_shape: tuple[int, ...]
    trained_on: _TrainedOn
    calibration: CalibrationSource | None = None


def _opened(path: Path, threads: int) -> _Opened:
    if options.is_checkpoint(path):
        return _opened_checkpoint(path)
    artifact = read(path)
    write_packing_note(artifact, path)
    trained_on = _TrainedOn(artifact.metadata.get("dataset"))
    calibration = read_calibration(artifact)
    network = open_read("bnnkit", path, artifact, threads=threads)
    source = None if calibration is None else calibration.source
    return _Opened(network, network.input_shape, trained_on, source)


def _opened_checkpoint(path: Path) -> _Opened:
    from bnnkit.engines.torch_network import TorchNetwork
    from bnnkit.training import load_checkpoint

    checkpoint = load_checkpoint(path)
    model, config, about = checkpoint
    network = TorchNetwork(
        model, about.input_shape, about.input_dtype, outputs=checkpoint.task.outputs
    )
    return _Opened(network, about.input_shape, _TrainedOn(config.data.name, config.data.dir))


def _load(trained_on: _TrainedOn, data_dir: Path | None, path: Path) -> data.AnyDataset:
    name = trained_on.name
    if name is None:
        raise UsageError(f"{path} does not name the data set it was trained on: give --data NAME")
    folder = data_dir or (Path(trained_on.dir) if trained_on.dir else None)
    if name in data.DATASETS or is_own(name) or Path(folder or ".", name).is_file():
        return data.open_data(name, folder)
    raise UsageError(
        f"{path} was trained on {name}, which is not bundled and not found here: "
        "pass --data FILE.npz"
    )


@dataclass(frozen=True)
class _Examples:
    """The examples of a data set in the layout of a network's input."""

    examples: Examples
    opened: _Opened
    name: str

    def __len__(self) -> int:
        return len(self.examples)

    def batches(self, size: int) -> Iterator[tuple[Array, Array]]:
        """Yield batches; the first is checked with the name of the data set in the error."""
        for number, (inputs, targets) in enumerate(self.examples.batches(size)):
            inputs = as_model_takes(inputs, self.opened.input_shape)
            if number == 0:
                self._check(inputs)
            yield inputs, targets

    def _check(self, inputs: Array) -> None:
        try:
            self.opened.network.check(inputs)
        except UsageError as error:
            raise UsageError(f"{self.name}: {error}") from error


def _evaluate(
    examples: _Examples,
    configs: Sequence[EnsembleConfig],
    plot: Path | None,
    titles: tuple[str, str],
) -> list[Evaluation]:
    """Return the metrics of each ensemble; draw the reliability of one, or the cost of several."""
    found, network = [], examples.opened.network
    with progress("evaluating", len(configs) * len(examples)) as advance:
        for config in configs:
            evaluation, p, labels = evaluate(network, examples, config, advance=advance)
            found.append(evaluation)
    if plot is not None and len(found) == 1:
        draw_reliability(p, labels, plot, title=titles[0])
    elif plot is not None:
        draw_cost(found, plot, title=titles[1])
    return found


def _evaluate_others(
    examples: _Examples, configs: Sequence[EnsembleConfig], targets: TargetKind
) -> list[Cost]:
    """Return the metrics of each ensemble, of labels or real values."""
    measure = evaluate_labels if targets == "labels" else evaluate_values
    network = examples.opened.network
    with progress("evaluating", len(configs) * len(examples)) as advance:
        return [measure(network, examples, config, advance=advance) for config in configs]
