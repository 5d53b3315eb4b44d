import errno
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from bnnkit.errors import FileError
from bnnkit.files.atomic import replacing, write_bytes, write_text


def test_content_replaces_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    write_text(path, "old")
    write_text(path, "new ±1")
    assert path.read_text(encoding="utf-8") == "new ±1"
    assert os.listdir(tmp_path) == ["file.txt"]


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    write_text(path, "old")

    def fail_halfway() -> None:
        with replacing(path) as temporary:
            temporary.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail_halfway()
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["file.txt"]


def test_the_mode_is_that_of_an_ordinary_new_file(tmp_path: Path) -> None:
    write_bytes(tmp_path / "atomic", b"")
    (tmp_path / "ordinary").touch()
    assert (tmp_path / "atomic").stat().st_mode == (tmp_path / "ordinary").stat().st_mode


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    path = tmp_path / "missing" / "file"
    with pytest.raises(FileError, match=r"cannot write .*missing.file: No such file"):
        write_bytes(path, b"content")


def test_the_umask_of_the_process_is_not_touched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(mask: int) -> int:
        raise AssertionError("another thread would create files with this mask")

    monkeypatch.setattr(os, "umask", refuse)
    write_bytes(tmp_path / "file", b"content")


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EFBIG, "File too large"),
        OSError("1000 requested and 100 written"),
    ],
    ids=str,
)
def test_an_error_while_writing_names_the_file(tmp_path: Path, error: OSError) -> None:
    path = tmp_path / "file"
    with pytest.raises(FileError) as raised, replacing(path):
        raise error
    assert str(raised.value) == f"cannot write {path}: {error.strerror or error}"
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    "error",
    [
        FileNotFoundError(errno.ENOENT, "No such file", "images.npy"),
        PermissionError(errno.EACCES, "Permission denied", "images.npy"),
        BrokenPipeError(errno.EPIPE, "Broken pipe"),
    ],
    ids=str,
)
def test_an_error_about_something_else_stays_what_it_is(tmp_path: Path, error: OSError) -> None:
    with pytest.raises(OSError, match=error.strerror) as raised, replacing(tmp_path / "file"):
        raise error
    assert raised.value is error
    assert os.listdir(tmp_path) == []


def test_a_folder_in_the_place_of_the_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(FileError, match=r"cannot write .*folder: Is a directory"):
        write_bytes(tmp_path / "folder", b"content")
    with pytest.raises(FileError, match=r"cannot write .*ordinary.file: Not a directory"):
        write_bytes(_ordinary(tmp_path) / "file", b"content")
    assert sorted(os.listdir(tmp_path)) == ["folder", "ordinary"]


def _ordinary(folder: Path) -> Path:
    (folder / "ordinary").touch()
    return folder / "ordinary"


def test_the_mode_of_the_replaced_file_stays(tmp_path: Path) -> None:
    path = tmp_path / "file"
    for mode in (0o600, 0o754, 0o444):
        path.touch()
        path.chmod(mode)
        write_bytes(path, b"new")
        assert stat.S_IMODE(path.stat().st_mode) == mode
        assert path.read_bytes() == b"new"


def test_links(tmp_path: Path) -> None:
    """A symbolic link stays one; the other names of a hard link keep the former content."""
    path = tmp_path / "file"
    path.write_bytes(b"old")
    (tmp_path / "symbolic").symlink_to(path)
    (tmp_path / "hard").hardlink_to(path)
    write_bytes(tmp_path / "symbolic", b"new")
    assert (tmp_path / "symbolic").is_symlink()
    assert path.read_bytes() == b"new"
    assert (tmp_path / "hard").read_bytes() == b"old"
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(FileError, match="cannot write"):
        write_bytes(tmp_path / "loop", b"new")


def test_the_content_is_on_disk_before_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, done = tmp_path / "file", []
    sync, replace = os.fsync, Path.replace

    def watched_sync(descriptor: int) -> None:
        is_folder = stat.S_ISDIR(os.fstat(descriptor).st_mode)
        done.append("sync folder" if is_folder else f"sync {os.fstat(descriptor).st_size}")
        sync(descriptor)

    def watched_replace(source: Path, target: Path) -> Path:
        done.append("rename")
        return replace(source, target)

    monkeypatch.setattr(os, "fsync", watched_sync)
    monkeypatch.setattr(Path, "replace", watched_replace)
    write_bytes(path, b"12345")
    assert done == ["sync 5", "rename", "sync folder"]


def test_what_a_killed_process_left_is_removed(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    code = (
        "import os, signal, sys; from pathlib import Path\n"
        "from bnnkit.files.atomic import replacing\n"
        "with replacing(Path(sys.argv[1])) as t: t.write_text('half'); os.kill(os.getpid(), 9)"
    )
    for _ in range(2):
        subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    (left,) = os.listdir(tmp_path)  # the second process removed what the first one left
    others = {f".{path.name}.0123.onnx", f".other.onnx.{'0' * 16}.onnx", f".{path.name}.x"}
    for name in others:
        (tmp_path / name).touch()
    with replacing(path) as being_written:
        being_written.write_text("first")
        assert left not in os.listdir(tmp_path)
        write_text(path, "second")
        assert being_written.exists(), "another writer's file is locked"
    assert set(os.listdir(tmp_path)) == {"model.onnx", *others}
    assert path.read_text() == "first"


def test_long_names(tmp_path: Path) -> None:
    for name in ("é" * 125 + ".onnx", "a." + "b" * 250, "x" * 255):
        write_text(tmp_path / name, "content")
        assert (tmp_path / name).read_text() == "content"
    assert len(os.listdir(tmp_path)) == 3
    with pytest.raises(FileError, match=r"cannot write .*: File name too long"):
        write_text(tmp_path / ("x" * 256), "content")
    with pytest.raises(FileError, match=r"cannot write .*null"):
        write_text(tmp_path / "a\0b", "content")
