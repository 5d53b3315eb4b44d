"""The lock of everything that uses LLVM. A fork and the end of a process wait for it.

A forked child could not continue what another thread of its parent compiles, and LLVM's own locks
would stay locked in it.
"""

import atexit
import os
import threading
from contextlib import suppress

from numba.core.compiler_lock import global_compiler_lock

compile_lock = threading.RLock()


def _hold() -> None:
    compile_lock.acquire()
    global_compiler_lock.acquire()  # of Numba, for functions that are not ours


def _let_go() -> None:
    for lock in (global_compiler_lock, compile_lock):
        with suppress(RuntimeError):  # a signal's exception had interrupted `_hold`
            lock.release()


def _wait() -> None:
    """Wait for a compilation whose caller was interrupted."""
    _hold()
    _let_go()


atexit.register(_wait)
os.register_at_fork(before=_hold, after_in_parent=_let_go, after_in_child=_let_go)
