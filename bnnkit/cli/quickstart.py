"""`bnnkit quickstart`: the main commands in order, on the smallest data set."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np

from bnnkit import data
from bnnkit.artifact.ensemble_config import EnsembleConfig
from bnnkit.bench.benchmark import benchmark
from bnnkit.bench.surroundings import surrounded
from bnnkit.cli import options
from bnnkit.cli.array_files import Array, write_arrays
from bnnkit.cli.benchmark_table import print_benchmark
from bnnkit.cli.console import console, progress, waiting, write
from bnnkit.cli.evaluation_table import print_evaluations
from bnnkit.cli.group import CHECK_FAILED
from bnnkit.cli.report_table import print_report, size
from bnnkit.cli.verification_table import print_verification
from bnnkit.data import Dataset
from bnnkit.engines import open_file
from bnnkit.errors import FileError
from bnnkit.evaluation.evaluate import Evaluation, evaluate
from bnnkit.files.atomic import write_text
from bnnkit.runtime.open_file import read
from bnnkit.verification.verify import verify

CONFIG = """\
# The network and the training of `bnnkit quickstart`.
data: {name: digits}
model: {name: convnet, width: 32, weight_noise: none}
epochs: 30
batch_size: 64
lr: 0.01
"""
ENGINES = ("bnnkit", "onnxruntime", "onnxruntime-fp32")
BATCHES = (1, 64)
SAMPLES = (0, 10)
BENCH_SECONDS = 1.0
N_SHOWN = 10

NEXT = """
Next:
  bnnkit info {model}                          show the layers of the file
  bnnkit eval {model} --samples 0,1,4,10,auto  compare numbers of samples
  bnnkit bench {model} --threads 1,2 --profile time each step
  bnnkit train {config} model.width=64 --out {out}/wider
