"""Free memory of the process, given back to the system.

Loading a network unpacks and arranges its weights. What that takes is free afterwards, several
times the size of the weights, but the C library keeps it for later allocations. glibc gives it
back when asked; others give it back on their own, or cannot be asked.
"""

import ctypes


def give_back_free_memory() -> None:
    """Ask the C library to give free memory back to the system, where it can be asked."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
