"""Images of every kind as inputs of a network."""

import io
import os
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bnnkit.errors import BnnkitError, FileError, MissingExtraError, UsageError
from bnnkit.images.preprocessing import (
    Interpolation,
    Preprocessing,
    preprocessing_from,
    stored_preprocessing,
)
from bnnkit.images.reader import ImageReader, image_reader
from bnnkit.images.sources import image_paths

Image = pytest.importorskip("PIL.Image")
U8, F32 = np.dtype(np.uint8), np.dtype(np.float32)
RNG = np.random.default_rng(0)


def pixels(height: int, width: int, channels: int = 3) -> NDArray[np.uint8]:
    shape = (height, width, channels) if channels > 1 else (height, width)
    return RNG.integers(0, 256, shape, dtype=np.uint8)


def reader(*shape: int, dtype: Any = U8, last: bool = False, **options: Any) -> ImageReader:
    return image_reader(shape, dtype, Preprocessing(**options), channels_last=last)


def file_of(image: Any, kind: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def test_an_image_of_the_right_size_keeps_its_pixels() -> None:
    image = pixels(5, 7)
    np.testing.assert_array_equal(
        reader(3, 5, 7).read(file_of(Image.fromarray(image))), image.transpose(2, 0, 1)
    )
    np.testing.assert_array_equal(reader(5, 7, 3, last=True).read(image), image)
    np.testing.assert_array_equal(reader(5, 7, 3).read(Image.fromarray(image)), image)


def resized_then_cropped(
    image: Any, size: int, height: int, width: int, method: Any
) -> NDArray[Any]:
    """The slow twin, in the steps of torchvision's Resize and CenterCrop."""
    w, h = image.size
    new = (size, int(size * h / w)) if w <= h else (int(size * w / h), size)
    image = image.resize(new, method)
    top, left = round((new[1] - height) / 2.0), round((new[0] - width) / 2.0)
    return np.asarray(image.crop((left, top, left + width, top + height)))


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic", "lanczos"])
@pytest.mark.parametrize("height", [61, 200])
def test_only_the_centre_is_computed(interpolation: Interpolation, height: int) -> None:
    image = Image.fromarray(pixels(height, 150))
    method = Image.Resampling[interpolation.upper()]
    expected = resized_then_cropped(image, 48, 40, 36, method)
    found = reader(40, 36, 3, last=True, resize=48, interpolation=interpolation).read(image)
    # The place of a source pixel is rounded once more where only the centre is computed.
    difference = np.abs(found.astype(int) - expected)
    assert (difference > 1).mean() < (0.05 if interpolation == "nearest" else 0.001)


def test_without_resize_the_image_covers_the_input() -> None:
    image = np.zeros((20, 40, 3), np.uint8)
    image[:, 10:30] = 200  # the centre, a square
    assert (reader(3, 10, 10).read(image)[:, :, 1:-1] == 200).all()


def test_two_sizes_may_change_the_proportions() -> None:
    image = pixels(30, 90)
    expected = np.asarray(Image.fromarray(image).resize((12, 12), Image.Resampling.BILINEAR))
    np.testing.assert_array_equal(
        reader(12, 12, 3, last=True, resize=[12, 12]).read(image), expected
    )


def test_a_very_long_image_takes_no_memory() -> None:
    line = Image.new("L", (1, 1 << 20), 77)
    assert (reader(1, 300, 300).read(line) == 77).all()


def test_real_inputs_are_normalised_as_by_torchvision() -> None:
    torch = pytest.importorskip("torch")
    image, mean, std = pixels(4, 6), (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    tensor = torch.from_numpy(image.transpose(2, 0, 1).copy()).to(torch.float32).div(255)
    expected = tensor.sub(torch.tensor(mean)[:, None, None]).div(torch.tensor(std)[:, None, None])
    found = reader(3, 4, 6, dtype=F32, mean=mean, std=std).read(image)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, expected.numpy())


@pytest.mark.parametrize("orientation", range(10))
@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_images_are_turned_as_exif_says(orientation: int, kind: str) -> None:
    from PIL import ImageOps

    exif = Image.Exif()
    exif[0x0112] = orientation
    content = file_of(Image.fromarray(pixels(8, 8)), kind, exif=exif)
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(content)))
    np.testing.assert_array_equal(
        reader(8, 8, 3, last=True).read(content), np.asarray(upright.convert("RGB"))
    )


