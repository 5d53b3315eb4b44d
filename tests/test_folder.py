"""Folders of files are written whole or not at all."""

from pathlib import Path

import pytest
from full_disk import file_size_limit

from bnnkit.errors import FileError
from bnnkit.files.folder import write_folder

FILES = {"a.h": "new a", "b.c": "new b" * 1000, "c.md": "new c"}


def _content(folder: Path) -> dict[str, str]:
    """Every file below a folder."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_text() for path in files}


def test_files_are_written_and_others_stay(tmp_path: Path) -> None:
    folder = tmp_path / "above" / "folder"
    write_folder(folder, {"a.h": "old"})
    (folder / "build").mkdir()
    (folder / "build" / "object").write_text("other")
    write_folder(folder, FILES)
    assert _content(folder) == {**FILES, "build/object": "other"}
    assert sorted(path.name for path in folder.iterdir()) == ["a.h", "b.c", "build", "c.md"]
    assert list((tmp_path / "above").iterdir()) == [folder]


def test_a_link_to_a_folder_stays(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to("there")
    write_folder(tmp_path / "link", FILES)
    assert (tmp_path / "link").is_symlink()
    assert _content(tmp_path / "there") == FILES


def test_a_name_as_long_as_the_file_system_allows(tmp_path: Path) -> None:
    folder = tmp_path / ("\u6f22" * 85)  # 255 bytes
    write_folder(folder, FILES)
    assert _content(folder) == FILES


def test_a_full_disk_leaves_nothing_of_a_new_folder(tmp_path: Path) -> None:
    folder = tmp_path / "x" / "y"
    with file_size_limit(2000), pytest.raises(FileError, match=rf"cannot write {folder}/b.c: "):
        write_folder(folder, FILES)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_a_folder_as_it_was(tmp_path: Path) -> None:
    before = {"a.h": "old a", "z": "other"}
    write_folder(tmp_path, before)
    with file_size_limit(2000), pytest.raises(FileError, match=r"cannot write .*/b.c: "):
        write_folder(tmp_path, FILES)
    assert _content(tmp_path) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.h", "z"]


@pytest.mark.parametrize("failing", range(5))
def test_a_rename_that_fails_leaves_a_folder_as_it_was(
    failing: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {"a.h": "old a", "c.md": "old c", "z": "other"}
    write_folder(tmp_path, before)
    replace, count = Path.replace, iter(range(100))

    def fails_once(self: Path, target: Path) -> Path:
        if self.exists() and next(count) == failing:
            raise OSError(5, "Input/output error")
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", fails_once)
    with pytest.raises(FileError, match=r"cannot write .*: Input/output error"):
        write_folder(tmp_path, FILES)
    assert _content(tmp_path) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.h", "c.md", "z"]


def test_what_cannot_be_a_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "folder" / "a.h").mkdir(parents=True)
    with pytest.raises(FileError, match=r"cannot write .*file: Not a directory"):
        write_folder(tmp_path / "file", FILES)
    with pytest.raises(FileError, match=r"cannot write .*a.h: expected a file, there is a folder"):
        write_folder(tmp_path / "folder", FILES)
    with pytest.raises(FileError, match=r"cannot write .*: embedded null"):
        write_folder(tmp_path / "x\0y", FILES)
    assert _content(tmp_path) == {"file": ""}
