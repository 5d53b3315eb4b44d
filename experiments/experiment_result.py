"""The stored result of an experiment: its configuration, and all jobs with their code."""

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path

from experiment_config import Config, Record

from bnnkit.errors import FileError
from bnnkit.files.regular_file import read_bytes

ROOT = Path(__file__).parent.parent


def result_of_jobs(name: str, config: Config, folder: Path, names: Sequence[str]) -> Record:
    """Collect the records of jobs, also of stopped ones, as they are in a folder.

    Args:
        name: The experiment's.
        config: Its configuration.
        folder: The records, NAME.json or NAME.partial.json.
        names: Of all jobs.
    """
    done = [name for name in names if (folder / f"{name}.json").is_file()]
    stopped = [name for name in names if (folder / f"{name}.partial.json").is_file()]
    files = {name: f"{name}.json" for name in done} | {n: f"{n}.partial.json" for n in stopped}
    return {
        "experiment": name,
        "config": config.stored(),
        "finished": done == list(names),
        "stopped": stopped,
        "jobs": {n: json.loads((folder / files[n]).read_text()) for n in names if n in files},
    }


def read_result(path: Path, experiment: str) -> Record:
    """Read a stored result.

    Raises:
        FileError: If it cannot be read, or is not one of this experiment.
    """
    try:
        result: Record = json.loads(read_bytes(path, what="the result"))
    except (ValueError, RecursionError) as error:
        raise FileError(f"{path} is not valid JSON: {error}") from error
    keys = ("experiment", "config", "jobs")
    if not isinstance(result, dict) or any(key not in result for key in keys):
        raise FileError(f"{path}: expected a result with the keys {', '.join(keys)}")
    if result["experiment"] != experiment:
        raise FileError(f"{path}: expected a result of {experiment}, got {result['experiment']!r}")
    return result


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
