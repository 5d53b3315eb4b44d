"""The stored result of an experiment: its configuration, the code's revision, and all jobs."""

import json
import platform
import subprocess
from collections.abc import Sequence
from pathlib import Path

import torch
from experiment_config import Config, Record

ROOT = Path(__file__).parent.parent


def result_of_jobs(
    name: str, config: Config, folder: Path, names: Sequence[str], code: str | None
) -> Record:
    """Collect the records of jobs, also of stopped ones, as they are in a folder.

    Args:
        name: The experiment's.
        config: Its configuration.
        folder: The records, NAME.json or NAME.partial.json.
        names: Of all jobs.
        code: The revision of the code; that of git by default.
    """
    done = [name for name in names if (folder / f"{name}.json").is_file()]
    stopped = [name for name in names if (folder / f"{name}.partial.json").is_file()]
    files = {name: f"{name}.json" for name in done} | {n: f"{n}.partial.json" for n in stopped}
    return {
        "experiment": name,
        "config": config.stored(),
        "revision": code or revision(),
        "torch": torch.__version__,
        "machine": platform.machine(),
        "finished": done == list(names),
        "stopped": stopped,
        "jobs": {n: json.loads((folder / files[n]).read_text()) for n in names if n in files},
    }


def revision() -> str:
    """The commit of the code, with "+changes" if files differ from it."""
    git = ["git", "-C", str(ROOT)]
    try:
        commit = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True)
        status = subprocess.run(
            [*git, "status", "--porcelain", "-uno"], check=True, capture_output=True
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return commit.stdout.decode().strip() + ("+changes" if status.stdout else "")
