"""The folders, the list of packages in the wheel, and the rules of who imports whom agree."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PACKAGE_DIR: dict[str, str] = PROJECT["tool"]["setuptools"]["package-dir"]
PACKAGES: list[str] = PROJECT["tool"]["setuptools"]["packages"]

FILE_FORMATS = {"numpy", "onnx"}
TRAINING_ROOMS = {"training", "models", "nn", "data"}


@dataclass(frozen=True)
class Room:
    """A folder of the package: what it owns, and what it may import besides its own modules.

    Attributes:
        owns: In a few words.
        rooms: Other rooms, each on a lower floor.
        packages: Of others, besides the standard library.
    """

    owns: str
    rooms: set[str] = field(default_factory=set)
    packages: set[str] = field(default_factory=set)


ROOMS: dict[str, Room] = {
    "cli": Room(
        "the command line, one file a command",
        {"verification", "bench", "deployment", "evaluation", "engines", "runtime", "export"}
        | {"artifact", "tflite", "data", "sweeps", "training", "zoo", "images", "files"},
        {"click", "rich", "numpy", "torch"},
    ),
    "verification": Room(
        "whether every engine computes the same bits",
        {"deployment", "engines", "runtime", "export", "artifact", "tflite", "training", "nn"},
        FILE_FORMATS | {"torch"},
    ),
    "deployment": Room(
        "from a checkpoint to the calibrated artifact",
        {"training", "runtime", "export", "artifact", "nn", "data", "images"},
        FILE_FORMATS | {"torch"},
    ),
    "bench": Room(
        "how fast the engines are",
        {"engines", "runtime", "artifact"},
        FILE_FORMATS,
    ),
    "evaluation": Room(
        "how accurate a network is, and how sure",
        {"runtime", "artifact"},
        {"numpy", "torch", "torchmetrics", "matplotlib"},
    ),
    "engines": Room(
        "everything that executes an artifact",
        {"runtime", "export", "nn", "artifact", "tflite"},
        FILE_FORMATS | {"torch", "onnxruntime", "openvino"},
    ),
    "gradients": Room(
        "how accurate the gradients of estimators are",
        {"nn"},
        {"numpy", "torch", "matplotlib"},
    ),
    "sweeps": Room(
        "runs with several seeds and settings",
        {"training", "data", "files"},
        {"yaml", "rich"},
    ),
    "training": Room(
        "configuration, loop, checkpoints",
        {"files", "images", "models", "nn", "data", "artifact"},
        {"numpy", "torch", "lightning_fabric", "lightning.fabric", "safetensors", "pydantic"}
        | {"yaml", "rich", "matplotlib", "filelock"},
    ),
    "runtime": Room(
        "from the artifact to kernels, on boards without torch",
        {"files", "images", "artifact", "tflite", "zoo"},
        FILE_FORMATS | {"numba", "llvmlite", "google.protobuf"},
    ),
    "export": Room(
        "from torch and from files of others to the artifact and to TFLite",
        {"files", "images", "nn", "artifact", "tflite"},
        FILE_FORMATS | {"torch", "onnx_ir", "onnxscript", "onnxruntime"},
    ),
    "models": Room("networks", {"nn"}, {"torch"}),
    "nn": Room("layers, noises and estimators", {"artifact"}, {"torch"}),
    "data": Room(
        "data sets, in memory or read while they are used",
        {"files", "images"},
        # Torch reads data sets that are not in memory; others load without it, as tested below.
        {"numpy", "sklearn", "PIL", "torch"},
    ),
    "tflite": Room("the .tflite format alone", {"artifact"}, {"numpy", "flatbuffers"}),
    "zoo": Room("trained networks that come with the package"),
    "artifact": Room("the file that everything else reads", set(), FILE_FORMATS),
    "images": Room("image files as inputs of a network", {"files"}, {"numpy", "PIL"}),
    "files": Room("opening files, what a file is, and writing it whole or not at all"),
}
"""The rooms from the top floor down: a room may import those below it that it names, never one
above. So each part can be read, tested and installed with what lies below it only."""

LOOSE = {
    "border": set[str](),
    "errors": set[str](),
    "plots": {"matplotlib"},
    "system": set[str](),
}
"""The modules that every room may import, and what they import."""
BELOW_LOOSE = {"bnnkit.errors", "bnnkit.files"}
"""Those that the others may import."""
MOST_LOOSE = 7

STANDARD_LIBRARY = sys.stdlib_module_names | {"typing_extensions"}  # what Python 3.10 lacks
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
        elif isinstance(node, ast.ImportFrom) and node.module == "bnnkit":
            yield from (f"bnnkit.{alias.name}" for alias in node.names)
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


def folder_of_room(name: str) -> Path:
    return ROOT / PACKAGE_DIR.get(f"bnnkit.{name}", f"bnnkit/{name}")


def is_within(module: str, packages: set[str]) -> bool:
    return any(module == name or module.startswith(name + ".") for name in packages)


def test_rooms_name_lower_floors_only() -> None:
    floors = list(ROOMS)
    for floor, (name, room) in enumerate(ROOMS.items()):
        above = {other for other in room.rooms if floors.index(other) <= floor}
        assert not above, f"arrows run down only: {name} must not import {above} above it"


def test_every_folder_is_a_room() -> None:
    links = {"export", "runtime"}
    folders = {path.parent.name for path in (ROOT / "bnnkit").glob("*/__init__.py")} | links
    assert folders == set(ROOMS), (
        "each folder of bnnkit/ needs a row in ROOMS that says what it owns"
    )


def test_few_modules_lie_loose() -> None:
    loose = {path.stem for path in (ROOT / "bnnkit").glob("*.py")}
    assert len(loose) <= MOST_LOOSE, "a module belongs into the room of its kind"
    assert loose - {"__init__", "__main__"} == set(LOOSE)


@pytest.mark.parametrize("name", ROOMS)
def test_a_room_imports_only_what_it_may(name: str) -> None:
    room, folder = ROOMS[name], folder_of_room(name)
    ours = {f"bnnkit.{other}" for other in (name, *room.rooms, *LOOSE)}
    files = list(folder.rglob("*.py"))
    assert files
    for path in files:
        for module in imported_modules(path):
            if module.partition(".")[0] in STANDARD_LIBRARY or module == "bnnkit":
                continue
            where = f"{path.relative_to(ROOT)} imports {module}"
            if module.startswith("bnnkit."):
                why = f"{name} ({room.owns}) may import {sorted(room.rooms)} only"
                assert is_within(module, ours), f"{where}, but {why}"
            else:
                why = (
                    f"{name} may need {sorted(room.packages)} only, or it no longer installs alone"
                )
                assert is_within(module, room.packages), f"{where}, but {why}"


def package_of(name: str) -> str:
    """The innermost package of a full name: "bnnkit.nn" of "bnnkit.nn.sign.Sign"."""
    while name not in PACKAGES:
        name = name.rpartition(".")[0]
    return name


def imported_names(path: Path) -> Iterator[str]:
    """The full names of what a file imports of bnnkit, such as "bnnkit.nn.sign.Sign"."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        yield from (name for name in names if name.startswith("bnnkit."))


