"""Builds the documentation site: `python docs/site/build.py`, with the extra "docs" installed.

The pages of docs/, those that are made from the code, and the files that they link to go to
build/site/pages; zensical makes build/site/html of them. Open build/site/html/index.html; no
server and no network is needed. Every warning, dead link, or file loaded from elsewhere is an
error.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from api import PACKAGES, api_pages, page_name
from commands import commands_page
from configuration import configuration_page
from links import problems
from pages import ROOT, Pages

SITE = ROOT / "build" / "site"
HERE = Path(__file__).parent


def write_pages(out: Path) -> None:
    """Write all pages of the site in Markdown."""
    pages = Pages(out)
    pages.add_docs()
    pages.add(ROOT / "CHANGELOG.md")
    for name, text in made_pages().items():
        pages.add_text(name, text)


def made_pages() -> dict[str, str]:
    """Return the pages that are made from the code, by path."""
    return {
        "index.md": (HERE / "home.md").read_text(encoding="utf-8"),
        "reference/commands.md": commands_page(),
        "reference/configuration.md": configuration_page(),
        **api_pages(),
    }


def write_settings(path: Path) -> None:
    """Write the settings of zensical, with the pages of the Python interface."""
    pages = ", ".join(f'{{ "{package}" = "{page_name(package)}" }}' for package in PACKAGES)
    text = (HERE / "zensical.toml").read_text(encoding="utf-8")
    text = text.replace('"API"', f"[{pages}]").replace("ROOT", ROOT.as_posix())
    path.write_text(text, encoding="utf-8")


def main() -> None:
    """Build the site, and exit with 1 if anything is wrong with it."""
    shutil.rmtree(SITE, ignore_errors=True)
    SITE.mkdir(parents=True)
    write_pages(SITE / "pages")
    write_settings(SITE / "zensical.toml")
    paths = os.pathsep.join([str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, "-m", "zensical", "build", "--strict"],
        cwd=SITE,
        env=os.environ | {"PYTHONPATH": paths},
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    print(done.stdout)
    # --strict does not count what griffe says of docstrings.
    found = [line for line in done.stdout.splitlines() if line.startswith("griffe: ")]
    found += problems(SITE / "html") if done.returncode == 0 else []
    print(*found, sep="\n")
    sys.exit(done.returncode or bool(found))


if __name__ == "__main__":
    main()
