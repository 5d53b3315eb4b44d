"""Data sets of the user's own as torch data sets, which are read while they are used."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from torch.utils.data import DataLoader, default_collate

from bnnkit.data.reading import Reader, default_workers, form_of
from bnnkit.data.streamed import StreamedDataset, StreamedExamples
from bnnkit.errors import ConfigError, brief

_PARTS: Final = ("train", "test", "validation")
_KEYS: Final = (*_PARTS, "classes")


def from_torch_datasets(
    name: str, parts: Mapping[str, Any], *, workers: int | None = None
) -> StreamedDataset:
    """Make a data set of torch data sets.

    Args:
        name: The name of the data set.
        parts: The data sets under "train", "test" and, optionally, "validation". Each has a length
            and gives pairs of an input and its target: by position, or, of an iterable data set,
            in order. A `DataLoader` stands for its data set, with its number of workers and its
            `collate_fn`; bnnkit chooses order and batches. "classes": the names of classes, labels
            or values; the default is the attribute `classes` of the training data, and is not
            needed for labels and values.
        workers: Processes that read; None takes those of the data loader, or one for each CPU, at
            most 8.

    Raises:
        ConfigError: If a part is missing or is not such a data set; or an example cannot be read,
            or has another form than those of an .npz file.
    """
    unknown = [key for key in parts if key not in _KEYS]
    if unknown or not {"train", "test"} <= set(parts):
        raise ConfigError(
            f"expected {name} to return data sets under train, test and, optionally, validation, "
            f"and classes, got {', '.join(map(str, parts))}"
        )
    readers = {key: _reader(name, key, parts[key]) for key in _PARTS if key in parts}
    form, names = form_of(readers["train"], _classes(parts))
    examples = {
        key: StreamedExamples(replace(reader, form=form), workers=_workers(parts[key], workers))
        for key, reader in readers.items()
    }
    return StreamedDataset(
        name=name,
        **examples,
        classes=names,
        input_shape=form.shape,
        input_dtype=form.dtype,
        targets=form.targets,
        preprocessing=None,
    )


def _reader(name: str, part: str, value: Any) -> Reader:
    place = f"{name}, {part}"
    collate = None
    if isinstance(value, DataLoader):
        collate = None if value.collate_fn is default_collate else value.collate_fn
        value = value.dataset
    if not (hasattr(value, "__getitem__") or hasattr(value, "__iter__")):
        raise ConfigError(f"{place}: expected a torch data set, got {brief(value)}")
    try:
        length = len(value)
    except TypeError as error:
        raise ConfigError(
            f"{place}: expected a data set with a length, the number of examples in an epoch; "
            "give it a method __len__"
        ) from error
    if length < 1:
        raise ConfigError(f"{place}: the data set is empty")
    return Reader(value, place, collate)


def _workers(value: Any, given: int | None) -> int:
    if given is not None:
        return given
    return value.num_workers if isinstance(value, DataLoader) else default_workers()


def _classes(parts: Mapping[str, Any]) -> Sequence[str] | None:
    given = parts.get("classes")
    if given is None:
        train = parts["train"]
        dataset = train.dataset if isinstance(train, DataLoader) else train
        given = getattr(dataset, "classes", None)
    return None if given is None else [str(name) for name in given]
