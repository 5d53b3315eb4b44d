"""The calls of a model's layers, found by torch.fx without a change of the model."""

import copy
from collections import OrderedDict
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any, Final

import torch
from torch import fx, nn

_HOOKS: Final = ("_forward_hooks", "_forward_pre_hooks")


class Tracer(fx.Tracer):
    """Traces the calls of layers; modules of torch, of bnnkit and without children are layers.

    Args:
        names: Other modules that are layers.
    """

    def __init__(self, names: Collection[str] = ()) -> None:
        super().__init__()
        self._names = names

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Whether a module is a layer, whose forward is not traced."""
        is_small = next(m.children(), None) is None
        is_own = type(m).__module__.startswith("bnnkit.nn")
        is_named = module_qualified_name in self._names
        return is_small or is_own or is_named or super().is_leaf_module(m, module_qualified_name)


def traced(model: nn.Module, names: Collection[str] = ()) -> fx.Graph | None:
    """Return the calls of a model's layers; None if torch.fx cannot trace its forward.

    The forward runs, on stand-ins for tensors, but what it stores is dropped afterwards. Hooks are
    not called.
    """
    try:
        with _state_kept(model), torch.random.fork_rng(devices=[]):
            return Tracer(names).trace(model)
    except Exception:  # the forward branches on values, takes no tensor, ...: a user's code
        return None


@contextmanager
def _state_kept(model: nn.Module) -> Iterator[None]:
    """Let the modules work on copies of their attributes, so that their own stay as they are."""
    modules = [m for m in model.modules() if not isinstance(m, torch.jit.ScriptModule)]
    # Modules and parameters are not copied: torch.fx records their use, and does not change them.
    same = {id(one): one for one in (*model.modules(), *model.parameters())}
    own = [(module, module.__dict__) for module in modules]
    copies = [_copied(attributes, same) for _, attributes in own]
    try:
        for module, attributes in zip(modules, copies, strict=True):
            object.__setattr__(module, "__dict__", attributes)
        yield
    finally:
        for module, attributes in own:
            object.__setattr__(module, "__dict__", attributes)


def _copied(attributes: dict[str, Any], same: dict[int, Any]) -> dict[str, Any]:
    """Return a copy of a module's attributes without hooks, which may store what they see."""
    hooks = {name: OrderedDict[int, Any]() for name in _HOOKS if name in attributes}
    return {name: _copy(value, same) for name, value in attributes.items()} | hooks


def _copy(value: Any, same: dict[int, Any]) -> Any:
    try:
        return copy.deepcopy(value, same)
    except Exception:  # a lock, an open file, a tensor with a history, ...
        return value
