"""A folder of images as one array."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from PIL import Image, ImageOps

from tausweep.jobs.arrays import Bytes
from tausweep.jobs.data.split import Color
from tausweep.orchestrator.datasets.pixels import decode, to_pixels, write_header
from tausweep.orchestrator.datasets.sources import SUFFIXES, is_image, natural
from tausweep.storage.errors import DataError, UnreadableImageError


def list_images(folder: Path) -> list[Path]:
    """PNG and JPEG files below a folder, `img2` before `img10`; hidden files and folders are left out.

    Raises:
        DataError: the folder does not exist or contains no image.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; give the path of a folder of PNG or JPEG images")
    names = [
        name for path in folder.rglob("*") if path.is_file() and is_image(name := path.relative_to(folder))
    ]
    if not names:
        raise DataError(
            f"{folder}: no image in it; looked for {', '.join(SUFFIXES)}, including its subfolders"
        )
    return [folder / name for name in sorted(names, key=natural)]


def prepare_folder(
    files: Sequence[Path],
    size: int,
    color: Color,
    out: Path,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Write images as one uint8 array (N, C, size, size) in .npy format, one image in memory at a time.

    Each image is rotated by its EXIF orientation, laid over black where it is transparent, converted to grey
    or RGB, cropped to its central square and resized (Lanczos, antialiased).

    Args:
        files: images, in the order of the array.
        size: height and width in pixels.
        color: grey (C = 1) or rgb (C = 3).
        out: file to write; the caller publishes it once it is complete.
        progress: called with (images done, images in all) after each.

    Raises:
        DataError: a file is not a complete image, or has more than 8 bits per channel; the message names it.
    """
    with out.open("wb") as file:  # no memory map: on a full disk it would end the process by a signal
        write_header(file, len(files), size, color)
        for done, path in enumerate(files, start=1):
            file.write(_prepare(path, size, color).tobytes())
            if progress:
                progress(done, len(files))


def _prepare(file: Path, size: int, color: Color) -> Bytes:
    try:
        image = decode(file, str(file))
    except UnreadableImageError as error:
        raise DataError(f"{error}; repair it or move it out of the folder") from error
    image = image.convert("L") if color == "grey" else image
    return to_pixels(ImageOps.fit(image, (size, size), Image.Resampling.LANCZOS))
