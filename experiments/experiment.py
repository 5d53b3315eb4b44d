"""The frame of an experiment: one command with a configuration, a stored result, a figure.

    python experiments/NAME.py CONFIG.yaml [KEY=VALUE ...] --out FOLDER

writes FOLDER/STEM.json and FOLDER/STEM.png, where STEM is the name of the configuration. An
experiment is a list of jobs. The result of each job is kept in FOLDER/STEM.jobs/, with the state
of a job that was stopped, so the same command continues where an earlier one ended. `--devices N`
shares the jobs among N GPUs, one process each. `python experiments/NAME.py RESULT.json` only draws
the figure.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic

import torch
from experiment_config import C, Config, Record, load_config
from experiment_result import ROOT, read_result, result_of_jobs, revision
from torch import Tensor

from bnnkit.border import border
from bnnkit.errors import BnnkitError, ConfigError, FileError, MissingExtraError, UsageError
from bnnkit.files.atomic import write_text
from bnnkit.training import safetensors_file


class OutOfTimeError(Exception):
    """A job was stopped by `--seconds`, after its state was saved."""


@dataclass(frozen=True)
class Job:
    """One part of an experiment, on one device.

    Attributes:
        name: Its name, a word.
        device: Where it computes.
        state: The file of its state if it is stopped.
        deadline: The time, by `time.monotonic`, at which it has to stop.
    """

    name: str
    device: torch.device
    state: Path
    deadline: float

    def load(self) -> tuple[dict[str, Tensor], Record] | None:
        """The tensors and the record of the saved state, if there is one."""
        return safetensors_file.read(self.state) if self.state.is_file() else None

    def save(self, tensors: Mapping[str, Tensor], about: Record) -> None:
        """Save the state; its `record` is the result so far."""
        safetensors_file.write(self.state, tensors, about)
        write_text(self.state.with_suffix(".partial.json"), json.dumps(about["record"]))

    @property
    def is_out_of_time(self) -> bool:
        return time.monotonic() > self.deadline

    def say(self, text: str) -> None:
        print(f"{self.name}: {text}", flush=True)


@dataclass(frozen=True)
class Experiment(Generic[C]):
    """A configuration's type, the jobs of a configuration, and what to do with them.

    Attributes:
        name: The name of its file.
        config: The type of the configuration.
        jobs: Names of the jobs of a configuration, the longest first.
        run: Runs a job and returns its record.
        draw: Draws the figure of a result.
    """

    name: str
    config: type[C]
    jobs: Callable[[C], list[str]]
    run: Callable[[C, Job], Record]
    draw: Callable[[Record, Path], None]


def main(experiment: Experiment[Any], arguments: Sequence[str] | None = None) -> None:
    """Run an experiment from the command line."""
    try:
        options = _parser().parse_args(arguments)
        if options.config.suffix == ".json":
            result = read_result(options.config, experiment.name)
            with border(FileError, options.config):
                experiment.draw(result, options.config.with_suffix(".png"))
        else:
            _run(experiment, options)
    except (BnnkitError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from error


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Run an experiment, or draw a stored result.")
    add = parser.add_argument
    add("config", type=Path, help="a configuration (.yaml), or a result (.json) to draw")
    add("overrides", nargs="*", metavar="KEY=VALUE", help="changes keys of the configuration")
    add("--out", type=Path, default=ROOT / "docs" / "results", help="the folder of the result")
    add("--device", choices=("cpu", "cuda"), help="where to compute; cpu, or cuda with --devices")
    add("--devices", type=int, default=0, help="GPUs that share the jobs, a process on each")
    add(
        "--seconds", type=float, default=float("inf"), help="stop after this time, to be continued"
    )
    add("--revision", help="the revision to store; that of git by default")
    add("--only", nargs="*", help="the jobs to run; all by default")
    return parser


def _run(experiment: Experiment[C], options: argparse.Namespace) -> None:
    config = load_config(experiment.config, options.config, options.overrides)
    folder = options.out / f"{options.config.stem}.jobs"
    folder.mkdir(parents=True, exist_ok=True)
    names = experiment.jobs(config)
    _check_folder(folder, config)
    try:
        chosen = names if options.only is None else _known(options.only, names)
        if options.devices:
            left = [name for name in chosen if not (folder / f"{name}.json").is_file()]
            _share(experiment.name, options, left)
        else:
            _run_jobs(experiment, config, folder, chosen, options)
    finally:
        if options.only is None:
            _finish(experiment, config, folder, names, options)


def _run_jobs(
    experiment: Experiment[C],
    config: C,
    folder: Path,
    names: Sequence[str],
    options: argparse.Namespace,
) -> None:
    """Run jobs one after the other; one that fails does not stop the others."""
    deadline, failed = time.monotonic() + options.seconds, []
    for number, name in enumerate(names):
        if number and time.monotonic() > deadline:
            break
        try:
            _run_job(experiment, config, folder, name, options, deadline)
        except BnnkitError as error:
            print(f"error: {name}: {error}", file=sys.stderr, flush=True)
            failed.append(name)
    if failed:
        raise UsageError(f"these jobs failed: {', '.join(failed)}")


def _known(chosen: Sequence[str], names: Sequence[str]) -> Sequence[str]:
    if unknown := set(chosen) - set(names):
        raise ConfigError(f"--only: expected jobs out of {', '.join(names)}, got {unknown}")
    return chosen


def _run_job(
    experiment: Experiment[C],
    config: C,
    folder: Path,
    name: str,
    options: argparse.Namespace,
    deadline: float,
) -> None:
    path = folder / f"{name}.json"
    if path.is_file():
        return
    job = Job(
        name,
        torch.device(options.device or "cpu"),
        path.with_suffix(".safetensors"),
        deadline,
    )
    try:
        record = experiment.run(config, job)
    except OutOfTimeError:
        job.say("stopped; the same command continues")
        return
    record["made_by"] = {
        "revision": options.revision or revision(),
        "torch": torch.__version__,
        "machine": platform.machine(),
        "device": _device_name(job.device),
    }
    write_text(path, json.dumps(record))
    for part in (job.state, job.state.with_suffix(".partial.json")):
        part.unlink(missing_ok=True)


def _share(experiment: str, options: argparse.Namespace, names: list[str]) -> None:
    """Deal the jobs to processes, one for each GPU, in turns."""
    shares = [names[first :: options.devices] for first in range(options.devices)]
    script = ROOT / "experiments" / f"{experiment}.py"
    command = [sys.executable, str(script), str(options.config), *options.overrides]
    command += ["--out", str(options.out), "--seconds", str(options.seconds)]
    command += ["--revision", options.revision] if options.revision else []
    command += ["--device", options.device or "cuda", "--only"]
    gpus = [""] * options.devices if options.device == "cpu" else _gpus(options.devices)
    processes = [
        subprocess.Popen(
            [*command, *share],
            env={**os.environ, "CUDA_VISIBLE_DEVICES": gpu},
        )
        for gpu, share in zip(gpus, shares, strict=True)
        if share
    ]
    codes = [process.wait() for process in processes]
    if any(codes):
        raise FileError(f"a process ended with an error; exit codes {codes}")


def _gpus(count: int) -> list[str]:
    """Choose GPUs: the first ones, out of those that the user lets programs see.

    Raises:
        UsageError: If CUDA_VISIBLE_DEVICES names fewer.
    """
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return [str(number) for number in range(count)]
    names = [name.strip() for name in visible.split(",") if name.strip()]
    if len(names) < count:
        raise UsageError(
            f"--devices {count}: expected as many GPUs in CUDA_VISIBLE_DEVICES, got {visible!r}"
        )
    return names[:count]


def _finish(
    experiment: Experiment[C],
    config: C,
    folder: Path,
    names: list[str],
    options: argparse.Namespace,
) -> None:
    result = result_of_jobs(experiment.name, config, folder, names)
    if not result["jobs"]:
        return
    path = options.out / f"{options.config.stem}.json"
    write_text(path, json.dumps(result, indent=1) + "\n")
    print(f"{len(result['jobs']) - len(result['stopped'])} of {len(names)} jobs are done: {path}")
    try:
        experiment.draw(result, path.with_suffix(".png"))
    except MissingExtraError as error:
        print(f"no figure: {error}")


def _check_folder(folder: Path, config: Config) -> None:
    """Check that the folder's jobs are of this configuration."""
    path, text = folder / "config.json", json.dumps(config.stored(), indent=1)
    if path.is_file() and path.read_text() != text:
        raise ConfigError(f"{folder} has jobs of another configuration; remove it or use --out")
    write_text(path, text)


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
