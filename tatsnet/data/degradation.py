"""Blur, noise and JPEG in CResMD's order, and the levels that a task vector is made of (paper section 7.3).

A level is an integer on the training grid: blur width r = level / 10 (41 levels), noise sigma = level (51 levels),
JPEG quality = 102 - 2 x level with 0 for no compression (47 levels). A task vector is level / LEVELS, in [0, 1]^3,
ordered deblur, denoise, dejpeg.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from tatsnet.network.tasks import Task, check_task

Image = npt.NDArray[np.uint8]
"""Height x width x 3, RGB, 0 .. 255."""

BLUR_RADIUS = 10


@dataclass(frozen=True)
class Degradation:
    """A physical degradation.

    Args:
        blur: width r of the Gaussian kernel in pixels, [0, 4].
        noise: standard deviation of the Gaussian noise in 8-bit steps, [0, 50].
        quality: JPEG quality 10 .. 100, or None for no compression.

    Raises:
        ValueError: a value out of its range.
    """

    blur: float = 0.0
    noise: float = 0.0
    quality: int | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.blur <= 4:
            raise ValueError(f"blur must be in [0, 4] pixels, got {self.blur}")
        if not 0 <= self.noise <= 50:
            raise ValueError(f"noise must be in [0, 50] 8-bit steps, got {self.noise}")
        if self.quality is not None and not 10 <= self.quality <= 100:
            raise ValueError(f"quality must be in 10 .. 100 or None, got {self.quality}")

    @property
    def task(self) -> Task:
        """The task vector that undoes this degradation: none = 0, the strongest = 1; quality 60 is 42/92."""
        return (self.blur / 4, self.noise / 50, 0.0 if self.quality is None else (102 - self.quality) / 92)

    @property
    def name(self) -> str:
        """A file name's stem: `blur2_noise25_q60`."""
        return f"blur{self.blur:g}_noise{self.noise:g}_q{'none' if self.quality is None else self.quality}"


def from_task(task: Sequence[float]) -> Degradation:
    """The degradation that a task vector undoes; a dejpeg level below 1.5/92 is no compression.

    Raises:
        ValueError: not three numbers in [0, 1].
    """
    deblur, denoise, dejpeg = check_task(task)
    quality = round(102 - 92 * dejpeg)
    return Degradation(4 * deblur, 50 * denoise, quality if quality <= 100 else None)


def from_levels(levels: Iterable[int]) -> Degradation:
    """The degradation at integer levels (0 .. 40, 0 .. 50, 0 .. 46) of the training grid."""
    blur, noise, jpeg = levels
    return Degradation(blur / 10, float(noise), 102 - 2 * int(jpeg) if jpeg else None)


def evaluation_grid() -> tuple[Degradation, ...]:
    """The 27 combinations of r in {0, 2, 4}, sigma in {0, 25, 50}, q in {none, 60, 10}; the undegraded one first."""
    return tuple(
        Degradation(r, s, q) for r, s, q in itertools.product((0.0, 2.0, 4.0), (0.0, 25.0, 50.0), (None, 60, 10))
    )


GRID: tuple[Task, ...] = tuple(degradation.task for degradation in evaluation_grid())
"""The task vectors of the 27 effects."""


def blur(image: npt.NDArray[np.float32], width: float) -> npt.NDArray[np.float32]:
    """Gaussian blur with a 21x21 kernel of standard deviation `width` pixels and a replicated border."""
    if width == 0:
        return image
    side = 2 * BLUR_RADIUS + 1
    return np.asarray(cv2.GaussianBlur(image, (side, side), width, borderType=cv2.BORDER_REPLICATE), np.float32)


def jpeg(image: Image, quality: int | None) -> Image:
    """A round trip through baseline JPEG, 4:2:0; None passes the image on."""
    if quality is None:
        return image
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    done, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, int(quality)])
    if not done:
        raise ValueError(f"JPEG could not encode an image of shape {image.shape}")
    return np.asarray(cv2.cvtColor(cv2.imdecode(data, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB), np.uint8)


def noise_field(shape: tuple[int, ...], rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """Standard normal noise of the given shape."""
    return rng.standard_normal(shape, dtype=np.float32)


def corrupt(blurred: npt.NDArray[np.float32], degradation: Degradation, noise: npt.NDArray[np.float32]) -> Image:
    """What follows the blur: noise (standard normal field, same shape), rounding to 8 bits, JPEG. Range 0 .. 255."""
    noisy = blurred + degradation.noise * noise if degradation.noise else blurred
    return jpeg(np.rint(np.clip(noisy, 0, 255)).astype(np.uint8), degradation.quality)


def degrade(image: Image, degradation: Degradation, rng: np.random.Generator) -> Image:
    """Blur, then noise, then JPEG.

    Args:
        image: height x width x 3, RGB, 0 .. 255.
        degradation: what to apply.
        rng: draws the noise; always drawn from, so that equal generators give equal noise at every degradation.
    """
    noise = noise_field(image.shape, rng)
    return corrupt(blur(image.astype(np.float32), degradation.blur), degradation, noise)
