"""`bnnkit bench`."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from bnnkit.artifact.artifact import Artifact
from bnnkit.artifact.ensemble_config import EnsembleConfig
from bnnkit.bench.baselines import BENCHMARKED, open_benchmarked
from bnnkit.bench.benchmark import benchmark, random_inputs
from bnnkit.bench.comparison import compare_benchmarks, read_benchmark
from bnnkit.bench.float_twins import float_twins
from bnnkit.bench.report_html import html_comparison, html_page
from bnnkit.bench.report_json import to_json
from bnnkit.bench.step_times import StepTime, step_times
from bnnkit.bench.surroundings import pinned, surrounded
from bnnkit.cli import options
from bnnkit.cli.array_files import check_file, check_not_read
from bnnkit.cli.benchmark_table import print_benchmark, print_comparison, print_step_times
from bnnkit.cli.console import waiting, write
from bnnkit.cli.packing_note import write_packing_note
from bnnkit.errors import MissingExtraError, UnsupportedError
from bnnkit.files.atomic import write_text
from bnnkit.files.kinds import check_suffix
from bnnkit.runtime.open_file import read

DEFAULT_ENGINES = ("bnnkit", "onnxruntime", "onnxruntime-fp32")
DEFAULT_ENGINES_TFLITE = ("bnnkit", "lce", "onnxruntime-fp32")


@click.command("bench")
@click.argument("model", type=options.MODEL, required=False)
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
    "--cpus",
    callback=options.cpus,
    metavar="LIST",
    help="Run on these CPUs alone, such as 4,5 or 0-3: those of one cluster of a board.",
)
@click.option(
    "--json",
    "json_file",
    type=options.PATH,
    metavar="FILE",
    help="Write all measurements, in the JSON format of google-benchmark.",
)
@click.option(
    "--report",
    type=options.PATH,
    metavar="FILE",
    help="Write one HTML page with tables and plots, which needs no network.",
)
@click.option(
    "--compare",
    nargs=2,
    type=options.PATH,
    metavar="A.json B.json",
    help="Measure nothing, but show two files of --json side by side.",
)
@click.option(
    "--profile",
    is_flag=True,
    help="Show how long each layer takes in bnnkit's runtime and, unless --engines leaves ONNX "
    "Runtime out, as float32 there.",
)
def command(
    model: Path | None,
    engines: tuple[str, ...] | None,
    threads: tuple[int, ...],
    batches: tuple[int, ...],
    seconds: float,
    samples: int,
    seed: int,
    antithetic: bool,
    cpus: tuple[int, ...] | None,
    json_file: Path | None,
    report: Path | None,
    compare: tuple[Path, Path] | None,
    profile: bool,
) -> None:
    """Measure the latency of a model in several engines.

    The engines run interleaved on the same random inputs, so that machine noise affects all
    equally. Lines below the table name the clock and the temperature, and say if other processes,
    heat or a governor make the times too long. The measurement goes on up to three times as long
    as requested while the rounds differ by more than 5 %.
    """
    if compare is not None:
        if json_file is not None:
            raise click.UsageError("--compare measures nothing: leave out --json")
        _compare(compare, model, report)
        return
    if model is None:
        raise click.UsageError("expected a MODEL to measure, or --compare A.json B.json")
    config = EnsembleConfig(samples=samples, seed=seed, antithetic=antithetic)
    options.note_no_effect(
        options.is_given("samples"), "without --samples M", "seed", "antithetic"
    )
    _check_outputs(model, json_file, report)
    artifact = read(model)
    write_packing_note(artifact, model)
    is_tflite = artifact.tflite_source is not None
    if engines is None:
        engines = DEFAULT_ENGINES_TFLITE if is_tflite else DEFAULT_ENGINES
        _check_runtime(artifact, model, engines[1:])
    with pinned(cpus), waiting("measuring"):
        measured, surroundings = surrounded(
            lambda: benchmark(
                artifact,
                engines=engines,
                threads=threads,
                batches=batches,
                seconds=seconds,
                config=config,
            )
        )
        steps = _profile(artifact, threads[0], batches[0]) if profile else []
        has_twins = profile and any(name.startswith("onnxruntime") for name in engines)
        twins = _float_twins(artifact, threads[0], batches[0]) if has_twins else {}
    print_benchmark(measured, surroundings)
    if profile:
        print_step_times(steps, threads[0], batches[0], measured, twins)
    content = to_json(
        measured, model=model.name, profile=steps, float32_us=twins, surroundings=surroundings
    )
    _write(content, json_file, report)


def _check_runtime(artifact: Artifact, model: Path, others: Sequence[str]) -> None:
    """Check that bnnkit's runtime, with which the others are compared, can run the model."""
    try:
        open_benchmarked("bnnkit", artifact)
    except UnsupportedError as error:
        raise UnsupportedError(
            f"{model}: {error}; --engines {','.join(others)} measures without it"
        ) from error


def _profile(artifact: Artifact, threads: int, batch: int) -> list[StepTime]:
    return step_times(artifact, random_inputs(artifact, batch), threads=threads)


def _float_twins(artifact: Artifact, threads: int, batch: int) -> dict[str, float]:
    """Time the float32 twins of the binary layers; none where ONNX Runtime is not installed."""
    try:
        return float_twins(artifact, threads=threads, batch=batch)
    except MissingExtraError:
        return {}


def _check_outputs(model: Path, json_file: Path | None, report: Path | None) -> None:
    for file, suffix in ((json_file, "json"), (report, "html")):
        if file is not None:
            check_not_read(file, model)
            check_suffix(file, suffix)
            check_file(file)


def _write(content: dict[str, Any], json_file: Path | None, report: Path | None) -> None:
    if json_file is not None:
        write_text(json_file, json.dumps(content, indent=1) + "\n")
        write(f"wrote {json_file}")
    if report is not None:
        write_text(report, html_page(content))
        write(f"wrote {report}")


def _compare(files: tuple[Path, Path], model: Path | None, report: Path | None) -> None:
    """Show two stored benchmarks side by side."""
    if model is not None:
        raise click.UsageError(f"--compare measures nothing: leave out the model {model}")
    if report is not None:
        for file in files:
            check_not_read(report, file)
        check_suffix(report, "html")
        check_file(report)
    comparison = compare_benchmarks(*map(read_benchmark, files))
    print_comparison(comparison, files)
    if report is not None:
        write_text(report, html_comparison(comparison, [file.name for file in files]))
        write(f"wrote {report}")
