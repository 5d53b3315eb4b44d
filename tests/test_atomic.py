import errno
import os
from pathlib import Path

import pytest

from bnnkit.atomic import replacing, write_bytes, write_text
from bnnkit.errors import FileError


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
