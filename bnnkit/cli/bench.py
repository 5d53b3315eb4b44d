"""`bnnkit bench`."""

import json
from pathlib import Path

import click

from bnnkit.artifact.artifact import Artifact
from bnnkit.artifact.ensemble_config import EnsembleConfig
from bnnkit.bench.baselines import BENCHMARKED
from bnnkit.bench.benchmark import Benchmark, benchmark, random_images
from bnnkit.bench.other_load import OtherLoad, measure_other_load
from bnnkit.bench.report_json import to_json
from bnnkit.bench.step_times import StepTime, step_times
from bnnkit.cli import options
from bnnkit.cli.array_files import check_file, check_not_read
from bnnkit.cli.benchmark_table import print_benchmark, print_step_times
from bnnkit.cli.console import waiting, write
from bnnkit.cli.packing_note import write_packing_note
from bnnkit.files.atomic import write_text
from bnnkit.files.kinds import check_suffix
from bnnkit.runtime.open_file import read

DEFAULT_ENGINES = ("bnnkit", "onnxruntime", "onnxruntime-fp32")
DEFAULT_ENGINES_TFLITE = ("bnnkit", "lce", "onnxruntime-fp32")


@click.command("bench")
@click.argument("model", type=options.MODEL)
@click.option(
    "--engines",
    callback=options.names,
    metavar="NAMES",
    help=f"The engines to measure, separated by commas: {', '.join(BENCHMARKED)}. The others are "
    "compared with the first. onnxruntime runs an .onnx file itself, lce a .tflite file; all "
    "others run the same network rewritten in their fastest operators. Engines that are not "
    f"installed are left out.  [default: {','.join(DEFAULT_ENGINES)}; for a .tflite file "
    f"{','.join(DEFAULT_ENGINES_TFLITE)}].",
)
@click.option(
    "--threads",
    callback=options.counts,
    default="1",
    show_default=True,
    metavar="COUNTS",
    help="The numbers of threads to measure, separated by commas.",
)
@click.option(
    "--batch",
    "batches",
    callback=options.counts,
    default="1",
    show_default=True,
    metavar="COUNTS",
    help="The batch sizes to measure, separated by commas.",
)
@click.option(
    "--seconds",
    type=float,
    callback=options.seconds,
    default=2.0,
    show_default=True,
    help="How long to measure each engine, for each number of threads and batch size.",
)
@click.option(
    "--samples",
    type=click.IntRange(min=0),
    default=0,
    metavar="M",
    help="Average M samples of the noise in each run of bnnkit, onnxruntime and reference; the "
    "others run one deterministic pass. 0: all engines run one deterministic pass.",
)
@options.seed
@options.antithetic
@click.option(
    "--json",
    "json_file",
    type=options.PATH,
    metavar="FILE",
    help="Write all measurements, in the JSON format of google-benchmark.",
)
@click.option(
    "--profile",
    is_flag=True,
    help="Show how long each layer takes in bnnkit's runtime; --json has each step.",
)
def command(
    model: Path,
    engines: tuple[str, ...] | None,
    threads: tuple[int, ...],
    batches: tuple[int, ...],
    seconds: float,
    samples: int,
    seed: int,
    antithetic: bool,
    json_file: Path | None,
    profile: bool,
) -> None:
    """Measure the latency of a model in several engines.

    The engines run interleaved on the same random inputs, so that machine noise affects all
    equally. If other processes keep the CPUs busy, the times are too long, and a line says so.
    """
    config = EnsembleConfig(samples=samples, seed=seed, antithetic=antithetic)
    options.note_no_effect(
        options.is_given("samples"), "without --samples M", "seed", "antithetic"
    )
    if json_file is not None:
        check_not_read(json_file, model)
        check_suffix(json_file, "json")
        check_file(json_file)
    artifact = read(model)
    write_packing_note(artifact, model)
    is_tflite = artifact.tflite_source is not None
    engines = engines or (DEFAULT_ENGINES_TFLITE if is_tflite else DEFAULT_ENGINES)
    with waiting("measuring"):
        load = measure_other_load()
        measured = benchmark(
            artifact,
            engines=engines,
            threads=threads,
            batches=batches,
            seconds=seconds,
            config=config,
        )
        steps = _profile(artifact, threads[0], batches[0]) if profile else []
    print_benchmark(measured, load)
    if profile:
        print_step_times(steps, threads[0], batches[0], measured)
    if json_file is not None:
        write_text(json_file, _dump(measured, model, steps, load))
        write(f"wrote {json_file}")


def _profile(artifact: Artifact, threads: int, batch: int) -> list[StepTime]:
    return step_times(artifact, random_images(artifact, batch), threads=threads)


def _dump(measured: Benchmark, model: Path, steps: list[StepTime], load: OtherLoad) -> str:
    content = to_json(measured, model=model.name, profile=steps, other_load=load)
    return json.dumps(content, indent=1) + "\n"