def imported_packages(package: str) -> set[str]:
    """The other packages that the modules of a package import, `bnnkit` itself left out."""
    files = (ROOT / folder_of(package)).glob("*.py")
    return {package_of(name) for path in files for name in imported_names(path)} - {
        package,
        "bnnkit",
    }


def test_no_packages_import_each_other_in_a_circle() -> None:
    """The modules of `bnnkit` itself are left out: they are loose, and have tests of their own."""
    imports = {name: imported_packages(name) for name in PACKAGES if name != "bnnkit"}
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        circle = " imports ".join(reversed(error.args[1]))
        pytest.fail(
            f"{circle}: move what they share into a folder below them, so that each folder can be "
            "read and tested with what lies below it only"
        )


@pytest.mark.parametrize("name", LOOSE)
def test_loose_modules_import_nothing_of_the_rooms(name: str) -> None:
    for module in imported_modules(ROOT / "bnnkit" / f"{name}.py"):
        lower = BELOW_LOOSE - {f"bnnkit.{name}"} | LOOSE[name]
        is_standard = module.partition(".")[0] in sys.stdlib_module_names
        assert is_standard or is_within(module, lower), f"{name}.py imports {module}"


@pytest.mark.parametrize(
    "module", ["bnnkit", "bnnkit.artifact", "bnnkit.cli", "bnnkit.export", "bnnkit.errors"]
)
def test_importing_it_loads_nothing_heavy(module: str) -> None:
    assert not modules_after(f"import {module}") & HEAVY


@pytest.mark.parametrize("module", ["bnnkit.runtime", "bnnkit.artifact.report", "bnnkit.data"])
def test_a_board_needs_no_training_packages(module: str) -> None:
    heavy = {"torch", "onnxruntime", "onnx_ir", "matplotlib", "sklearn", "lightning_fabric"}
    assert not modules_after(f"import {module}") & heavy


@pytest.mark.parametrize("name", ["export", "runtime"])
def test_a_folder_is_not_imported_by_its_own_name(name: str) -> None:
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); import {name}"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert f"import this package as bnnkit.{name}, not as {name}" in run.stderr
