"""Boards whose files of /proc and /sys are in tests/data/boards."""

import json
from pathlib import Path

FOLDER = Path(__file__).parent / "data" / "boards"
NAMES = tuple(sorted(file.stem for file in FOLDER.glob("*.json")))


def write_board(name: str, root: Path) -> Path:
    """Write the files of a board below a folder, and return the folder."""
    for path, text in json.loads((FOLDER / f"{name}.json").read_text()).items():
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return root
