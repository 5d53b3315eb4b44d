"""Measure how training scales with the number of GPUs.

python benchmarks/scaling.py CONFIG.yaml [KEY=VALUE ...] --processes 1 2 4 --batch 128

Each number of processes trains twice: with BATCH examples a process and step (weak scaling), and
with BATCH times the largest number together (strong scaling). Runs that need fewer GPUs than the
machine has are started side by side. The first epoch, with compilation and warm-up, is not
counted. The results are added to results/scaling.json after each run. --seconds ends all of them,
--run-seconds each of them; what they measured until then is stored.

python benchmarks/scaling.py --table                    # prints the stored results
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from bnnkit.bench.machine import describe_machine_to_publish
from bnnkit.files.atomic import write_text
from bnnkit.training.history import read_history

RESULTS = Path(__file__).parent / "results" / "scaling.json"
POLL_S = 0.2
VARIANTS = ("sync_batch_norm=false", "cuda_graph=false", "compile=false")


@dataclass(frozen=True)
class Job:
    """A run: processes, the examples of a step over all of them, and more overrides."""

    processes: int
    batch_size: int
    overrides: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The name of its folder."""
        return "-".join([f"{self.processes}x{self.batch_size // self.processes}", *self.overrides])


@dataclass
class Started:
    """A run that was started."""

    job: Job
    process: "subprocess.Popen[bytes]"
    devices: list[int]
    folder: Path
    start: float = field(default_factory=time.monotonic)


def jobs_of(processes: list[int], batch: int, variants: list[str]) -> list[Job]:
    """Return the runs, those first whose results matter most."""
    most = max(processes)
    weak = [Job(p, p * batch) for p in processes]
    strong = [Job(p, most * batch) for p in processes]
    first = [*weak[:-1], strong[0], weak[-1], *strong]
    others = [Job(most, most * batch, (variant,)) for variant in variants]
    return list(dict.fromkeys([*first, *others]))


