"""Chromium, the packages of npm and a web server, for tests of pages in a browser."""

import json
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
PACKAGES = ROOT / "examples" / "browser"
PROGRAMS = Path(__file__).parent / "browser"


def chromium() -> str | None:
    """The path of a Chromium or Chrome; BNNKIT_CHROMIUM names another."""
    names = ("chromium", "chromium-browser", "google-chrome")
    found = (shutil.which(name) for name in names)
    return os.environ.get("BNNKIT_CHROMIUM") or next(filter(None, found), None)


def what_is_missing() -> str:
    """What these tests lack, in words; empty if nothing is missing."""
    missing = [] if shutil.which("node") else ["node"]
    missing += [] if chromium() else ["chromium"]
    packages = ("onnxruntime-web", "playwright-core", "axe-core")
    if not all((PACKAGES / "node_modules" / name).is_dir() for name in packages):
        missing.append("the packages of npm (npm ci in examples/browser)")
    return ", ".join(missing)


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serve a folder to this computer; the value is the URL of the folder."""
    handler = partial(_Silent, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()


def in_browser(program: str, *arguments: str) -> Any:
    """Run a program of tests/browser and return the JSON that it prints."""
    browser = chromium()
    assert browser is not None
    command = ["node", str(PROGRAMS / program), str(PACKAGES), browser, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


class _Silent(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Print no line for each request."""
