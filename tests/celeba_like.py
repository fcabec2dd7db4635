"""Image sets with CelebA's layout, drawn for the tests: 178×218 JPEGs named 000001.jpg, 000002.jpg, …"""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

SIZE = (178, 218)  # width, height of the aligned images


def draw_face(seed: int) -> Image.Image:
    """An oval on a plain background, with two eyes; not CelebA, but of its form."""
    rng = np.random.default_rng(seed)
    image = Image.new("RGB", SIZE, tuple(rng.integers(0, 256, 3).tolist()))
    draw = ImageDraw.Draw(image)
    x, y = rng.integers(-15, 16, 2)
    draw.ellipse((39 + x, 50 + y, 139 + x, 180 + y), tuple(rng.integers(60, 256, 3).tolist()))
    for eye in (70, 108):
        draw.ellipse((eye + x - 8, 95 + y, eye + x + 8, 107 + y), "black")
    return image


def make_folder(folder: Path, count: int) -> Path:
    """`folder` with so many faces."""
    folder.mkdir(parents=True)
    for i in range(count):
        draw_face(i).save(folder / f"{i + 1:06}.jpg", quality=90)
    return folder


def make_zip(path: Path, folder: Path) -> Path:
    """A ZIP file of a folder, as img_align_celeba.zip is: stored, in an inner folder, entries for folders."""
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("img_align_celeba/", b"")
        for image in sorted(folder.iterdir(), reverse=True):  # the order in the file does not matter
            file.write(image, f"img_align_celeba/{image.name}")
    return path
