"""Checks the built site: every link leads somewhere, and nothing is loaded from elsewhere."""

from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

_LOADED = {"script": "src", "img": "src", "link": "href", "iframe": "src", "source": "src"}
"""What a browser loads when it shows a page, by tag and attribute."""


class Page(HTMLParser):
    """What a page holds.

    Attributes:
        ids: The places in it that links can name.
        links: The targets of its links.
        loaded: The files that it loads.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: set[str] = set()
        self.loaded: set[str] = set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Collect ids and targets."""
        found = {name: value or "" for name, value in attrs}
        self.ids |= {found[name] for name in ("id", "name") if name in found}
        if tag == "a" and "href" in found:
            self.links.add(found["href"])
        if tag in _LOADED and found.get("rel") not in ("canonical", "next", "prev"):
            self.loaded.add(found.get(_LOADED[tag], ""))


def problems(site: Path) -> list[str]:
    """Return a sentence for each link that leads nowhere or file that is loaded from elsewhere."""
    pages = {path: Page(path) for path in sorted(site.rglob("*.html"))}
    found = []
    for path, page in pages.items():
        name = path.relative_to(site).as_posix()
        for target in sorted(page.loaded | page.links):
            parts = urlsplit(target)
            if parts.scheme or parts.netloc:
                if target in page.loaded and parts.scheme != "data":
                    found.append(f"{name} loads {target}")
                continue
            goal = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            goal = goal / "index.html" if goal.is_dir() else goal
            if name == "404.html":
                continue  # its links are absolute, for any place that is missing
            if not goal.is_file():
                found.append(f"{name} links to {target}, which does not exist")
            elif (
                parts.fragment and goal in pages and unquote(parts.fragment) not in pages[goal].ids
            ):
                found.append(f"{name} links to {target}, which has no such place")
    return found
