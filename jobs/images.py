"""Images on their way into a run: finding, preparing, fingerprinting and splitting them.

Called by the plan, which prepares a data set once, and by the worker, which reads the prepared uint8 NCHW array.
Paths are given by the caller; knows nothing of the store. numpy and Pillow, no torch.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from jobs.data_kinds import Images, Labelled
from jobs.image_sources import SUFFIXES, is_image, natural
from jobs.imbalance import long_tailed_indices
from jobs.preparation import Bytes, Color, Labels, decode, to_pixels, write_header
from jobs.split import Split
from storage.errors import DataError, UnreadableImageError

PREPARATION_VERSION = 1
"""Enters every fingerprint; raised when preparation begins to give other pixels."""

_HEX_DIGITS = 20

Floats = NDArray[np.float32]


def digits() -> Bytes:
    """scikit-learn's handwritten digits in the order of `load_digits`, 0…16 scaled to 0…255, (1797, 1, 8, 8)."""
    return np.rint(_digits_table()[:, :64] * (255 / 16)).astype(np.uint8).reshape(-1, 1, 8, 8)


def digits_labels() -> Labels:
    """Which digit each image of `digits` shows, 0…9, (1797,) int64."""
    return _digits_table()[:, 64].astype(np.int64)


@functools.cache
def _digits_table() -> NDArray[np.float64]:
    # 64 pixels and the label a row, read from the installed package's file: importing scikit-learn takes a second.
    package = importlib.util.find_spec("sklearn")
    if package is None or not package.submodule_search_locations:
        raise DataError("data = digits: scikit-learn is not installed; install it or use data = folder")
    path = Path(package.submodule_search_locations[0]) / "datasets" / "data" / "digits.csv.gz"
    table = np.loadtxt(path, delimiter=",")
    table.flags.writeable = False
    return table


def list_images(folder: Path) -> list[Path]:
    """PNG and JPEG files below a folder, `img2` before `img10`; hidden files and folders are left out.

    Raises:
        DataError: there is no such folder, or no image in it.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; give the path of a folder of PNG or JPEG images")
    names = [
        name for path in folder.rglob("*") if path.is_file() and is_image(name := path.relative_to(folder))
    ]
    if not names:
        raise DataError(f"{folder}: no image in it; looked for {', '.join(SUFFIXES)}, also in its subfolders")
    return [folder / name for name in sorted(names, key=natural)]


def prepare_folder(
    files: Sequence[Path],
    size: int,
    color: Color,
    out: Path,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Write images as one uint8 array (N, C, size, size) in .npy format, one image in memory at a time.

    Each image is turned as its EXIF orientation says, laid over black where it is transparent, converted to grey or
    RGB, cropped to its central square and resized (Lanczos, antialiased).

    Args:
        files: images, in the order of the array.
        size: height and width in pixels.
        color: grey (C = 1) or rgb (C = 3).
        out: file to write; the caller publishes it once it is whole.
        progress: called with (images done, images in all) after each.

    Raises:
        DataError: a file is not a whole image, or has more than 8 bits a channel; names it.
    """
    with out.open("wb") as file:  # no memory map: on a full disk that ends the process by a signal
        write_header(file, len(files), size, color)
        for done, path in enumerate(files, start=1):
            file.write(_prepare(path, size, color).tobytes())
            if progress:
                progress(done, len(files))


def fingerprint_digits() -> str:
    """Content hash of the digits."""
    return _hash([b"digits", digits().tobytes()])


def fingerprint_folder(folder: Path, files: Sequence[Path], size: int, color: Color) -> str:
    """Content hash of a prepared folder: names within it, contents, size and color; where it lies does not matter."""

    def parts() -> Iterator[bytes]:
        yield from (b"folder", str(size).encode(), color.encode())
        for file in files:
            yield file.relative_to(folder).as_posix().encode()
            with file.open("rb") as content:
                yield hashlib.file_digest(content, "sha256").digest()

    return _hash(parts())


def fingerprint_source(digest: str, size: int, color: Color) -> str:
    """Content hash of a prepared image source, whose originals have this digest."""
    return _hash([b"source", str(size).encode(), color.encode(), digest.encode()])


def listing_key(folder: Path, files: Sequence[Path], size: int, color: Color) -> str:
    """Key from the folder's path, names, sizes and dates, under which a fingerprint can be kept: reads no file."""

    def parts() -> Iterator[bytes]:
        # The folder too: another one may hold files of the same names, sizes and dates.
        yield from (b"listing", str(folder.resolve()).encode(), str(size).encode(), color.encode())
        for file in files:
            stat = file.stat()
            yield file.relative_to(folder).as_posix().encode()
            yield f"{stat.st_size} {stat.st_mtime_ns}".encode()

    return _hash(parts())