def start(job: Job, devices: list[int], folder: Path, arguments: argparse.Namespace) -> Started:
    """Start a run on some of the GPUs."""
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={job.processes}"]
    command = [sys.executable, *(launcher if job.processes > 1 else [])]
    command += ["-m", "bnnkit", "train", arguments.config, *arguments.overrides]
    command += [f"batch_size={job.batch_size}", f"epochs={arguments.epochs}", *job.overrides]
    command += [f"device={arguments.device}", "--out", str(folder / job.name)]
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ",".join(map(str, devices))}
    with (folder / f"{job.name}.log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    print(f"started {job.name} on {devices}", flush=True)
    return Started(job, process, devices, folder)


def result(run: Started) -> dict[str, Any]:
    """Return what is measured of a run that ended."""
    job, folder = run.job, run.folder / run.job.name
    records = read_history(folder / "metrics.jsonl")
    epochs = [record for record in records if not record.get("final")]
    found: dict[str, Any] = {
        "processes": job.processes,
        "batch_size": job.batch_size,
        "overrides": list(job.overrides),
        "exit_code": run.process.returncode,
        "whole_command_s": round(time.monotonic() - run.start, 1),
        "epoch_s": [record["seconds"] for record in epochs],
        "train_loss": [round(record["train_loss"], 5) for record in epochs],
    }
    if len(epochs) > 1:
        seconds = statistics.median(found["epoch_s"][1:])
        images = epochs[-1]["images_per_second"] * epochs[-1]["seconds"]
        found |= {"seconds": seconds, "images_per_second": round(images / seconds)}
    final = [record for record in records if record.get("final")]
    found |= {key: final[-1][key] for key in ("test_accuracy", "test_loss") if final}
    if run.process.returncode:
        found["log"] = (run.folder / f"{job.name}.log").read_text()[-3000:]
    return found


def describe(arguments: argparse.Namespace, devices: int) -> dict[str, Any]:
    """Describe the machine and the measurement."""
    about = describe_machine_to_publish() | {"torch": torch.__version__, "devices": devices}
    if arguments.device == "cuda":
        about |= {
            "gpu": torch.cuda.get_device_name(),
            "nccl": ".".join(map(str, torch.cuda.nccl.version())),  # type: ignore[no-untyped-call]
        }
    return {
        "config": Path(arguments.config).name,
        "overrides": [o for o in arguments.overrides if not o.startswith("data.dir=")],
        "epochs": arguments.epochs,
        "revision": arguments.revision,
        "machine": about,
    }


def measure(arguments: argparse.Namespace, folder: Path) -> list[dict[str, Any]]:
    """Run everything, as many at a time as there are GPUs for, and store each result."""
    most = max(arguments.processes)
    devices = torch.cuda.device_count() if arguments.device == "cuda" else most
    about = describe(arguments, devices)
    waiting = jobs_of(arguments.processes, arguments.batch, arguments.variants)
    free, running, results = list(range(devices)), list[Started](), list[dict[str, Any]]()
    deadline = time.monotonic() + arguments.seconds
    while waiting or running:
        while waiting and len(free) >= waiting[0].processes and time.monotonic() < deadline:
            job = waiting.pop(0)
            mine, free = free[: job.processes], free[job.processes :]
            running.append(start(job, mine, folder, arguments))
        time.sleep(POLL_S)
        now = time.monotonic()
        if now > deadline:
            waiting.clear()
        for run in running:
            if now > min(deadline, run.start + arguments.run_seconds):
                run.process.terminate()
        for run in [run for run in running if run.process.poll() is not None]:
            running.remove(run)
            free += run.devices
            results.append(result(run))
            print(line(results[-1]), flush=True)
            store(arguments.out, {**about, "runs": with_efficiency(results)})
    return with_efficiency(results)


def with_efficiency(results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Add the throughput per process as a share of one process's, weak and strong."""
    alone = {
        r["batch_size"]: r["images_per_second"]
        for r in results
        if r["processes"] == 1 and "images_per_second" in r
    }
    found = []
    for r in results:
        each = r.get("images_per_second", 0) / r["processes"]
        weak, strong = alone.get(r["batch_size"] // r["processes"]), alone.get(r["batch_size"])
        ratios = {"weak_efficiency": weak, "strong_efficiency": strong}
        shares = {key: round(each / one, 3) for key, one in ratios.items() if one and each}
        found.append(r | shares)
    return found


def store(path: Path, measured: dict[str, Any]) -> None:
    """Write the measurement; those of other configurations, machines or overrides stay."""
    stored = json.loads(path.read_text()) if path.is_file() else []
    key = ("config", "overrides", "epochs", "revision")
    others = [one for one in stored if any(one[name] != measured[name] for name in key)]
    write_text(path, json.dumps([*others, measured], indent=1) + "\n")


def table(measured: dict[str, Any]) -> str:
    """Return the runs of a measurement as a table in Markdown."""
    columns = ["GPUs", "batch", "changed", "s an epoch", "images/s", "weak", "strong", "accuracy"]
    rows = [columns, ["---:", "---:", "---", *["---:"] * 5]]
    runs = [run for run in measured["runs"] if "seconds" in run]
    for run in sorted(runs, key=lambda r: (r["overrides"], r["processes"], r["batch_size"])):
        shares = [run.get(f"{kind}_efficiency") for kind in ("weak", "strong")]
        numbers = ["" if share is None else f"{100 * share:.0f} %" for share in shares]
        accuracy = f"{100 * run['test_accuracy']:.2f} %" if "test_accuracy" in run else ""
        changed = ", ".join(f"`{override}`" for override in run["overrides"])
        row = [str(run["processes"]), str(run["batch_size"]), changed, f"{run['seconds']:.3f}"]
        rows.append([*row, f"{run['images_per_second']:,}", *numbers, accuracy])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def line(found: dict[str, Any]) -> str:
    """Describe a result in a line."""
    if "seconds" not in found:
        return f"{found['processes']} processes: exit code {found['exit_code']}, no measurement"
    accuracy = f", test accuracy {found['test_accuracy']:.4f}" if "test_accuracy" in found else ""
    words = " ".join(found["overrides"])
    return (
        f"{found['processes']} processes, batch {found['batch_size']} {words}: "
        f"{found['seconds']:.3f} s an epoch, {found['images_per_second']:,} images/s{accuracy}"
    )


def main() -> None:
    """Measure and store."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("config", nargs="?")
    parser.add_argument("overrides", nargs="*", default=[])
    parser.add_argument("--processes", nargs="+", type=int, default=[1, 2, 4])
    parser.add_argument("--batch", type=int, default=128, help="examples a process, weak scaling")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--variants", nargs="*", default=[], choices=VARIANTS)
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--seconds", type=float, default=3600.0)
    parser.add_argument("--run-seconds", type=float, default=3600.0)
    parser.add_argument("--revision", default="", help="the revision of the code")
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--table", action="store_true", help="print the stored results")
    arguments = parser.parse_intermixed_args()
    if arguments.table:
        for measured in json.loads(arguments.out.read_text()):
            print(f"{measured['config']}, {measured['epochs']} epochs\n\n{table(measured)}\n")
        return
    if arguments.config is None:
        parser.error("expected a configuration, or --table")
    with tempfile.TemporaryDirectory() as folder:
        for found in measure(arguments, Path(folder)):
            ratios = {key: found[key] for key in found if key.endswith("efficiency")}
            print(line(found), ratios)


if __name__ == "__main__":
    main()
