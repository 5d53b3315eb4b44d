"""Running a plan in one compiled call, on one thread or on several that meet after each kernel.

A program is int64 (kernels, 2): the address of a compiled kernel, and of its record. Kernels are
plain functions (record, thread, threads); each is compiled when a plan first needs it, and cached
on disk.
"""

from collections.abc import Callable
from functools import cache

from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

from bnnkit.runtime.kernels.atomics import fetch_add, load_acquire, store_release, wait_while_equal
from bnnkit.runtime.kernels.compiled import compiled
from bnnkit.runtime.kernels.vectors import I64

KERNEL = types.void(types.int64, types.int64, types.int64)
SPIN_LIMIT = 20_000
"""At a counter in one go."""
LINE = 64
"""Bytes of a cache line: counters that different threads write lie that far apart."""


def address_of(kernel: Callable[[int, int, int], None]) -> int:
    """The address of a kernel's machine code; compiles it, or takes it from the disk."""
    return int(compiled(kernel, KERNEL).address)


@intrinsic
def _call(typing_context, kernel, record, thread, threads):
    """Call the kernel at an address."""

    def generate(context, builder, _signature, arguments):
        function = ir.FunctionType(ir.VoidType(), [I64, I64, I64])
        builder.call(builder.inttoptr(arguments[0], function.as_pointer()), arguments[1:])
        return context.get_dummy_value()

    return types.void(*[types.int64] * 4), generate


@njit(error_model="numpy")
def _barrier(barrier, threads):
    """Wait until all threads are here; `barrier` counts arrivals and, a line on, meetings."""
    generation = load_acquire(barrier + LINE)
    if fetch_add(barrier, 1) == threads - 1:
        store_release(barrier, 0)
        store_release(barrier + LINE, generation + 1)
    else:
        while wait_while_equal(barrier + LINE, generation, SPIN_LIMIT) == generation:
            pass


@njit(error_model="numpy")
def _execute(program, kernels, thread, threads, barrier):
    """A thread's share of a program.

    Args:
        program: Address of the kernels and records.
        kernels: How many.
        thread: Which of the threads this is.
        threads: How many run the same program.
        barrier: Address of two counters, a line apart, that are the same for all of them.
    """
    for index in range(kernels):
        at = program + index * 16
        _call(load_acquire(at), load_acquire(at + 8), thread, threads)
        if threads > 1:
            _barrier(barrier, threads)


def execute(program, kernels, thread, threads, barrier):
    """`_execute` as a kernel."""
    _execute(program, kernels, thread, threads, barrier)


def run_worker(mailbox, done, spins, thread, threads):
    """Run every program that is posted, until none comes for a while.

    Args:
        mailbox: Address of four int64, a line apart: the number of the job, its program, how many
            kernels that has, and the place to meet.
        done: Number of the last job that this thread has done.
        spins: At the mailbox, before giving up.
        thread: Which of the threads this is.
        threads: How many there are.

    Returns:
        Number of the last job done.
    """
    while True:
        job = wait_while_equal(mailbox, done, spins)
        if job == done:
            return done
        done = job
        program, kernels = load_acquire(mailbox + LINE), load_acquire(mailbox + 2 * LINE)
        _execute(program, kernels, thread, threads, mailbox + 3 * LINE)


def run_leader(mailbox, job, threads):
    """Post a job to the threads that `run_worker` the mailbox, and do the first thread's share."""
    program, kernels = load_acquire(mailbox + LINE), load_acquire(mailbox + 2 * LINE)
    store_release(mailbox, job)
    _execute(program, kernels, 0, threads, mailbox + 3 * LINE)


ENTRIES = {
    execute: types.void(*[types.int64] * 5),
    run_worker: types.int64(*[types.int64] * 5),
    run_leader: types.void(*[types.int64] * 3),
}
"""What Python calls, and its types."""


@cache
def entry(function):
    """One of ENTRIES as Python calls it; Python's lock is released while it runs."""
    return compiled(function, ENTRIES[function]).ctypes
