"""Your own functions by name, "module:function", in configurations and checkpoints.

Such a name may come from a file of somebody else, so it runs nothing by itself: a module is
imported only if you name it too, with the option --trust-code MODULE, in the environment variable
BNNKIT_TRUST_CODE, or with `trust_code` in Python.
"""

import importlib
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from inspect import Parameter, signature
from pathlib import Path
from typing import Any, Final

from bnnkit.errors import BnnkitError, ConfigError

VARIABLE: Final = "BNNKIT_TRUST_CODE"
"""Names of modules, separated by commas; processes that a run starts inherit them."""
_NAME: Final = re.compile(r"(?P<module>[^\W\d]\w*(\.[^\W\d]\w*)*):(?P<function>[^\W\d]\w*)")


def is_own(name: str) -> bool:
    """Return whether a name is of the form "module:function", with dots in the module's name."""
    return _NAME.fullmatch(name) is not None


@contextmanager
def trust_code(*modules: str) -> Iterator[None]:
    """In the block, allow files to name functions of these modules, each by its whole name."""
    before = os.environ.get(VARIABLE)
    os.environ[VARIABLE] = ",".join([*_trusted(), *modules])
    try:
        yield
    finally:
        if before is None:
            del os.environ[VARIABLE]
        else:
            os.environ[VARIABLE] = before


def call_own(name: str, given: dict[str, Any], offered: dict[str, Any]) -> Any:
    """Call a function of a trusted module.

    Args:
        name: "module:function". The module is found on Python's path, then in the working
            directory. The function must be defined in it or, for a package, below it.
        given: Keyword arguments that it must accept.
        offered: Keyword arguments that it gets if it has parameters of these names.

    Raises:
        ConfigError: If the module is not trusted or cannot be imported, has no such function, or
            the function does not accept the arguments or raises an exception.
    """
    function = own_function(name)
    with named(name):
        expected = signature(function)
    takes_all = any(p.kind is Parameter.VAR_KEYWORD for p in expected.parameters.values())
    chosen = {k: v for k, v in offered.items() if takes_all or k in expected.parameters}
    arguments = {**chosen, **given}
    try:
        expected.bind(**arguments)
    except TypeError as error:
        raise ConfigError(f"{name}{expected} does not accept these options: {error}") from error
    with named(name):
        return function(**arguments)


def own_function(name: str) -> Callable[..., Any]:
    """Import a function of a trusted module; arguments and errors as for `call_own`."""
    match = _NAME.fullmatch(name)
    if match is None:
        raise ConfigError(f"expected a function as module:function, got {name!r}")
    module_name, function_name = match["module"], match["function"]
    if module_name not in _trusted():
        raise ConfigError(
            f"{name} is code outside of bnnkit, which runs only if you trust it: pass "
            f"--trust-code {module_name}, or set {VARIABLE}={module_name}"
        )
    directory = str(Path.cwd())
    if directory not in sys.path:
        sys.path.append(directory)
    with named(f"import of {module_name} (from Python's path or {directory})"):
        module = importlib.import_module(module_name)
    function: Callable[..., Any] | None = getattr(module, function_name, None)
    if function is None or not callable(function):
        raise ConfigError(f"the module {module_name} has no function {function_name}")
    home = str(getattr(function, "__module__", None))
    if home != module_name and not home.startswith(f"{module_name}."):
        raise ConfigError(
            f"{name} is defined in {home}; expected a function of {module_name} itself"
        )
    return function


def _trusted() -> list[str]:
    names = os.environ.get(VARIABLE, "").split(",")
    return [name.strip() for name in names if name.strip()]


@contextmanager
def named(what: str) -> Iterator[None]:
    """Say which code of the user's raised an exception, in a ConfigError."""
    try:
        yield
    except BnnkitError:
        raise
    except Exception as error:
        raise ConfigError(
            f"{what} failed: {type(error).__name__}: {error}; BNNKIT_DEBUG=1 shows the traceback"
        ) from error
