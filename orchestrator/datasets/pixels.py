"""From encoded images to the array that runs read: one image to pixels, a source to one .npy file.

Called when data is prepared; images are read one at a time. numpy and Pillow, no torch.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from tausweep.jobs.arrays import Bytes, Labels
from tausweep.jobs.data.split import Color
from tausweep.orchestrator.datasets.sources import Class, Source
from tausweep.storage.errors import DataError, UnreadableImageError

Progress = Callable[[int, int], None]
"""Told how many images are done, and of how many."""


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """The result of preparing a source.

    Attributes:
        count: images in the array.
        labels: class of each, (count,) int64 in 0…C−1; None if the source has no classes.
        class_names: names of the classes, in order.
        skipped: unreadable images that were left out, each with its reason.
    """

    count: int
    labels: Labels | None
    class_names: list[str]
    skipped: list[str]


def prepare_images(
    source: Source,
    size: int,
    color: Color,
    out: Path,
    *,
    skip_unreadable: bool = False,
    progress: Progress | None = None,
) -> Prepared:
    """Write the images of a source as one uint8 array (count, C, size, size) in .npy format.

    Args:
        source: images, in the order of the array.
        size: height and width in pixels.
        color: grey (C = 1) or rgb (C = 3).
        out: file to write; the caller publishes it once it is complete.
        skip_unreadable: leave damaged images out instead of stopping at the first.
        progress: called with (images done, images in all) after each.

    Raises:
        UnreadableImageError: an image is damaged; the message names it.
        DataError: an image has more than 8 bits per channel, or no image is left.
    """
    classes: list[Class | None] = []
    skipped: list[str] = []
    with out.open("wb") as file:  # no memory map: on a full disk it would end the process by a signal
        write_header(file, len(source), size, color)
        for done, item in enumerate(source, start=1):
            try:
                name = f"{source.place}: {item.name}"
                file.write(prepare_image(item.read(), name, size, color).tobytes())
                classes.append(item.label)
            except UnreadableImageError as error:
                if not skip_unreadable:
                    raise
                skipped.append(str(error))
            if progress:
                progress(done, len(source))
        if not classes:
            raise DataError(f"{source.place}: none of {len(source)} images can be read")
        file.seek(0)
        write_header(file, len(classes), size, color)
    labels, names = _labels(classes, source.class_names)
    return Prepared(count=len(classes), labels=labels, class_names=names, skipped=skipped)


def prepare_image(content: bytes, name: str, size: int, color: Color) -> Bytes:
    """Prepare one image as the paper does for CelebA: shorter side to `size`, central square, then grey.

    The same as torchvision's Resize(size), CenterCrop(size), Grayscale: bilinear with antialiasing, ITU-R 601
    luma. Before that the image is rotated by its EXIF orientation and laid over black where it is
    transparent.

    Args:
        content: the encoded image.
        name: its name in errors.
        size: height and width in pixels.
        color: grey or rgb.

    Returns:
        (1 or 3, size, size) uint8.

    Raises:
        UnreadableImageError: it is damaged.
        DataError: it has more than 8 bits per channel.
    """
    image = decode(io.BytesIO(content), name)
    short = min(image.size)
    width, height = (int(size * side / short) for side in image.size)  # torchvision rounds down
    left, top = round((width - size) / 2), round((height - size) / 2)
    image = image.resize((width, height), Image.Resampling.BILINEAR)
    image = image.crop((left, top, left + size, top + size))
    return to_pixels(image.convert("L") if color == "grey" else image)


def decode(file: BinaryIO | Path, name: str) -> Image.Image:
    """Read an image as 8-bit RGB, upright and without transparency.

    Raises:
        UnreadableImageError: it is damaged; the message names it.
        DataError: it has more than 8 bits per channel.
    """
    try:
        with Image.open(file) as opened:
            deep = any(";16" in str(tile.args) for tile in opened.tile)  # Pillow would drop the low byte
            if deep or opened.mode.startswith(("I", "F")):  # and clip these at 255
                raise DataError(f"{name}: more than 8 bits per channel; save it with 8 bits")
            image = ImageOps.exif_transpose(opened)
            if "A" in image.getbands() or "transparency" in image.info:
                layer = image.convert("RGBA")
                image = Image.alpha_composite(Image.new("RGBA", layer.size, "black"), layer)
            return image.convert("RGB")
    except UnidentifiedImageError as error:
        raise UnreadableImageError(f"{name}: not a readable image (unknown format)") from error
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise UnreadableImageError(f"{name}: not a readable image ({error})") from error


def to_pixels(image: Image.Image) -> Bytes:
    """Pixels of a grey or RGB image, (C, H, W) uint8."""
    pixels = np.asarray(image)
    return pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)


def write_header(file: BinaryIO, count: int, size: int, color: Color) -> None:
    """Write the header of a .npy file of uint8 (count, C, size, size); the pixels follow.

    The header has the same length for any count: numpy pads it so that the first axis can grow.
    """
    shape = (count, 1 if color == "grey" else 3, size, size)
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)


def _labels(classes: Sequence[Class | None], names: Sequence[str] | None) -> tuple[Labels | None, list[str]]:
    """Labels 0…C−1 of the classes that occur, in order, and their names."""
    if classes[0] is None:
        return None, []
    present, labels = np.unique(np.array(classes), return_inverse=True)
    return labels.astype(np.int64), [names[c] if names else str(c) for c in present.tolist()]
