"""Files of /proc and /sys, below a root: `/`, or a folder with the recorded files of a board."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

ROOT: Final = Path("/")


def read_text(path: Path) -> str | None:
    """Return the text of a file without white space and zero bytes at its ends.

    Returns:
        The text; None if the file is missing, not readable, or empty.
    """
    try:
        text = path.read_bytes().decode(errors="replace")
    except OSError:
        return None
    return text.strip("\0 \t\r\n") or None


def read_number(path: Path, base: int = 10) -> int | None:
    """Return the whole number in a file; None if there is none."""
    try:
        return int(read_text(path) or "", base)
    except ValueError:
        return None


def cpuinfo(root: Path = ROOT) -> Iterator[dict[str, str]]:
    """Read the blocks of /proc/cpuinfo, one for each CPU; a last one may describe the board."""
    for block in (read_text(root / "proc/cpuinfo") or "").split("\n\n"):
        pairs = (line.partition(":") for line in block.splitlines())
        yield {key.strip(): value.strip() for key, _, value in pairs}


def cpu_list(text: str) -> tuple[int, ...]:
    """Read a list of CPUs as Linux writes it: "0-3,6", or "0 1 2 3".

    Raises:
        ValueError: If it is not such a list.
    """
    cpus: list[int] = []
    for part in text.replace(",", " ").split():
        first, dash, last = part.partition("-")
        if not (first.isdecimal() and (last.isdecimal() if dash else True)):
            raise ValueError(f"expected numbers of CPUs such as 0-3,6, got {text!r}")
        cpus += range(int(first), int(last if dash else first) + 1)
    if not cpus:
        raise ValueError(f"expected numbers of CPUs such as 0-3,6, got {text!r}")
    return tuple(sorted(set(cpus)))
