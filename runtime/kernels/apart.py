"""Work in a thread of its own, where no exception of a signal handler can break it off.

Python raises such exceptions, as for Ctrl-C, in the main thread only. Numba's compiler does not
stand them: after one it fails for the rest of the process.
"""

import _thread
import threading
from collections.abc import Callable
from queue import SimpleQueue

Stopped = Callable[[], bool]
"""Whether the caller was interrupted, so that the work may end early."""


def run_apart(work: Callable[[Stopped], None]) -> None:
    """Do work in another thread and wait for it. Called outside the main thread, just do it.

    If a signal's exception interrupts the wait, the work goes on until it asks whether it is
    stopped, and the exception is raised at once. An exception of the work is raised here.
    """
    if threading.current_thread() is not threading.main_thread():
        work(lambda: False)
        return
    results: SimpleQueue[BaseException | None] = SimpleQueue()
    interrupted: list[bool] = []

    def run() -> None:
        try:
            work(lambda: bool(interrupted))
        except BaseException as error:
            results.put(error)
        else:
            results.put(None)

    # Not by threading.Thread, whose start in Python code could be interrupted half-way.
    _thread.start_new_thread(run, ())
    try:
        error = results.get()
    except BaseException:
        interrupted.append(True)
        raise
    if error is not None:
        raise error
