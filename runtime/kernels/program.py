"""Run a whole program of kernels in one compiled call, on one thread or on several.

A program is an int64 array (kernels, 2): the address of a compiled kernel and the address of its
argument record. Kernels are functions (record, thread, threads). With several threads, every
thread executes its share of each kernel, with a barrier after each kernel.
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
"""Reads of the barrier's generation before the loop in `_barrier` starts again."""
LINE = 64
"""Bytes of a cache line. Counters that several threads write are this far apart."""


def address_of(kernel: Callable[[int, int, int], None]) -> int:
    """Return the address of a kernel's machine code, compiled or loaded from the disk cache."""
    return int(compiled(kernel, KERNEL).address)


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


def run_worker(mailbox, done, spins, thread, threads):
    """Execute this worker's share of every posted job, until none arrives for a while.

    Args:
        mailbox: Address of five int64, one cache line apart: the number of the job, the address of
            its program, its number of kernels, and the two counters of the barrier.
        done: Number of the last job that this worker executed.
        spins: Reads of the mailbox before the worker returns.
        thread: Index of this thread, from 1.
        threads: Number of threads, including the leader.

    Returns:
        Number of the last job that was executed.
    """
    while True:
        job = wait_while_equal(mailbox, done, spins)
        if job == done:
            return done
        done = job
        program, kernels = load_acquire(mailbox + LINE), load_acquire(mailbox + 2 * LINE)
        _execute(program, kernels, thread, threads, mailbox + 3 * LINE)


def run_leader(mailbox, job, threads):
    """Post a job to the workers of a mailbox and execute the share of thread 0."""
    program, kernels = load_acquire(mailbox + LINE), load_acquire(mailbox + 2 * LINE)
    store_release(mailbox, job)
    _execute(program, kernels, 0, threads, mailbox + 3 * LINE)


ENTRIES = {
    execute: types.void(*[types.int64] * 5),
    run_worker: types.int64(*[types.int64] * 5),
    run_leader: types.void(*[types.int64] * 3),
}
"""Functions that Python calls, with their types."""


@cache
def entry(function):
    """Return one of ENTRIES as a ctypes function, which releases the GIL while it runs."""
    return compiled(function, ENTRIES[function]).ctypes