"""


@click.command("quickstart")
@click.option(
    "--out",
    type=options.PATH,
    default="quickstart",
    show_default=True,
    metavar="DIR",
    help="The folder for all files that are written.",
)
def command(out: Path) -> None:
    """Try everything end to end on bundled digits, from train to bench.

    Trains a small binarized network on the digits of scikit-learn, writes it as a bit-packed model
    file, checks that every engine computes what was trained, runs the file without noise and as an
    ensemble, and times it. This takes less than 90 seconds on 2 cores. A second run reuses the
    trained network.
    """
    start = time.monotonic()
    dataset = data.load("digits")  # needs scikit-learn, so before anything is written
    _make_folder(out)
    tour = _Tour(out, dataset)
    steps = tour.steps()
    for number, (step, title) in enumerate(steps, 1):
        write("")
        write(f"[{number}/{len(steps)}] {title}")
        step()
    write("")
    write(f"Done in {time.monotonic() - start:.0f} s; everything is in {out}.")
    click.echo(NEXT.format(model=tour.model, config=tour.config, out=out))


@dataclass(frozen=True)
class _Tour:
    """The steps; each prints the command that does the same."""

    out: Path
    dataset: Dataset

    @property
    def config(self) -> Path:
        return self.out / "digits.yaml"

    @property
    def run_folder(self) -> Path:
        return self.out / "run"

    @property
    def model(self) -> Path:
        return self.out / "digits.onnx"

    def steps(self) -> tuple[tuple[Callable[[], None], str], ...]:
        """Return the steps and their titles."""
        return (
            (self.train, "Train: weights and activations are +1 or -1; training adds noise"),
            (self.export, "Export: 1 bit per weight, in an ONNX file that stock engines open"),
            (self.verify, "Verify: compare every bit of torch and the engines on all test images"),
            (self.run, "Run: the popcount runtime, without torch"),
            (self.ensemble, "Ensemble: average ten samples of the noise in the file"),
            (self.bench, "Bench: latency compared with ONNX Runtime, in int8 and in float32"),
        )

    def train(self) -> None:
        """Train the network into `run_folder`."""
        from bnnkit.training import load_config, train

        _show_command(f"bnnkit train {self.config} --out {self.run_folder}")
        write_text(self.config, CONFIG)
        with _one_thread():  # these layers are too small for several threads
            train(load_config(self.config), self.run_folder, console=console())

    def export(self) -> None:
        """Write the model file and compare its size with the checkpoint."""
        _show_command(f"bnnkit export {self.run_folder} --to onnx -o {self.model}")
        with waiting("exporting"):
            from bnnkit.deployment.export_checkpoint import export_checkpoint

            print_report(export_checkpoint(self.run_folder, self.model))
        trained = (self.run_folder / "checkpoint.safetensors").stat().st_size
        packed = self.model.stat().st_size
        write(f"{size(trained)} of float32 in the checkpoint, {size(packed)} in {self.model}")

    def verify(self) -> None:
        """Compare all engines on all test images."""
        from bnnkit.training import load_checkpoint

        _show_command(f"bnnkit verify {self.run_folder} {self.model}")
        network, images = load_checkpoint(self.run_folder).model, self.dataset.x_test
        with progress("verifying", len(images)) as advance:
            verification = verify(read(self.model), images, network=network, advance=advance)
        print_verification(verification, "the test part of digits")
        if not verification.is_equal:
            write("The engines differ. Please report this together with the lines above.")
            click.get_current_context().exit(CHECK_FAILED)

    def run(self) -> None:
        """Run the test images and show the first predictions."""
        images, scores = self.out / "images.npy", self.out / "scores.npy"
        write_arrays(images, {"images": self.dataset.x_test})
        _show_command(f"bnnkit run {self.model} {images} -o {scores}")
        (result,) = open_file("bnnkit", self.model).run(self.dataset.x_test)
        write_arrays(scores, {"scores": result})
        classes, labels = result.argmax(axis=1), self.dataset.y_test
        write(f"the first {N_SHOWN} test images: {_digits(classes)}; labels: {_digits(labels)}")
        write(f"test accuracy: {np.mean(classes == labels):.2%} of {len(labels)} images")

    def ensemble(self) -> None:
        """Evaluate one pass without noise and the mean over samples."""
        _show_command(f"bnnkit eval {self.model} --samples {','.join(map(str, SAMPLES))}")
        network, examples = open_file("bnnkit", self.model), self.dataset.test
        found = [
            evaluate(network, examples, EnsembleConfig(samples=samples))[0] for samples in SAMPLES
        ]
        print_evaluations(found, f"{self.model} on digits, {len(examples)} images")
        write(_what_samples_gain(found[0], found[1], run=self.run_folder))

    def bench(self) -> None:
        """Measure latencies."""
        _show_command(f"bnnkit bench {self.model} --batch {','.join(map(str, BATCHES))}")
        with waiting("measuring"):
            measured, surroundings = surrounded(
                lambda: benchmark(
                    read(self.model), engines=ENGINES, batches=BATCHES, seconds=BENCH_SECONDS
                )
            )
        print_benchmark(measured, surroundings)


def _what_samples_gain(one_pass: Evaluation, ensemble: Evaluation, run: Path) -> str:
    """Say whether the samples were worth their time on these images, and why not."""
    if ensemble.nll < one_pass.nll:
        return (
            f"The samples lower the nll from {one_pass.nll:.3f} to {ensemble.nll:.3f}; each costs"
            " a pass."
        )
    return (
        f"The samples do not pay here: the nll rises from {one_pass.nll:.3f} to"
        f" {ensemble.nll:.3f}. Digits are easy, so one pass is right and sure; the mean over the"
        " noise is as often right and less sure than it could be, which raises nll and ece. On"
        " CIFAR-10 ten samples of the paper's VGG gain 2 to 3 points of accuracy and divide the"
        " ece by four. Less noise"
        f" helps on easy data: bnnkit export {run} -o less.onnx --noise-scale 0.25 --calibrate"
        " digits"
    )


def _make_folder(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileError(f"cannot make the folder {path}: {error.strerror or error}") from error


@contextmanager
def _one_thread() -> Iterator[None]:
    """Let torch use one thread in the block."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _show_command(command_line: str) -> None:
    click.echo(f"$ {command_line}")  # not broken, so that it can be copied


def _digits(labels: Array) -> str:
    return " ".join(str(label) for label in labels[:N_SHOWN])
