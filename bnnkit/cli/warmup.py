"""`bnnkit warmup`."""

import time

import click

from bnnkit.cli.console import write


@click.command("warmup")
def command() -> None:
    """Compile the kernels of this CPU ahead of time.

    Otherwise a network compiles the kernels that it needs in its first run, which takes some
    seconds. The machine code is stored for later processes; BNNKIT_CACHE_DIR sets its folder.
    """
    from bnnkit.runtime.warmup import cache_folder, warm_up

    folder = cache_folder()  # first: where nothing can be stored, warming up is of no use
    before = time.perf_counter()
    for name in warm_up():
        now = time.perf_counter()
        write(f"{name:24} {now - before:6.2f} s")
        before = now
    write(f"stored in {folder}")
