"""Folders and files in which another user could have put code are refused."""

import ast
import os
import resource
import stat
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

from bnnkit.errors import UsageError
from bnnkit.runtime.kernels import cache_folder, compiled
from bnnkit.runtime.kernels.cache_folder import VARIABLE
from bnnkit.runtime.kernels.machine_code import MachineCode, read_code, write_code
from bnnkit.runtime.kernels.trusted_path import (
    UntrustedError,
    make_trusted_folder,
    read_trusted_file,
)

STRANGER = 65534


@pytest.fixture
def give_away(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], None]:
    """Give a file or folder to another user, or, without the right to, act as another one."""

    def give(path: Path) -> None:
        if os.geteuid() == 0:
            os.chown(path, STRANGER, STRANGER, follow_symlinks=False)
        else:
            number = os.geteuid() + 1
            monkeypatch.setattr(os, "geteuid", lambda: number)

    return give


def test_missing_folders_are_made_for_this_user_only(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        make_trusted_folder(tmp_path / "a" / "b")
    finally:
        os.umask(before)
    for folder in (tmp_path / "a", tmp_path / "a" / "b"):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o755
    make_trusted_folder(tmp_path / "a" / "b")


@pytest.mark.parametrize("mode", [0o777, 0o757, 0o775])
def test_a_folder_that_others_can_write(tmp_path: Path, mode: int) -> None:
    folder = tmp_path / "cache"
    folder.mkdir()
    folder.chmod(mode)
    with pytest.raises(UntrustedError, match=r"writable by other users \(run chmod go-w"):
        make_trusted_folder(folder)


def test_a_folder_in_one_that_others_can_write(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    with pytest.raises(UntrustedError, match="shared is writable by other users"):
        make_trusted_folder(shared / "cache")
    shared.chmod(0o1777)  # sticky, as /tmp: others cannot replace what is ours
    make_trusted_folder(shared / "cache")


def test_a_folder_of_another_user(tmp_path: Path, give_away: Callable[[Path], None]) -> None:
    folder = tmp_path / "shared" / "cache"
    folder.mkdir(parents=True)
    give_away(folder)
    with pytest.raises(UntrustedError, match=r"belongs to another user"):
        make_trusted_folder(folder / "kernels")


def test_a_link_is_followed_if_it_is_ours(
    tmp_path: Path, give_away: Callable[[Path], None]
) -> None:
    target = tmp_path / "elsewhere" / "target"
    target.mkdir(parents=True)
    link = tmp_path / "link"
    link.symlink_to(Path("elsewhere") / ".." / "elsewhere" / "target")
    make_trusted_folder(link / "kernels")
    assert (target / "kernels").is_dir()
    target.chmod(0o777)
    with pytest.raises(UntrustedError, match="target is writable by other users"):
        make_trusted_folder(link / "kernels")
    target.chmod(0o755)
    give_away(link)
    with pytest.raises(UntrustedError, match="belongs to another user"):
        make_trusted_folder(link / "kernels")


def test_a_circle_of_links_ends(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    with pytest.raises(OSError, match="symbolic links"):
        make_trusted_folder(tmp_path / "a" / "kernels")


def _linked(path: Path) -> None:
    path.rename(path.with_name("real"))
    path.symlink_to(path.with_name("real"))


def _pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize(
    "spoil", [lambda path: path.chmod(0o666), lambda path: path.chmod(0o664), _linked, _pipe]
)
def test_a_file_that_could_be_anothers(tmp_path: Path, spoil: Callable[[Path], None]) -> None:
    path = tmp_path / "a.kernel"
    path.write_bytes(b"code")
    assert read_trusted_file(path) == b"code"
    spoil(path)
    with pytest.raises((UntrustedError, OSError)):
        read_trusted_file(path)


def test_a_file_of_another_user(tmp_path: Path, give_away: Callable[[Path], None]) -> None:
    path = tmp_path / "a.kernel"
    path.write_bytes(b"code")
    give_away(path)
    with pytest.raises(UntrustedError, match="belongs to another user"):
        read_trusted_file(path)


@pytest.mark.parametrize("value", ["", "cache", "./cache", "~/cache"])
def test_a_relative_cache_folder_is_refused(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, value)
    with pytest.raises(
        UsageError, match=f"expected an absolute path in {VARIABLE}, got '{value}'"
    ):
        cache_folder.cache_folder()


def _without_home(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (VARIABLE, "HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)

    def unknown(number: int) -> None:
        raise KeyError(number)

    monkeypatch.setattr("pwd.getpwuid", unknown)


def test_without_a_home_the_folder_for_temporary_files_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _without_home(monkeypatch)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    folder = cache_folder.cache_folder()
    assert folder.parent.parent == tmp_path / f"bnnkit-{os.geteuid()}"


@pytest.mark.parametrize("home", ["relative", "/proc/nowhere", "written by others"])
def test_a_home_that_cannot_be_used(
    home: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if home == "written by others":
        home = str(tmp_path / "home")
        (tmp_path / "home" / ".cache").mkdir(parents=True)
        (tmp_path / "home" / ".cache").chmod(0o777)
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", home)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    assert cache_folder.cache_folder().is_relative_to(tmp_path / f"bnnkit-{os.geteuid()}")


def test_one_warning_where_nothing_can_be_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv(VARIABLE, str(tmp_path / "file" / "cache"))
    monkeypatch.setattr(compiled, "_is_warned", False)
    with pytest.warns(RuntimeWarning, match=f"Not a directory; set {VARIABLE} to a folder") as w:
        assert compiled._usable_folder() is None
    assert len(w) == 1
    assert str(w[0].message).startswith("every process compiles its kernels again")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert compiled._usable_folder() is None


CODE = MachineCode("kernel", b"object file" * 1000)


def test_a_full_disk_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A limit on the size of files acts as a full disk: the write fails in the middle."""
    monkeypatch.setattr(compiled, "_is_warned", False)
    path = tmp_path / "a.kernel"
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5000, before[1]))
    try:
        with pytest.warns(RuntimeWarning, match=f"cannot write {path}: File too large; set"):
            compiled._store(path, CODE)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(tmp_path.iterdir()) == []


def test_processes_that_write_the_same_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, unlink = tmp_path / "a.kernel", Path.unlink

    def lose_the_race(self: Path, missing_ok: bool = False) -> None:
        unlink(self, missing_ok)
        monkeypatch.setattr(Path, "unlink", unlink)
        write_code(path, CODE)  # as another process

    monkeypatch.setattr(Path, "unlink", lose_the_race)
    write_code(path, CODE)
    assert read_code(path) == CODE


@pytest.mark.slow
def test_a_command_warns_in_one_line(model: Path, images: Path, out: Path) -> None:
    environment = os.environ | {VARIABLE: "/proc/nowhere"}
    command = [sys.executable, "-m", "bnnkit", "warmup"]
    found = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (found.returncode, found.stdout) == (2, "")
    assert found.stderr.startswith("bnnkit warmup: /proc/nowhere: ")
    code = f"import sys; sys.argv[1:] = {['run', str(model), str(images), '-o', str(out)]!r}"
    code += """
from bnnkit.runtime.kernels import compiled
compiled.compile_kernel = lambda *_: sys.exit("compiles")
from bnnkit.cli import main
main()"""
    found = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    warning, *rest = found.stderr.splitlines()
    assert warning.startswith("warning: every process compiles its kernels again, which takes")
    assert "cannot use /proc/nowhere" in warning
    assert rest == ["compiles"]


def test_the_name_of_the_cache_covers_every_file_that_kernels_take_code_from() -> None:
    """Kernels import nothing of bnnkit but kernels, errors, and the constants in the hash."""
    folder = Path(cache_folder.__file__).parent
    imported = {
        node.module
        for path in folder.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("bnnkit")
    }
    others = {name for name in imported if not name.startswith("bnnkit.runtime.kernels")}
    assert others - {"bnnkit.errors"} == set(cache_folder.CONSTANTS)
