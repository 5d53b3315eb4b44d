"""Data sets that a function of the user's own makes."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from bnnkit.data.dataset import Dataset
from bnnkit.data.npz import from_arrays
from bnnkit.data.own_code import call_own
from bnnkit.errors import ConfigError, UsageError, brief


def load_own(name: str, data_dir: Path | None = None) -> Dataset:
    """Load a data set with a function of your own.

    Args:
        name: "module:function". The function returns a `Dataset`, or a dict with the arrays of an
            .npz file as in `load_npz`. The data set gets the name "module:function".
        data_dir: If given, the function's keyword argument `data_dir`.

    Raises:
        ConfigError: If the function is not trusted, fails, or returns no such data set.
    """
    value = call_own(name, {} if data_dir is None else {"data_dir": data_dir}, {"data_dir": None})
    if isinstance(value, Dataset):
        return replace(value, name=name)
    if not isinstance(value, dict):
        raise ConfigError(
            f"expected {name} to return a Dataset or a dict of arrays, got {brief(value)}"
        )
    try:
        return from_arrays(name, {key: np.asanyarray(array) for key, array in value.items()})
    except UsageError as error:
        raise ConfigError(f"{name}: {error}") from error
