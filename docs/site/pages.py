"""The pages of docs/ and what they link to outside of it, as the pages of the site."""

import os
import re
import shutil
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
FILES = "files"
"""The folder of the site with files from outside of docs/."""
_LINK = re.compile(r"(\]\()(?!https?:|mailto:|#)([^)#\s]+)(#[^)\s]*)?\)")
_SHOWN = {".py": "python", ".yaml": "yaml", ".c": "c", ".h": "c", ".cpp": "cpp", ".sh": "sh"}
"""The files that are shown as code, by suffix."""


class Pages:
    """Copies pages, rewrites their links, and copies what these lead to.

    Args:
        out: The folder for the pages of the site.
    """

    def __init__(self, out: Path) -> None:
        self.out = out
        self._copied: set[str] = set()

    def add_docs(self) -> None:
        """Copy everything in docs/ except the program that builds the site."""
        for path in sorted(DOCS.rglob("*")):
            is_of_site = path.parent == DOCS / "site" and path.suffix == ".md"
            if (
                path.is_file()
                and not is_of_site
                and path.suffix in (".md", ".png", ".svg", ".css", ".js")
            ):
                self.add(path)

    def add_text(self, name: str, text: str) -> None:
        """Write a page that is made from the code; its links are those of docs/`name`."""
        self._write(name, self._linked(text, (DOCS / name).parent, name))

    def add(self, path: Path) -> str:
        """Copy a file or a folder's list and what it links to; return its place in the site."""
        name = _place(path)
        if name in self._copied:
            return name
        self._copied.add(name)
        if path.is_dir():
            self._write(name, self._listing(path, name))
        elif path.suffix == ".md":
            text = path.read_text(encoding="utf-8")
            self._write(name, self._linked(text, path.parent, name))
        elif path.suffix in _SHOWN:
            code = path.read_text(encoding="utf-8").rstrip()
            fence = f"```{_SHOWN[path.suffix]}\n{code}\n```\n"
            self._write(name, f"# {path.relative_to(ROOT)}\n\n{fence}")
        else:
            (self.out / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, self.out / name)
        return name

    def _listing(self, folder: Path, name: str) -> str:
        inside = [path for path in sorted(folder.iterdir()) if path.is_file()]
        links = [f"- [{path.name}]({_between(name, self.add(path))})" for path in inside]
        return "\n".join([f"# {folder.relative_to(ROOT)}", "", *links, ""])

    def _linked(self, text: str, folder: Path, name: str) -> str:
        """Return a page with the links that it has in the site."""

        def replaced(match: re.Match[str]) -> str:
            target = Path(os.path.normpath(folder / match[2]))
            if not target.exists() or not target.is_relative_to(ROOT):
                return match[0]  # a page that is made from the code; others are found as dead
            return f"{match[1]}{_between(name, self.add(target))}{match[3] or ''})"

        parts = re.split(r"(^```.*?^```\s*$)", text, flags=re.MULTILINE | re.DOTALL)
        return "".join(
            part if part.startswith("```") else _LINK.sub(replaced, part) for part in parts
        )

    def _write(self, name: str, text: str) -> None:
        path = self.out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def _place(path: Path) -> str:
    """Return where a file of the repository stands in the site."""
    inside = path.is_relative_to(DOCS) and path.suffix not in _SHOWN
    name = path.relative_to(DOCS).as_posix() if inside else f"{FILES}/{path.relative_to(ROOT)}"
    if path.is_dir():
        return f"{name}/index.md"
    return f"{name}.md" if path.suffix in _SHOWN else name


def _between(page: str, target: str) -> str:
    return Path(os.path.relpath(target, Path(page).parent)).as_posix()
