"""SIGINT and SIGTERM: a command ends with one line, and output files are unchanged.

While modules are imported, nothing has to be cleaned up: an interrupt ends the process at once.
From then on it raises an exception, and when the command has ended it changes nothing any more.
"""

import _thread
import os
import signal
import sys
import threading
import time
from typing import NoReturn

INTERRUPTED = 128 + signal.SIGINT
TERMINATED = 128 + signal.SIGTERM


class Interrupted(KeyboardInterrupt):
    """Raised by SIGINT.

    For KeyboardInterrupt itself, Python may change the exit code although it was caught.
    """


class Terminated(SystemExit):
    """Raised by SIGTERM, so that temporary files are removed on the way out."""


_came: list[int] = []


def leave_on_interrupt() -> None:
    """Have SIGINT end the process, unless it is ignored, as by a command in the background."""
    if _is_main_thread() and signal.getsignal(signal.SIGINT) != signal.SIG_IGN:
        signal.signal(signal.SIGINT, _leave)


def raise_on_interrupt() -> None:
    """Have SIGINT raise Interrupted, in a process that had called `leave_on_interrupt`."""
    if _is_main_thread() and signal.getsignal(signal.SIGINT) is _leave:
        signal.signal(signal.SIGINT, _interrupt)
        sys.unraisablehook = _raise_later


def ignore_interrupts() -> None:
    """Ignore SIGINT: what remains is Python's own end, which it would break off."""
    if _is_main_thread():
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def raise_on_termination() -> None:
    """Have SIGTERM raise Terminated, once."""
    if _is_main_thread():
        signal.signal(signal.SIGTERM, _terminate)


def wait_for_termination(seconds: float) -> None:
    """Wait for SIGTERM, which ends the process without a word, or for a time."""
    if _is_main_thread():
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
    time.sleep(seconds)


def was_interrupted() -> bool:
    """Return whether SIGINT came; extension modules hide its exception behind one of their own."""
    return bool(_came)


def _is_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


def _leave(number: int, frame: object) -> NoReturn:
    os._exit(INTERRUPTED)


def _interrupt(number: int, frame: object) -> NoReturn:
    _came.append(number)
    raise Interrupted


def _terminate(number: int, frame: object) -> NoReturn:
    """Raise Terminated, and ignore further signals."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise Terminated(TERMINATED)


def _raise_later(found: "sys.UnraisableHookArgs") -> None:
    """Raise a signal's exception again that came where Python ignores exceptions."""
    if issubclass(found.exc_type, KeyboardInterrupt):
        _thread.start_new_thread(_send_later, (signal.SIGINT,))
    elif issubclass(found.exc_type, Terminated):
        raise_on_termination()
        _thread.start_new_thread(_send_later, (signal.SIGTERM,))
    else:
        sys.__unraisablehook__(found)


def _send_later(number: int) -> None:
    time.sleep(0.01)  # the hook must have returned, or the exception would be raised in it
    signal.pthread_kill(threading.main_thread().ident or 0, number)  # also ends its sleep
