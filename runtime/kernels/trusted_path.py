"""Whether other users could have written a file: the machine code in the cache is executed.

Only root and this user are trusted. A path is trusted if they own every folder and link on it, and
nobody else can write to these folders; in a folder with the sticky bit, such as /tmp, others can
add entries but not replace ours. So nobody else can change a path between its check and its use.
"""

import errno
import grp
import os
import pwd
import stat
from collections.abc import Iterator
from pathlib import Path

from bnnkit.errors import FileError

MAX_LINKS = 40
"""Symbolic links on a path, as Linux limits them."""
WRITABLE = stat.S_IWGRP | stat.S_IWOTH
FOLDER_MODE = 0o755
FILE_MODE = 0o644


class UntrustedError(FileError):
    """A file or folder that another user could have written."""


def make_trusted_folder(path: Path) -> None:
    """Check every folder of an absolute path, and make those that are missing.

    Raises:
        UntrustedError: If another user could have written the folder or one above it.
        OSError: If a folder cannot be made or is not a folder.
    """
    for entry in _entries(path):
        try:
            found = entry.lstat()
        except FileNotFoundError:
            entry.mkdir(FOLDER_MODE, exist_ok=True)
            found = entry.lstat()
        _check_entry(entry, found)
    if path.stat().st_mode & WRITABLE:
        raise UntrustedError(f"{path} is writable by other users (run chmod go-w {path})")


def read_trusted_file(path: Path) -> bytes:
    """Read a regular file in a trusted folder.

    Raises:
        UntrustedError: If another user could have written it, or it is a link, a pipe or a device.
        OSError: If it is missing or cannot be read.
    """
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(handle, "rb") as file:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode):
            raise UntrustedError(f"{path} is not a regular file")
        _check_owner(path, found)
        if found.st_mode & WRITABLE:
            raise UntrustedError(f"{path} is writable by other users")
        return file.read()


def _entries(path: Path) -> Iterator[Path]:
    """Yield every folder and link that leads to an absolute path, from the top down."""
    at, names, links = Path(path.anchor), list(reversed(path.parts[1:])), 0
    while names:
        name = names.pop()
        at = at.parent if name == ".." else at / name
        yield at
        if at.is_symlink():
            links += 1
            if links > MAX_LINKS:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
            target = at.readlink()
            names += reversed(target.parts[1:] if target.is_absolute() else target.parts)
            at = Path(target.anchor) if target.is_absolute() else at.parent


def _check_entry(entry: Path, found: os.stat_result) -> None:
    """Check that only trusted users can replace what lies in a folder, or where a link points."""
    _check_owner(entry, found)
    others = found.st_mode & WRITABLE
    if stat.S_ISLNK(found.st_mode) or not others or found.st_mode & stat.S_ISVTX:
        return
    if others & stat.S_IWOTH or not _is_private(found.st_gid):
        raise UntrustedError(f"{entry} is writable by other users (run chmod go-w {entry})")


def _check_owner(entry: Path, found: os.stat_result) -> None:
    if found.st_uid not in (0, os.geteuid()):
        raise UntrustedError(f"{entry} belongs to another user (number {found.st_uid})")


def _is_private(group: int) -> bool:
    """Return whether a group is this user's own, as many systems make one for each user."""
    try:
        user, named = pwd.getpwuid(os.geteuid()), grp.getgrgid(group)
    except KeyError:
        return False
    return named.gr_name == user.pw_name and set(named.gr_mem) <= {user.pw_name}
