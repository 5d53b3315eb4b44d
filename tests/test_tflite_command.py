"""`bnnkit export --to tflite`."""

import json
from pathlib import Path

from click.testing import CliRunner

from bnnkit.cli.group import bnnkit_command


def test_export_to_tflite(digits_run: Path, tmp_path: Path) -> None:
    path = tmp_path / "m.tflite"
    words = ["export", str(digits_run), "--to", "tflite", "-o", str(path)]
    table = CliRunner().invoke(bnnkit_command, words)
    assert table.exit_code == 0, table.output
    assert "LceBconv2d" in table.output
    assert f"wrote {path}" in table.output
    found = json.loads(CliRunner().invoke(bnnkit_command, [*words, "--json"]).output)
    assert path.read_bytes()[4:8] == b"TFL3"
    assert found["file_bytes"] == path.stat().st_size
    assert found["input_shape"] == [1, 8, 8, 1]
    assert found["operators"]["LceBconv2d"] > 0