def test_damaged_exif_is_left_out() -> None:
    image = Image.fromarray(pixels(8, 8))
    content = file_of(image, exif=b"Exif\0\0MM\0\x2a\xff\xff\xff\xff damaged")
    np.testing.assert_array_equal(reader(8, 8, 3, last=True).read(content), np.asarray(image))


def test_sixteen_bits_are_rounded() -> None:
    values = np.array([[0, 128, 129, 256, 257 * 7, 65535]], np.uint16)
    content = file_of(Image.fromarray(values))
    expected = np.rint(values / 257).astype(np.uint8)  # 128 / 257 and 129 / 257 are around 1/2
    np.testing.assert_array_equal(reader(1, 1, 6).read(content), expected[None])
    np.testing.assert_array_equal(reader(3, 1, 6).read(content), np.repeat(expected[None], 3, 0))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
@pytest.mark.parametrize("channels", [1, 3])
def test_modes_are_converted(mode: str, channels: int) -> None:
    opaque = Image.fromarray(pixels(8, 8)).convert(mode)
    wanted = "L" if channels == 1 else "RGB"
    expected = np.asarray(opaque.convert(wanted)).reshape(8, 8, channels)
    found = reader(8, 8, channels, last=True).read(file_of(opaque))
    if channels == 1 and mode in ("LA", "RGBA"):  # by way of RGB, whose gray is rounded again
        assert np.abs(found.astype(int) - expected).max() <= 1
    else:
        np.testing.assert_array_equal(found, expected)


