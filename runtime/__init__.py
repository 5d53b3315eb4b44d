"""Run a binarized network with xor and popcount: `load(path)`, then `run` and `predict`."""

if __name__ != "bnnkit.runtime":
    raise ImportError("import this package as bnnkit.runtime, not as runtime")

from bnnkit.runtime.model import Model, load

__all__ = ["Model", "load"]
