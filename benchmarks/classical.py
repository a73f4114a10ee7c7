"""What one would take without a network: OpenCV's filters, each at many settings.

python -m benchmarks.full_protocol photos/ --networks unsharp bilateral nlm
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import cv2

from tatsnet.data.degradation import Image

Filter = Callable[[Image], Image]


def unsharp(image: Image, sigma: float, amount: float) -> Image:
    """The image plus a share of what a Gaussian of this sigma, pixels, takes away."""
    blurred = cv2.GaussianBlur(image, (0, 0), sigma)
    return cv2.addWeighted(image, 1 + amount, blurred, -amount, 0)


def bilateral(image: Image, levels: float, sigma: float) -> Image:
    """Mean of the neighbours within some `sigma` pixels and `levels` of 255."""
    return cv2.bilateralFilter(image, 0, levels, sigma)


def non_local_means(image: Image, strength: float) -> Image:
    """OpenCV's, brightness and colour alike, with its own sizes of window: 7 and 21 pixels."""
    return cv2.fastNlMeansDenoisingColored(image, None, strength, strength, 7, 21)


FILTERS: Mapping[str, Sequence[Filter]] = {
    "unsharp": [partial(unsharp, sigma=s, amount=a) for s in (1, 2, 4) for a in (0.25, 0.5, 1, 1.5, 2, 3)],
    "bilateral": [partial(bilateral, levels=v, sigma=s) for v in (15, 30, 60, 120, 200) for s in (1, 2, 4)],
    "nlm": [partial(non_local_means, strength=h) for h in (3, 5, 8, 12, 16, 20, 26, 32)],
}
"""Each method's settings, wide enough that the best is not the first or the last."""
