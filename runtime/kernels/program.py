"""Run a whole program of kernels in one compiled call, on one thread or on several.

A program is an int64 array (kernels, 2): the address of a compiled kernel and the address of its
argument record. Kernels are functions (record, thread, threads). With several threads, every
thread executes its share of each kernel, with a barrier after each kernel.
"""

import ctypes
from collections.abc import Callable, Iterable
from functools import cache

from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

from bnnkit.runtime.kernels.atomics import (
    await_signal,
    fetch_add,
    load_acquire,
    lock_mutex,
    signal_all,
    store_release,
    unlock_mutex,
    wait_while_equal,
)
from bnnkit.runtime.kernels.compiled import compile_all, compiled
from bnnkit.runtime.kernels.vectors import I64

KERNEL = types.void(types.int64, types.int64, types.int64)
SPIN_LIMIT = 20_000
"""Reads of the barrier's generation before the loop in `_barrier` starts again."""
LINE = 64
"""Bytes of a cache line. Counters that several threads write are this far apart."""
PROGRAM, KERNELS, BARRIER, SLEEPERS, MUTEX, CONDITION = (n * LINE for n in (1, 2, 3, 5, 6, 8))
"""Where the parts of a mailbox lie, after the number of the job: the address of the job's program,
its number of kernels, the two counters of the barrier, the number of sleeping workers, and POSIX's
mutex and condition variable for them."""
MAILBOX_BYTES = 10 * LINE
END = -1
"""The number of kernels of a job that ends the workers."""


Kernel = Callable[[int, int, int], None]


def address_of(kernel: Kernel) -> int:
    """Return the address of a kernel's machine code, compiled or loaded from the disk cache."""
    return compiled(kernel, KERNEL)


def prepare(kernels: Iterable[Kernel], threads: int) -> None:
    """Compile or load kernels, and what executes them on a number of threads, all at once."""
    entries = (execute,) if threads == 1 else (run_leader, run_worker)
    signatures = {function: ENTRIES[function] for function in entries}
    compile_all(signatures | dict.fromkeys(kernels, KERNEL))


@intrinsic
def _call(typing_context, kernel, record, thread, threads):
    """Call the kernel at an address with its record."""

    def generate(context, builder, _signature, arguments):
        function = ir.FunctionType(ir.VoidType(), [I64, I64, I64])
        builder.call(builder.inttoptr(arguments[0], function.as_pointer()), arguments[1:])
        return context.get_dummy_value()

    return types.void(*[types.int64] * 4), generate


@njit(error_model="numpy")
def _barrier(barrier, threads):
    """Wait until all threads have arrived.

    Args:
        barrier: Address of two int64 counters, one cache line apart: threads that have arrived,
            and the generation, which the last thread to arrive increments.
        threads: Number of threads.
    """
    generation = load_acquire(barrier + LINE)
    if fetch_add(barrier, 1) == threads - 1:
        store_release(barrier, 0)
        store_release(barrier + LINE, generation + 1)
    else:
        while wait_while_equal(barrier + LINE, generation, SPIN_LIMIT) == generation:
            pass


@njit(error_model="numpy")
def _execute(program, kernels, thread, threads, barrier):
    """Execute a thread's share of a program.

    Args:
        program: Address of the int64 array (kernels, 2).
        kernels: Number of kernels.
        thread: Index of this thread.
        threads: Number of threads that execute the program.
        barrier: Address of the counters of `_barrier`, shared by the threads.
    """
    for index in range(kernels):
        at = program + index * 16
        _call(load_acquire(at), load_acquire(at + 8), thread, threads)
        if threads > 1:
            _barrier(barrier, threads)


def execute(program, kernels, thread, threads, barrier):
    """Execute a program, or a thread's share of it: the entry point of `_execute`."""
    _execute(program, kernels, thread, threads, barrier)


@njit(error_model="numpy")
def _sleep(mailbox, done):
    """Sleep until the number of the job in a mailbox differs from `done`.

    Job and sleepers are counted in one order that all threads agree on: either this thread sees
    the new job, or the leader, who posts the job first, sees the sleeper and wakes it.
    """
    lock_mutex(mailbox + MUTEX)
    fetch_add(mailbox + SLEEPERS, 1)
    while fetch_add(mailbox, 0) == done:
        await_signal(mailbox + CONDITION, mailbox + MUTEX)
    fetch_add(mailbox + SLEEPERS, -1)
    unlock_mutex(mailbox + MUTEX)


def run_worker(mailbox, spins, thread, threads):
    """Execute this worker's share of every posted job, until END is posted.

    Args:
        mailbox: Address of a mailbox.
        spins: Reads of the mailbox before the worker sleeps.
        thread: Index of this thread, from 1.
        threads: Number of threads, including the leader.
    """
    done = 0
    while True:
        if wait_while_equal(mailbox, done, spins) == done:
            _sleep(mailbox, done)
        done = load_acquire(mailbox)
        program, kernels = load_acquire(mailbox + PROGRAM), load_acquire(mailbox + KERNELS)
        if kernels == END:
            return
        _execute(program, kernels, thread, threads, mailbox + BARRIER)


def run_leader(mailbox, program, kernels, threads):
    """Post a job to the workers of a mailbox and execute the share of thread 0.

    Args:
        mailbox: Address of a mailbox.
        program: Address of the job's program.
        kernels: Its number of kernels; END ends the workers.
        threads: Number of threads, including this one.
    """
    if kernels == 0:
        return  # no barrier would keep the next job from overtaking this one
    store_release(mailbox + PROGRAM, program)
    store_release(mailbox + KERNELS, kernels)
    fetch_add(mailbox, 1)
    if fetch_add(mailbox + SLEEPERS, 0) > 0:
        lock_mutex(mailbox + MUTEX)
        signal_all(mailbox + CONDITION)
        unlock_mutex(mailbox + MUTEX)
    _execute(program, kernels, 0, threads, mailbox + BARRIER)


ENTRIES = {
    execute: types.void(*[types.int64] * 5),
    run_worker: types.void(*[types.int64] * 4),
    run_leader: types.void(*[types.int64] * 4),
}
"""Functions that Python calls, with their types."""


@cache
def entry(function):
    """Return one of ENTRIES as a ctypes function, which releases the GIL while it runs."""
    return as_ctypes(compiled(function, ENTRIES[function]), len(ENTRIES[function].args))


def as_ctypes(address: int, arguments: int) -> Callable[..., None]:
    """Return the C function at an address, which takes int64 and returns nothing."""
    return ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * arguments)(address)
