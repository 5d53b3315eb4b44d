"""Data sets that a function of the user's own makes."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from bnnkit.data.dataset import Dataset
from bnnkit.data.npz import from_arrays
from bnnkit.data.own_code import call_own
from bnnkit.data.streamed import StreamedDataset
from bnnkit.errors import ConfigError, UsageError, brief


def load_own(
    name: str, data_dir: Path | None = None, *, workers: int | None = None
) -> Dataset | StreamedDataset:
    """Load or open a data set with a function of your own.

    Args:
        name: "module:function". The function returns a `Dataset`; a dict with the arrays of an
            .npz file as in `load_npz`; or a dict of torch data sets or data loaders as in
            `bnnkit.data.own_streams`. The data set gets the name "module:function".
        data_dir: If given, the function's keyword argument `data_dir`.
        workers: Processes that read torch data sets; None chooses their number.

    Raises:
        ConfigError: If the function is not trusted, fails, or returns no such data set.
    """
    value = call_own(name, {} if data_dir is None else {"data_dir": data_dir}, {"data_dir": None})
    if isinstance(value, Dataset):
        return replace(value, name=name)
    if not isinstance(value, dict):
        raise ConfigError(
            f"expected {name} to return a Dataset or a dict of arrays or of torch data sets, got "
            f"{brief(value)}"
        )
    if "train" in value:
        return _streams(name, value, workers)
    try:
        return from_arrays(name, {key: np.asanyarray(array) for key, array in value.items()})
    except UsageError as error:
        raise ConfigError(f"{name}: {error}") from error


def _streams(name: str, value: Mapping[str, Any], workers: int | None) -> StreamedDataset:
    from bnnkit.data.own_streams import from_torch_datasets  # needs torch, as its user has

    return from_torch_datasets(name, value, workers=workers)
