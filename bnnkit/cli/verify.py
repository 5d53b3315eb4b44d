"""`bnnkit verify`."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
import numpy as np

from bnnkit import data
from bnnkit.artifact.format.input_batch import Batch, InputBatch
from bnnkit.artifact.format.sample import check_samples
from bnnkit.bench.benchmark import random_inputs
from bnnkit.cli import options
from bnnkit.cli.array_files import Array, read_array
from bnnkit.cli.console import print_json, progress, write_note
from bnnkit.cli.group import CHECK_FAILED
from bnnkit.cli.verification_table import print_verification
from bnnkit.data.npz import read_named
from bnnkit.data.streamed import joined
from bnnkit.errors import MissingExtraError, UsageError
from bnnkit.runtime.inputs import as_batch
from bnnkit.runtime.open_file import read
from bnnkit.tflite.channels_last import as_model_takes
from bnnkit.verification.verify import SAMPLES, SEEDS, check_pair, verify

BUNDLED = ("digits",)
"""Data sets that are installed with a package."""
RANDOM = "random inputs"
RANDOM_IMAGES = 100
STREAMED_IMAGES = 1_000
_BATCH = 250


@click.command("verify")
@click.argument("paths", nargs=-1, type=options.MODEL, metavar="[CKPT] MODEL")
@click.option(
    "--data",
    "source",
    metavar="FILE|NAME",
    help=f"The inputs: the test part of a data set ({options.DATA_NAMES}, a .npz file, your own "
    "module:function), or a .npy file; for a model with several inputs a .npz file with an array "
    "for each, by its name. The default is digits if the network was trained on them "
    "and scikit-learn is installed, else random inputs.",
)
@options.data_dir
@click.option(
    "--images",
    type=click.IntRange(min=1),
    metavar="N",
    help=f"Use the first N inputs.  [default: all; {STREAMED_IMAGES:,} of data that are not held "
    f"in memory; {RANDOM_IMAGES} random ones].",
)
@click.option(
    "--samples",
    type=click.IntRange(min=0),
    default=SAMPLES,
    show_default=True,
    metavar="M",
    help=f"For a stochastic model: compare the deterministic pass, and M samples of each of "
    f"{len(SEEDS)} seeds.",
)
@click.option(
    "--lce",
    "with_lce",
    is_flag=True,
    help="Compare Larq Compute Engine too, on the network as a .tflite file without noise. This "
    "is the default if MODEL is a .tflite file and LCE is installed.",
)
@options.trust_code
@options.as_json
def command(
    paths: tuple[Path, ...],
    source: str | None,
    data_dir: Path | None,
    images: int | None,
    samples: int,
    with_lce: bool,
    as_json: bool,
) -> None:
    """Check that every engine computes what was trained, bit for bit.

    Compares torch on the checkpoint, ONNX Runtime on the model, and bnnkit's runtime with one and
    two threads with the plain NumPy reference. Every sign and the class must be equal, and real
    outputs within 0.0001; for a stochastic model, also in samples of its noise. If an engine
    differs or lacks a sign, prints the first tensor that differs and exits with 1.

    CKPT is the folder of a run or its checkpoint.safetensors; without it torch is not compared.
    MODEL is an .onnx or a .tflite file. For a .tflite file, the reference is the network that
    bnnkit reads from it, and Larq Compute Engine runs the file itself with its reference kernel.
    """
    check_samples(samples)
    if len(paths) not in (1, 2):
        raise UsageError(f"expected [CKPT] MODEL, got {len(paths)} paths")
    *checkpoints, path = paths
    is_dataset = source is not None and not source.endswith(".npy")
    options.note_no_effect(is_dataset, "without --data and the name of a data set", "data_dir")
    artifact = read(path)
    has_effect = artifact.is_stochastic or samples == 0
    options.note_no_effect(has_effect, f"on {path}, which has no noise", "samples")
    network: Any = None
    if checkpoints:
        from bnnkit.training import load_checkpoint

        network = load_checkpoint(
            checkpoints[0]
        ).model  # before check_pair: report damage, not another hash
        check_pair(checkpoints[0], artifact, name=str(path))
    inputs: Batch | None
    if len(artifact.graph.inputs) > 1:
        name, inputs = _several_inputs(artifact.graph.input_names, source)
    else:
        name, inputs = _inputs(
            artifact.metadata.get("dataset"), source, data_dir if is_dataset else None, images
        )
    if inputs is None:
        inputs = random_inputs(artifact, images or RANDOM_IMAGES)
    try:
        if isinstance(inputs, np.ndarray):
            inputs = as_model_takes(inputs, artifact.graph.input_shape)
        inputs = as_batch(inputs, artifact.graph.inputs)
    except UsageError as error:
        raise UsageError(f"{name}: {error}") from error
    inputs = inputs[:images]
    with progress("verifying", len(inputs)) as advance:
        verification = verify(
            artifact,
            inputs,
            network=network,
            samples=samples,
            with_lce=with_lce,
            advance=advance,
        )
    if as_json:
        content = {"is_equal": verification.is_equal, "data": name, **asdict(verification)}
        print_json(content)
    else:
        print_verification(verification, name, noun=_noun(artifact.graph.input_shape))
    if not verification.is_equal:
        click.get_current_context().exit(CHECK_FAILED)


def _noun(shape: Sequence[int]) -> str:
    """Return what an input of this shape is called."""
    return "image" if len(shape) == 3 else "example"


def _several_inputs(names: Sequence[str], source: str | None) -> tuple[str, Batch | None]:
    """As `_inputs`, for a model with several inputs."""
    if source is None:
        return RANDOM, None
    if not source.endswith(".npz"):
        raise UsageError(
            f"the model has the inputs {', '.join(names)}: expected --data FILE.npz with an array"
            f" for each, got {source}"
        )
    return source, InputBatch(read_named(Path(source), names))


def _inputs(
    trained_on: str | None, source: str | None, data_dir: Path | None, images: int | None
) -> tuple[str, Array | None]:
    """Return the name of the inputs, and the inputs; None for random ones."""
    if source is not None and source.endswith(".npy"):
        return source, read_array(Path(source))
    if source is None and trained_on not in BUNDLED:
        return RANDOM, None
    try:
        dataset = data.open_data(source or str(trained_on), data_dir)
    except MissingExtraError as error:
        if source is not None:
            raise
        write_note(f"{RANDOM} instead of the test part of {trained_on}: {error}")
        return RANDOM, None
    name = f"the test part of {dataset.name}"
    if isinstance(dataset, data.Dataset):
        return name, dataset.x_test
    return name, joined(dataset.test.batches(_BATCH, 0, images or STREAMED_IMAGES))[0]
