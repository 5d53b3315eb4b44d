"""axe-core finds no serious barrier in the demo and in pages of the built site, light and dark."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from browser_pages import PACKAGES, ROOT, in_browser, served, what_is_missing

SITE = Path(os.environ.get("BNNKIT_SITE") or ROOT / "build" / "site" / "html")
PAGES = (
    "index.html",
    "guides/browser.html",
    "reference/commands.html",
    "reference/api/runtime.html",
    "zoo.html",
)
SERIOUS = ("serious", "critical")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(what_is_missing()), reason=f"not installed: {what_is_missing()}"),
]


def serious(findings: list[dict[str, Any]]) -> list[str]:
    """A line for each serious finding."""
    return [
        f"{page['url']} ({page['colorScheme']}): {found['help']}: {', '.join(found['places'])}"
        for page in findings
        for found in page["violations"]
        if found["impact"] in SERIOUS
    ]


def test_the_demo_has_no_serious_barrier(tmp_path: Path) -> None:
    command = [sys.executable, str(PACKAGES / "make_demo.py"), "-o", str(tmp_path)]
    subprocess.run(command, check=True, capture_output=True)
    with served(tmp_path) as url:
        findings = in_browser("find_barriers.mjs", url)
    assert len(findings) == 2
    assert all(page["passed"] > 10 for page in findings)
    assert not serious(findings)


@pytest.mark.skipif(not SITE.is_dir(), reason=f"no site in {SITE} (python docs/site/build.py)")
def test_the_site_has_no_serious_barrier() -> None:
    with served(SITE) as url:
        findings = in_browser("find_barriers.mjs", *(url + page for page in PAGES))
    assert len(findings) == 2 * len(PAGES)
    assert all(page["passed"] > 10 for page in findings)
    assert not serious(findings)


def test_a_barrier_is_found(tmp_path: Path) -> None:
    text = '<p style="color: #ddd; background: #fff">faint</p><img src="data:,">'
    (tmp_path / "index.html").write_text(f"<html><title>t</title><body>{text}")
    with served(tmp_path) as url:
        lines = "\n".join(serious(in_browser("find_barriers.mjs", url)))
    assert "contrast" in lines
    assert "alternative text" in lines
