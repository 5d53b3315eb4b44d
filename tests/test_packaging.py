"""The folders, the list of packages in the wheel, and the rules of who imports whom agree."""

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PACKAGE_DIR: dict[str, str] = PROJECT["tool"]["setuptools"]["package-dir"]
PACKAGES: list[str] = PROJECT["tool"]["setuptools"]["packages"]

CORE = {"bnnkit.errors", "bnnkit.bits", "bnnkit.atomic", "bnnkit.artifact_format"}
CORE |= {"bnnkit.sample", "bnnkit.averaging", "bnnkit.tflite_schema"}
CORE |= {"bnnkit.tflite_builtins"}
TOP = {f"bnnkit.{path.stem}" for path in (ROOT / "bnnkit").glob("*.py") if path.stem[0] != "_"}
TRAINS = {"bnnkit.training", "bnnkit.data", "bnnkit.models", "bnnkit.nn", "torch"}
RUNS = {"bnnkit.runtime", "bnnkit.export", "numpy", "onnx"}
ALLOWED = {
    **{f"bnnkit/{name.partition('.')[2]}.py": CORE | {"numpy"} for name in sorted(CORE)},
    "bnnkit/*.py": {"bnnkit", "bnnkit.rivals", "matplotlib", "onnxruntime", "torchmetrics"}
    | TOP
    | TRAINS
    | RUNS,
    "bnnkit/__main__.py": {"bnnkit.cli"},
    "bnnkit/rivals": {"bnnkit.rivals", "openvino"} | TOP | RUNS,
    "bnnkit/cli": {"bnnkit", "bnnkit.cli", "bnnkit.rivals", "click", "rich"} | TOP | TRAINS | RUNS,
    "bnnkit/training": CORE
    | TRAINS
    | {"bnnkit", "numpy", "lightning_fabric", "lightning.fabric", "safetensors", "pydantic"}
    | {"yaml", "rich", "matplotlib", "bnnkit.picture"},
    "runtime": CORE | {"bnnkit.runtime", "numpy", "numba", "llvmlite", "onnx", "google.protobuf"},
    "export": CORE
    | {"bnnkit", "bnnkit.export", "bnnkit.nn", "numpy", "onnx", "onnx_ir", "torch", "flatbuffers"},
    "bnnkit/data": CORE | {"bnnkit.data", "numpy", "sklearn"},
    "bnnkit/nn": CORE | {"bnnkit.nn", "torch"},
    "bnnkit/models": CORE | {"bnnkit.models", "bnnkit.nn", "torch"},
}
"""What a folder, or files, may import besides the standard library; docs/architecture.md."""

HEAVY = {"torch", "onnxruntime", "numba", "onnx", "matplotlib", "sklearn", "lightning_fabric"}


def folder_of(package: str) -> str:
    """Where the source of a package lies: the nearest mapped parent, and the rest of the name."""
    parts = package.split(".")
    for length in range(len(parts), 0, -1):
        if (parent := ".".join(parts[:length])) in PACKAGE_DIR:
            return "/".join([PACKAGE_DIR[parent], *parts[length:]])
    raise AssertionError(package)


def python_folders() -> set[str]:
    tops = [ROOT / name for name in ("bnnkit", "export", "runtime")]
    inits = [init for top in tops for init in top.rglob("__init__.py")]
    return {
        init.parent.relative_to(ROOT).as_posix()
        for init in inits
        if not {"export", "runtime"} & set(init.parent.relative_to(ROOT).parts[1:2])
    }


def imported_modules(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def modules_after(statement: str) -> set[str]:
    code = f"import sys; {statement}; print(*sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return {name.partition(".")[0] for name in out.stdout.split()}


def test_every_package_folder_is_in_the_wheel() -> None:
    assert python_folders() == {folder_of(package) for package in PACKAGES}


def test_the_links_lead_to_the_folders() -> None:
    for name in ("export", "runtime"):
        link = ROOT / "bnnkit" / name
        assert not link.is_symlink() or link.resolve() == ROOT / name


def files_of(row: str) -> list[Path]:
    """The files of a row of `ALLOWED`; those with a row of their own are not in `*.py`."""
    if not row.endswith(".py"):
        return list((ROOT / row).rglob("*.py"))
    own = {ROOT / other for other in ALLOWED if "*" not in other and "*" in row}
    return sorted(set(ROOT.glob(row)) - own)


def test_every_file_has_a_row() -> None:
    rows = {path for row in ALLOWED for path in files_of(row)}
    tops = [ROOT / name for name in ("bnnkit", "export", "runtime")]
    links = {ROOT / "bnnkit" / name for name in ("export", "runtime")}
    files = {path for top in tops for path in top.rglob("*.py") if not links & set(path.parents)}
    assert files <= rows


@pytest.mark.parametrize("row", sorted(ALLOWED))
def test_files_import_only_what_they_may(row: str) -> None:
    files = files_of(row)
    assert files
    for path in files:
        for module in imported_modules(path):
            first = module.partition(".")[0]
            allowed = first in sys.stdlib_module_names or any(
                module == name or (name != "bnnkit" and module.startswith(name + "."))
                for name in ALLOWED[row]
            )
            assert allowed, f"{path.relative_to(ROOT)} imports {module}"


@pytest.mark.parametrize("module", ["bnnkit", "bnnkit.cli", "bnnkit.export", "bnnkit.errors"])
def test_importing_it_loads_nothing_heavy(module: str) -> None:
    assert not modules_after(f"import {module}") & HEAVY


@pytest.mark.parametrize("module", ["bnnkit.runtime", "bnnkit.export.report", "bnnkit.data"])
def test_a_board_needs_no_training_packages(module: str) -> None:
    heavy = {"torch", "onnxruntime", "onnx_ir", "matplotlib", "sklearn", "lightning_fabric"}
    assert not modules_after(f"import {module}") & heavy


@pytest.mark.parametrize("name", ["export", "runtime"])
def test_a_folder_is_not_imported_by_its_own_name(name: str) -> None:
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); import {name}"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert f"import this package as bnnkit.{name}, not as {name}" in run.stderr
