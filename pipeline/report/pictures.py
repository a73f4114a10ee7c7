"""The photo that the report shows, and what a network makes of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tatsnet.data.degradation import Image
from tatsnet.network.tasks import Task

EFFECTS = 27


@dataclass(frozen=True, kw_only=True)
class Modulation:
    """A degraded detail under a growing slider, in the manner of the paper's Figures 9 to 16; images of one size.

    Attributes:
        slider: that grows, in words.
        degradation: of the detail, in words; with the slider at 1 it is the true one.
        positions: of the slider, rising.
        clean: the original.
        rows: by network, its image at each position.
    """

    slider: str
    degradation: str
    positions: tuple[float, ...]
    clean: Image
    rows: Mapping[str, tuple[Image, ...]]


@dataclass(frozen=True, kw_only=True)
class Pictures:
    """One photo and what a network makes of it; all images of one size, uint8 height x width x 3, RGB.

    Attributes:
        input_image: degraded.
        clean: the original.
        effects: 27 task vectors (a full grid of 3 levels per slider) with the network's output.
        network: name of the network.
        photo: name of the photo.
        degradation: of the input, in words.
        modulations: details under growing sliders.
        trials: by a trial's number, its 27 effects as a JPEG file.

    Raises:
        ValueError: images of different sizes, or not 27 effects on a full 3 x 3 x 3 grid.
    """

    input_image: Image
    clean: Image
    effects: tuple[tuple[Task, Image], ...]
    network: str
    photo: str = ""
    degradation: str = ""
    modulations: tuple[Modulation, ...] = ()
    trials: Mapping[int, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        images = [self.clean, self.input_image, *(image for _, image in self.effects)]
        for image in images:
            if image.dtype.name != "uint8" or image.ndim != 3 or image.shape[2] != 3:
                raise ValueError(f"pictures must be uint8 height x width x 3, got {image.dtype} {image.shape}")
            if image.shape != self.clean.shape:
                raise ValueError(f"pictures must be of one size, got {image.shape} and {self.clean.shape}")
        tasks = {task for task, _ in self.effects}
        sizes = [len(levels) for levels in self.levels]
        if len(self.effects) != EFFECTS or len(tasks) != EFFECTS or sizes != [3, 3, 3]:
            raise ValueError(
                f"effects must be a 3 x 3 x 3 grid, got {len(self.effects)} with {sizes} levels per slider"
            )

    @property
    def levels(self) -> tuple[tuple[float, ...], ...]:
        """The levels of each slider (deblur, denoise, dejpeg), rising."""
        return tuple(tuple(sorted({task[axis] for task, _ in self.effects})) for axis in range(3))
