"""The README's picture: details of photos, degraded, restored by a network of the package, and as they were.

The photos are two of scikit-learn's. The network is asked for what was done to them.

    python -m benchmarks.picture docs/before_after.jpg
"""

from __future__ import annotations

import argparse

import numpy as np
from PIL import Image, ImageDraw
from sklearn.datasets import load_sample_image

from tatsnet.data.degradation import Degradation, degrade
from tatsnet.photos.files import to_uint8
from tatsnet.restorer import Restorer
from tatsnet.shipped import DEFAULT

CROPS = (
    ("china.jpg", 150, 60, Degradation(1.5, 0, None)),
    ("flower.jpg", 60, 220, Degradation(0, 35, None)),
    ("china.jpg", 200, 320, Degradation(0, 0, 10)),
    ("flower.jpg", 90, 300, Degradation(1, 20, 40)),
)
SIDE, SCALE, GAP = 150, 2, 6
COLUMNS = ("degraded", "restored", "as it was")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", help="a .jpg")
    args = parser.parse_args()
    restorer = Restorer.load(DEFAULT)
    cell = SIDE * SCALE
    sheet = Image.new("RGB", (len(CROPS) * (cell + GAP) - GAP, 3 * (cell + GAP) - GAP), "white")
    for column, (name, top, left, degradation) in enumerate(CROPS):
        clean = np.asarray(load_sample_image(name))
        degraded = degrade(clean, degradation, np.random.default_rng(column))
        restored = to_uint8(restorer.restore(degraded, degradation.task))
        for row, (image, label) in enumerate(zip((degraded, restored, clean), COLUMNS, strict=True)):
            detail = Image.fromarray(image[top : top + SIDE, left : left + SIDE])
            detail = detail.resize((cell, cell), Image.Resampling.LANCZOS)
            ImageDraw.Draw(detail).text((8, 6), label, fill="white", stroke_fill="black", stroke_width=2, font_size=18)
            sheet.paste(detail, (column * (cell + GAP), row * (cell + GAP)))
    sheet.save(args.output, quality=88)


if __name__ == "__main__":
    main()
