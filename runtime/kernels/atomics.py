"""Synchronization primitives: atomic int64 loads, stores and additions, and calls of POSIX."""

from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

from bnnkit.runtime.kernels.vectors import I8, I32, I64


@intrinsic
def load_acquire(typing_context, address):
    """Load the int64 at an address with acquire ordering."""

    def generate(context, builder, _signature, arguments):
        pointer = builder.inttoptr(arguments[0], I64.as_pointer())
        return builder.load_atomic(pointer, "acquire", 8)

    return types.int64(types.int64), generate


@intrinsic
def store_release(typing_context, address, value):
    """Store an int64 with release ordering."""

    def generate(context, builder, _signature, arguments):
        pointer = builder.inttoptr(arguments[0], I64.as_pointer())
        builder.store_atomic(arguments[1], pointer, "release", 8)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), generate


@intrinsic
def fetch_add(typing_context, address, value):
    """Add to the int64 at an address and return its previous value."""

    def generate(context, builder, _signature, arguments):
        pointer = builder.inttoptr(arguments[0], I64.as_pointer())
        return builder.atomic_rmw("add", pointer, arguments[1], "seq_cst")

    return types.int64(types.int64, types.int64), generate


def _posix(name, arguments):
    """Return the type and the generator of code that calls a POSIX function with addresses."""

    def generate(context, builder, _signature, addresses):
        kind = ir.FunctionType(I32, [I8.as_pointer()] * arguments)
        existing = builder.module.globals.get(name)
        function = existing or ir.Function(builder.module, kind, name)
        builder.call(function, [builder.inttoptr(at, I8.as_pointer()) for at in addresses])
        return context.get_dummy_value()

    return types.void(*[types.int64] * arguments), generate


@intrinsic
def yield_core(typing_context):
    """Let another thread run on this core."""
    return _posix("sched_yield", 0)


@intrinsic
def lock_mutex(typing_context, mutex):
    """Lock the mutex at an address."""
    return _posix("pthread_mutex_lock", 1)


@intrinsic
def unlock_mutex(typing_context, mutex):
    """Unlock the mutex at an address."""
    return _posix("pthread_mutex_unlock", 1)


@intrinsic
def await_signal(typing_context, condition, mutex):
    """Unlock a mutex, sleep until the condition variable is signalled, and lock it again."""
    return _posix("pthread_cond_wait", 2)


@intrinsic
def signal_all(typing_context, condition):
    """Wake all threads that sleep at a condition variable."""
    return _posix("pthread_cond_broadcast", 1)


@njit(error_model="numpy")
def wait_while_equal(address, value, limit):
    """Spin until the int64 at an address differs from `value`, at most `limit` times.

    Returns:
        The value that was read last.
    """
    seen = load_acquire(address)
    spins = 0
    while seen == value and spins < limit:
        spins += 1
        if spins % 1000 == 0:
            yield_core()
        seen = load_acquire(address)
    return seen
