"""Errors of the command line: a one-line message and the exit code."""

import re
import subprocess
import sys
from pathlib import Path

import click
import numpy as np
import onnx
import onnx.parser
import pytest
from artifacts import ArtifactBuilder
from click.testing import Result
from command_line import run

from bnnkit.cli import group

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def _fail_with(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> Result:
    """Run a command that raises an error."""

    @click.command("info")
    def command() -> None:
        raise error

    monkeypatch.setattr(group.LazyGroup, "get_command", lambda *arguments: command)
    return run("info")


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (KeyboardInterrupt(), 130, "bnnkit info: interrupted"),
        (MemoryError(), 2, "bnnkit info: not enough memory"),
        (
            OSError(28, "No space left on device", "f"),
            2,
            "bnnkit info: f: No space left on device",
        ),
        (click.UsageError("two\nlines"), 2, "bnnkit info: two lines"),
    ],
)
def test_ends_in_one_line(
    monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int, line: str
) -> None:
    result = _fail_with(monkeypatch, error)
    assert (result.exit_code, result.stderr, result.stdout) == (code, f"{line}\n", "")


@pytest.mark.parametrize(
    ("package", "extra"),
    [("torch", "train"), ("onnxruntime", "ort"), ("onnx_ir", "export"), ("matplotlib", "plot")],
)
def test_a_missing_extra_is_a_sentence(
    monkeypatch: pytest.MonkeyPatch, package: str, extra: str
) -> None:
    result = _fail_with(monkeypatch, ModuleNotFoundError(name=package))
    assert result.exit_code == 2
    assert result.stderr == (
        f"bnnkit info: what uses {package} needs more packages: pip install 'bnnkit[{extra}]'\n"
    )


@pytest.mark.parametrize("name", ["bnnkit.nothing", "torch.nothing"])
def test_a_missing_module_of_ours_is_a_fault_of_ours(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    result = _fail_with(monkeypatch, ModuleNotFoundError(f"No module named {name!r}", name=name))
    assert "fault of bnnkit: ModuleNotFoundError" in result.stderr
    assert f"No module named {name!r}" in result.stderr


@pytest.mark.parametrize(
    "arguments", [["export", "RUN", "-o", "m.onnx"], ["eval", "RUN"], ["eval", "MODEL"]]
)
def test_without_torch(digits_run: Path, digits_model: Path, arguments: list[str]) -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from bnnkit.cli.group import bnnkit_command\n"
        "bnnkit_command.main(sys.argv[1:], 'bnnkit')"
    )
    paths = {"RUN": str(digits_run), "MODEL": str(digits_model)}
    filled = [paths.get(part, part) for part in arguments]
    done = subprocess.run([sys.executable, "-c", code, *filled], capture_output=True, text=True)
    assert done.returncode == 2
    assert re.fullmatch(
        rf"bnnkit {arguments[0]}: .*pip install 'bnnkit\[(train|export)\]'\n", done.stderr
    )


WITHOUT_TORCH = {
    "train missing.yaml --out run": "cannot read the configuration missing.yaml",
    "train run.yaml epochs=0 --out run": "epochs: expected a value greater than or equal to 1",
    "train run.yaml data.name=nist --out run": "unknown data set 'nist'",
    "train run.yaml data.name=no.npz --out run": "cannot read no.npz",
    "recipe own:make --data nist -o new": "unknown data set 'nist'",
    "recipe own:make name=1 --data digits -o new": "expected arguments of the network, got name",
    "recipe own:make --data digits -o old": "float.yaml exists; remove it",
    "recipe own:make --data digits -o run.yaml": "expected a folder, got a file",
    "eval missing --data digits": "cannot read missing",
    "eval old": "old/checkpoint.safetensors: no such checkpoint",
    "eval run.yaml --data nist": "unknown data set 'nist'",
}
"""Commands, and what they say before torch is imported, which takes seconds."""


def test_errors_that_need_no_torch_come_before_it(tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text("{data: {name: digits}, model: {name: mlp}}")
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "float.yaml").touch()
    code = (
        "import sys\n"
        "from click.testing import CliRunner\n"
        "from bnnkit.cli.group import bnnkit_command\n"
        "for line in sys.argv[1:]:\n"
        "    result = CliRunner().invoke(bnnkit_command, line.split())\n"
        "    assert result.exit_code == 2, result.output\n"
        "    print(result.stderr, end='')\n"
        "assert 'torch' not in sys.modules"
    )
    command = [sys.executable, "-c", code, *WITHOUT_TORCH]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    said = done.stdout.splitlines()
    for line, words in zip(said, WITHOUT_TORCH.values(), strict=True):
        assert words in line
    assert not (tmp_path / "new").exists()


def test_a_model_that_mixes_images_is_not_run(tmp_path: Path) -> None:
    a = ArtifactBuilder(0)
    out = a.add("ReduceMean", "x", a.constant(np.array([0])), keepdims=1)
    onnx.save(a.artifact((12,), out, sizes={out: (12,)}).model, tmp_path / "mean.onnx")
    np.save(tmp_path / "x.npy", np.ones((300, 12), np.float32))
    paths = [str(tmp_path / name) for name in ("mean.onnx", "x.npy", "out.npy")]
    arguments = ["run", *paths[:2], "-o", paths[2], "--engine", "reference"]
    result = run(*arguments)
    assert result.exit_code == 2
    assert "it mixes the images, or does not depend on them" in result.output
    assert not Path(paths[2]).exists()


PROJECT = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text())["project"]
IMPORTED_AS = {
    "PyYAML": {"yaml"},
    "scikit-learn": {"sklearn"},
    "lightning-fabric": {"lightning_fabric", "lightning"},
    "pillow": {"PIL"},
}
"""The import names of distributions that differ by more than hyphens."""
SELF_EXPLAINED = {"openvino", "lce"}
"""Extras whose engines name them in their own errors."""


def test_every_optional_package_names_its_extra() -> None:
    """The names that `pip` knows in pyproject.toml and the import names in group.py agree."""
    brings: dict[str, str] = {}
    for extra, requirements in PROJECT["optional-dependencies"].items():
        if extra in {"all", "test", "docs"} | SELF_EXPLAINED:  # bnnkit imports nothing of docs
            continue
        names = [re.split(r"[\[<>=; ]", text)[0] for text in requirements]
        for name in sorted(set(names) - {"bnnkit"}):
            imported = IMPORTED_AS.get(name, {name.replace("-", "_")})
            brings |= dict.fromkeys(imported, extra)
    assert brings == group._EXTRAS