def test_cmyk_becomes_rgb() -> None:
    content = file_of(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG", quality=100)
    red = reader(8, 8, 3, last=True).read(content)[4, 4]
    assert red[0] > 240
    assert red[1:].max() < 15


@pytest.mark.parametrize("kind", ["RGBA", "LA", "P", "L", "RGB", "I;16"])
def test_what_is_transparent_is_white(kind: str) -> None:
    black: dict[str, Any] = {"P": 0, "L": 0, "RGB": (0, 0, 0), "I;16": 0}
    image = Image.new(kind, (4, 4))  # black, and transparent where there is an alpha channel
    options = {"transparency": black[kind]} if kind in black else {}
    assert (reader(1, 4, 4).read(file_of(image, **options)) == 255).all()


def test_inverted() -> None:
    image = pixels(4, 4, 1)
    np.testing.assert_array_equal(reader(1, 4, 4, invert=True).read(image)[0], 255 - image)


def png_header(width: int, height: int) -> bytes:
    """A small file whose header promises many pixels."""

    def chunk(name: bytes, content: bytes) -> bytes:
        check = zlib.crc32(name + content)
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", check)

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize("size", [(8000, 8000), (20_000, 20_000), (2**31 - 1, 2**31 - 1)])
def test_small_files_cannot_promise_many_pixels(size: tuple[int, int]) -> None:
    with pytest.raises(FileError, match=r"bomb: .* (pixels|damaged)"):
        reader(3, 8, 8).read(png_header(*size), "bomb:")


@pytest.mark.parametrize("content", [b"", b"GIF", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0\0"])
def test_what_is_no_image_is_one_line(content: bytes) -> None:
    with pytest.raises(FileError, match=r"^x\.png is damaged or no image"):
        reader(3, 8, 8).read(content, "x.png")


@pytest.mark.parametrize("form", ["GIF", "WebP", "BMP", "TIFF"])
def test_sound_images_of_other_formats_are_named(form: str) -> None:
    content = file_of(Image.fromarray(pixels(16, 16)), form)
    with pytest.raises(FileError, match=rf"^x\.png is a {form} image, expected PNG or JPEG; conv"):
        reader(3, 8, 8).read(content, "x.png")


@pytest.mark.slow
def test_damaged_images_are_one_line() -> None:
    rng = np.random.default_rng(1)
    image = Image.fromarray(pixels(16, 16))
    sound = [file_of(image), file_of(image, "JPEG"), file_of(image.convert("P"), exif=b"Exif\0\0")]
    outcomes: set[object] = set()
    for content in sound * 60:
        damaged = np.frombuffer(content, np.uint8).copy()
        damaged[rng.integers(0, len(damaged), 4)] = rng.integers(0, 256, 4)
        try:
            outcomes.add(
                reader(3, 8, 8).read(damaged[: rng.integers(20, len(content))].tobytes()).shape
            )
        except BnnkitError as error:
            outcomes.add("foreign" if "fault of bnnkit" in str(error) else "refused")
    assert outcomes == {"refused", (3, 8, 8)}


@pytest.mark.parametrize("source", [None, 3, np.zeros((2, 2)), np.zeros((2, 2, 5), np.uint8)])
def test_other_objects_are_refused(source: object) -> None:
    with pytest.raises(UsageError, match="expected the path or the bytes of a PNG or JPEG"):
        reader(3, 8, 8).read(source)


def test_pipes_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(FileError, match="not a regular file, but a pipe"):
        reader(3, 8, 8).read(tmp_path / "pipe.png")


def test_images_of_a_folder_by_name(tmp_path: Path) -> None:
    for name in ("b.PNG", "a.jpeg", ".hidden.png", "notes.txt", "target"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "c.jpg").symlink_to("target")
    (tmp_path / "gone.png").symlink_to("nowhere")
    (tmp_path / "inside.png").mkdir()
    (tmp_path / "loop.png").symlink_to(tmp_path)
    assert [path.name for path in image_paths([tmp_path])] == ["a.jpeg", "b.PNG", "c.jpg"]
    with pytest.raises(FileError, match=r"expected images \(\.png, \.jpg, \.jpeg\), got none"):
        image_paths([tmp_path / "inside.png"])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"resize": 0}, "resize"),
        ({"resize": True}, "resize"),
        ({"resize": [1, 2, 3]}, "resize"),
        ({"resize": 10**9}, "resize"),
        ({"mean": "x"}, "mean"),
        ({"mean": [0.1, 0.2]}, "mean"),
        ({"mean": float("nan")}, "mean"),
        ({"std": 0}, "std"),
        ({"std": [1, 1, -1]}, "std"),
        ({"interpolation": "area"}, "interpolation"),
        ({"invert": 1}, "invert"),
        ({"crop": 3}, "expected the keys resize, interpolation"),
    ],
)
def test_values_are_checked(values: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        preprocessing_from(values)


@pytest.mark.parametrize("text", ["", "[", "[]", "3", '{"resize": {}}', "[" * 100_000])
def test_damaged_metadata_are_refused(text: str) -> None:
    with pytest.raises(UsageError):
        stored_preprocessing({"preprocessing": text})


def test_the_entry_of_the_metadata_is_read_back() -> None:
    value = Preprocessing(
        resize=[256, 320], mean=[0.1, 0.2, 0.3], std=0.5, interpolation="bicubic"
    )
    assert stored_preprocessing({"preprocessing": value.to_json()}) == value
    assert stored_preprocessing({}) is None


def test_what_does_not_fit_the_network_is_refused() -> None:
    with pytest.raises(UsageError, match="mean and std are for real inputs"):
        reader(3, 8, 8, mean=0.5)
    with pytest.raises(UsageError, match="one std for each of 1 channels, got 3"):
        reader(1, 8, 8, dtype=F32, std=[1, 2, 3])
    with pytest.raises(UsageError, match="at least the size of the input, 8 x 8 pixels, got 7"):
        reader(3, 8, 8, resize=7)
    for shape in ((10,), (2, 8, 8), (4, 8, 8, 3)):
        with pytest.raises(UsageError, match="expected a network that takes gray or RGB images"):
            reader(*shape)


def test_without_pillow_a_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "PIL", None)
    for source in (b"\x89PNG", np.zeros((8, 8, 3), np.uint8)):
        with pytest.raises(MissingExtraError, match=r"pip install 'bnnkit\[images\]'"):
            reader(3, 8, 8).read(source)


def test_images_in_memory_of_rare_modes() -> None:
    gray = reader(1, 2, 2)
    assert (gray.read(Image.new("I", (2, 2), 70_000)) == 255).all()
    assert (gray.read(Image.new("I", (2, 2), -5)) == 0).all()
    half = Image.new("LA", (2, 2), (100, 128))
    np.testing.assert_allclose(gray.read(half.convert("La")), gray.read(half), atol=1)
    with pytest.raises(UsageError, match=r"^Pillow cannot convert the image to L: "):
        gray.read(Image.new("LAB", (2, 2)))
    for empty in (Image.new("L", (0, 5)), np.zeros((5, 0), np.uint8)):
        with pytest.raises(UsageError, match=r"^expected an image of at least one pixel"):
            gray.read(empty)
