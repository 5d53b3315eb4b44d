"""A folder of images: its classes, order and pixels, and one line for whatever is wrong."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import fail, run
from numpy.typing import NDArray

from bnnkit import data
from bnnkit.errors import FileError

Image = pytest.importorskip("PIL.Image", reason="the extra images is not installed")
FILES = ("train/b/2.png", "train/a/10.png", "train/a/9.png", "test/b/1.png", "test/a/1.png")


def _write(root: Path, name: str, pixels: NDArray[np.generic], mode: str | None = None) -> Path:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(pixels)
    (image.convert(mode) if mode else image).save(path)
    return path


def _folder(root: Path, *shape: int) -> dict[str, NDArray[np.uint8]]:
    rng = np.random.default_rng(0)
    images = {name: rng.integers(0, 256, shape, dtype=np.uint8) for name in FILES}
    for name, pixels in images.items():
        _write(root, name, pixels)
    (root / "train" / "notes.txt").write_text("no image")
    (root / "train" / "a" / ".hidden.png").write_text("no image")
    (root / "train" / "a" / "notes.txt").write_text("no image")
    return images


def test_images_in_colour_in_the_order_of_names(tmp_path: Path) -> None:
    images = _folder(tmp_path, 5, 7, 3)
    found = data.load("folder", tmp_path)
    assert (found.name, found.classes, found.input_shape) == ("folder", ("a", "b"), (3, 5, 7))
    assert (found.y_train.tolist(), found.y_test.tolist()) == ([0, 0, 1], [0, 1])
    order = ("train/a/10.png", "train/a/9.png", "train/b/2.png")
    for image, name in zip(found.x_train, order, strict=True):
        np.testing.assert_array_equal(image, images[name].transpose(2, 0, 1))
    np.testing.assert_array_equal(found.x_test[1], images["test/b/1.png"].transpose(2, 0, 1))


def test_gray_images_have_one_channel(tmp_path: Path) -> None:
    images = _folder(tmp_path, 5, 7)
    found = data.load("folder", tmp_path)
    np.testing.assert_array_equal(found.x_train[2], images["train/b/2.png"][None])


def test_gray_images_among_coloured_ones_get_equal_channels(tmp_path: Path) -> None:
    images = _folder(tmp_path, 5, 7)
    coloured = np.arange(105, dtype=np.uint8).reshape(5, 7, 3)
    _write(tmp_path, "test/b/2.png", coloured)
    found = data.load("folder", tmp_path)
    np.testing.assert_array_equal(found.x_train[2], np.stack([images["train/b/2.png"]] * 3))
    np.testing.assert_array_equal(found.x_test[2], coloured.transpose(2, 0, 1))


def test_palettes_black_and_white_and_jpeg(tmp_path: Path) -> None:
    _folder(tmp_path, 8, 8)
    _write(tmp_path, "train/b/bits.png", np.eye(8, dtype=np.uint8) * 255, "1")
    _write(tmp_path, "train/b/gray.JPG", np.full((8, 8), 90, np.uint8))
    found = data.load("folder", tmp_path)
    np.testing.assert_array_equal(found.x_train[3, 0], np.eye(8) * 255)
    np.testing.assert_array_equal(found.x_train[4, 0], np.full((8, 8), 90))
    palette = _write(tmp_path, "train/b/p.png", np.zeros((8, 8, 3), np.uint8) + 51, "P")
    with Image.open(palette) as image:
        assert image.mode == "P"
    assert (data.load("folder", tmp_path).x_train[5] == 51).all()


@pytest.mark.parametrize(
    ("pixels", "mode", "message"),
    [
        (
            np.zeros((7, 5), np.uint8),
            None,
            r"bad.png: expected images of one size, 7 x 5 pixels as",
        ),
        (np.zeros((5, 7, 4), np.uint8), None, "bad.png: expected a gray or RGB image.*mode RGBA"),
        (np.zeros((5, 7), np.uint16), None, "bad.png: expected a gray or RGB image.*mode I;16"),
        (np.zeros((5, 7), np.uint8), "LA", "bad.png: expected a gray or RGB image.*mode LA"),
    ],
)
def test_images_that_do_not_fit(
    tmp_path: Path, pixels: NDArray[Any], mode: str | None, message: str
) -> None:
    _folder(tmp_path, 5, 7)
    _write(tmp_path, "test/b/bad.png", pixels, mode)
    with pytest.raises(FileError, match=message):
        data.load("folder", tmp_path)


def test_transparent_gray_is_refused(tmp_path: Path) -> None:
    _folder(tmp_path, 5, 7)
    Image.fromarray(np.zeros((5, 7), np.uint8)).save(tmp_path / "train/b/t.png", transparency=0)
    with pytest.raises(FileError, match=r"t.png: .* got the mode L with transparency; convert"):
        data.load("folder", tmp_path)


@pytest.mark.parametrize("kept", [0, 3, 10, 30, 50, 70, 90])
def test_a_damaged_image_is_named(tmp_path: Path, kept: int) -> None:
    _folder(tmp_path, 9, 9, 3)
    path = tmp_path / "test/a/1.png"
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * kept // 100])
    with pytest.raises(FileError, match=r"test/a/1.png is damaged or no image, .* remove it$"):
        data.load("folder", tmp_path)


def test_an_image_that_unpacks_to_much_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bnnkit.files.unpacked._GRACE_BYTES", 1000)
    _folder(tmp_path, 5, 7)
    data.load("folder", tmp_path)
    for name in FILES:
        _write(tmp_path, name, np.zeros((2000, 2000), np.uint8))
    with pytest.raises(FileError, match=r"unpack to 20,000,000 bytes, more than"):
        data.load("folder", tmp_path)


def test_missing_folders_and_classes(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"folder: expected images in .*--data-dir DIR"):
        data.load("folder", tmp_path)
    (tmp_path / "train").mkdir()
    with pytest.raises(FileError, match=r"got no folder .*test"):
        data.load("folder", tmp_path)
    (tmp_path / "test").mkdir()
    with pytest.raises(FileError, match=r"train: expected images in .*train/CLASS, got none"):
        data.load("folder", tmp_path)
    (tmp_path / "train" / "a").mkdir()
    with pytest.raises(FileError, match=r"train/a: expected images \(.png, .* got none"):
        data.load("folder", tmp_path)
    _write(tmp_path, "train/a/1.png", np.zeros((2, 2), np.uint8))
    with pytest.raises(FileError, match=r"test: expected images in"):
        data.load("folder", tmp_path)
    _write(tmp_path, "test/c/1.png", np.zeros((2, 2), np.uint8))
    with pytest.raises(FileError, match=r"test/c: expected the classes of .*train, .* folder c"):
        data.load("folder", tmp_path)


def test_without_pillow_the_extra_is_named(tmp_path: Path) -> None:
    _folder(tmp_path, 5, 7)
    program = (
        "import sys; sys.modules['PIL'] = None\n"
        "from bnnkit import data\n"
        "from bnnkit.errors import MissingExtraError\n"
        f"try: data.load('folder', {str(tmp_path)!r})\n"
        "except MissingExtraError as error: print(error)"
    )
    out = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert "needs more packages: pip install 'bnnkit[images]'" in out.stdout, out.stderr


def test_a_run_on_a_folder_finds_it_again(tmp_path: Path) -> None:
    _folder(tmp_path / "images", 4, 4)
    config = tmp_path / "c.yaml"
    config.write_text(
        f"data: {{name: folder, dir: '{tmp_path / 'images'}'}}\nmodel: {{name: mlp, width: 8}}\n"
        "epochs: 1\nbatch_size: 2\nvalidation: 0\nrecalibrate: 1\neval_samples: 0\ndevice: cpu\n"
    )
    trained = run("train", config, "--out", tmp_path / "run")
    assert trained.exit_code == 0, trained.output
    evaluated = run("eval", tmp_path / "run", "--json")
    assert '"data": "folder"' in evaluated.stdout
    assert '"images": 2' in evaluated.stdout
    message = fail("eval", tmp_path / "run", "--data-dir", tmp_path / "nowhere")
    assert "expected images in" in message


@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 3)])
def test_a_folder_larger_than_memory_is_read_while_it_is_used(
    shape: tuple[int, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _folder(tmp_path, *shape)
    want = data.load("folder", tmp_path)
    same = data.open_data("folder", tmp_path)
    assert isinstance(same, data.Dataset)
    np.testing.assert_array_equal(same.x_train, want.x_train)
    monkeypatch.setattr("bnnkit.data.image_folder.MOST_BYTES", 5 * want.x_test[0].size - 1)
    found = data.open_data("folder", tmp_path, workers=0)
    assert isinstance(found, data.StreamedDataset)
    about = ("name", "classes", "input_shape", "input_dtype", "targets", "zero_point")
    assert [getattr(found, key) for key in about] == [getattr(want, key) for key in about]
    for part, x, y in (("train", want.x_train, want.y_train), ("test", want.x_test, want.y_test)):
        batches = list(getattr(found, part).batches(2))
        assert [len(images) for images, _ in batches] == [2, 1] if part == "train" else [2]
        np.testing.assert_array_equal(np.concatenate([images for images, _ in batches]), x)
        np.testing.assert_array_equal(np.concatenate([labels for _, labels in batches]), y)
    (tmp_path / "train/a/9.png").write_bytes(b"\x89PNG")
    with pytest.raises(FileError, match=r"train/a/9.png is damaged or no image"):
        list(found.train.batches(2))
    _write(tmp_path, "train/a/9.png", np.zeros((5, 8), np.uint8))
    with pytest.raises(FileError, match=r"9.png: expected 7 x 5 pixels, got 8 x 5 pixels"):
        list(found.train.batches(2))
