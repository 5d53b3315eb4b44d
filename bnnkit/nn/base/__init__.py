"""Registries of names, options, noises and gradients that estimators and weight rules build on.

Every module of `bnnkit.nn` imports this package first, so it says what is missing without torch.
"""

from importlib.util import find_spec

from bnnkit.errors import MissingExtraError

if find_spec("torch") is None:
    raise MissingExtraError("bnnkit.nn", "train")