def training_places(count: int, data: Images, labels: Labels | None = None) -> slice | NDArray[np.int64]:
    """Where the images of the training subset lie among all; none of them is held out.

    Args:
        count: images there are.
        data: n, subset and test_images; imbalance and head_class of images with classes.
        labels: class of each image, (count,), which a long-tailed subset is chosen by.

    Raises:
        DataError: there are too few; says how many there are, how many are needed and the largest n.
    """
    if isinstance(data, Labelled) and data.imbalance is not None:
        if labels is None:
            raise DataError(
                f"imbalance = {data.imbalance:g}: these images have no classes; leave imbalance out"
            )
        pool = labels[: max(0, count - data.test_images)]
        return long_tailed_indices(
            pool, data.n, data.imbalance, subset=data.subset, head=data.head_class or 0
        )
    _require_enough(count, data)
    return slice(data.n * data.subset, data.n * (data.subset + 1))


def _require_enough(count: int, data: Images) -> None:
    pool, needed = count - data.test_images, data.n * (data.subset + 1)
    if needed <= pool:
        return
    largest = max(pool, 0) // (data.subset + 1)
    advice = f"the largest n is {largest}" if largest >= 2 else "lower subset or test_images, or add images"
    raise DataError(
        f"n = {data.n}, subset = {data.subset}: n·(subset + 1) = {needed} training images are needed, but of {count} "
        f"images test_images = {data.test_images} are held out and {max(pool, 0)} are left; {advice}"
    )


def split(images: Bytes, data: Images, labels: Labels | None = None) -> Split:
    """The training subset and the held-out images, as floats centred on the training subset.

    Pixels go to 0…1, minus the mean of the training subset (one number a channel), times pixel_scale.

    Args:
        images: all images, (N, C, H, W), an array or a memory map; only what is needed is read.
        data: n, subset, test_images and pixel_scale.
        labels: class of each image, (N,) int64; None where there are no classes.

    Raises:
        DataError: there are too few images (see `training_places`).
    """
    places = training_places(len(images), data, labels)
    held_out = slice(len(images) - data.test_images, None)
    train = images[places]
    mean = train.mean(axis=(0, 2, 3), dtype=np.float64) / 255
    return Split(
        train=_to_model(train, mean, data.pixel_scale),
        test=_to_model(images[held_out], mean, data.pixel_scale),
        mean=mean,
        train_labels=None if labels is None else labels[places],
        test_labels=None if labels is None else labels[held_out],
        pixel_scale=data.pixel_scale,
    )


def training_pool(images: Bytes, data: Images, mean: NDArray[np.float64], limit: int = 10_000) -> Floats:
    """Images that no run of this test_images holds out, evenly spaced over all of them.

    Args:
        images: all images, (N, C, H, W).
        data: test_images and pixel_scale.
        mean: the mean that `split` subtracted, (C,).
        limit: how many at most.

    Returns:
        (min(limit, N − test_images), C, H, W) float32, centred and scaled as the training images are.
    """
    pool = len(images) - data.test_images
    chosen = np.arange(min(pool, limit)) * pool // min(pool, limit)
    return _to_model(images[chosen], mean, data.pixel_scale)


def to_unit(x: Floats, mean: NDArray[np.float64], pixel_scale: float) -> Floats:
    """Undo the centring and scaling of `split`: (M, C, H, W) → pixels in the range 0…1 of images, not clipped."""
    return (x / np.float32(pixel_scale) + mean.astype(np.float32)[:, None, None]).astype(np.float32)


def _to_model(images: Bytes, mean: NDArray[np.float64], pixel_scale: float) -> Floats:
    x = images.astype(np.float32)
    x /= 255
    x -= mean.astype(np.float32)[:, None, None]
    x *= np.float32(pixel_scale)
    return x


def _prepare(file: Path, size: int, color: Color) -> Bytes:
    try:
        image = decode(file, str(file))
    except UnreadableImageError as error:
        raise DataError(f"{error}; mend it or move it out of the folder") from error
    image = image.convert("L") if color == "grey" else image
    return to_pixels(ImageOps.fit(image, (size, size), Image.Resampling.LANCZOS))


def _hash(parts: Iterable[bytes]) -> str:
    digest = hashlib.sha256(f"preparation {PREPARATION_VERSION}".encode())
    for part in parts:
        digest.update(len(part).to_bytes(8, "big"))  # so that where a part ends is hashed too
        digest.update(part)
    return digest.hexdigest()[:_HEX_DIGITS]
