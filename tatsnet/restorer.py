"""What people call: load a network once, encode an image once, ask for effects.

Shapes: B batch, C channels, H height, W width.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import PIL.Image
import torch
from torch import Tensor

from tatsnet.network.architecture import Architecture
from tatsnet.network.sliders import Sliders
from tatsnet.network.tasks import Task, check_task
from tatsnet.pruned.boxes import Box
from tatsnet.pruned.folder import read_folder
from tatsnet.pruned.network import Encoded, ExtractedNetwork
from tatsnet.runtimes.bands import SMALL, rows_within
from tatsnet.runtimes.choose import AUTO, pick
from tatsnet.shipped import shipped
from tatsnet.system.memory import UNKNOWN, available, check_memory

__all__ = ["Box", "Encoded", "Restorer"]

Pixels = npt.NDArray[np.float32]
Picture = Pixels | npt.NDArray[np.uint8] | PIL.Image.Image

STRIP_BYTES = 2**30
"""What a strip of a large image holds, if that is less than a quarter of the memory that is free."""

STRIPS = 4
"""Several effects of a large image hold so many strips' worth, if that is less than half of the memory that is free."""


class Restorer:
    """An extracted network at work. May be used by several threads.

    Args:
        network: does the work.
        strip_bytes: `restore` and `restore_each` take a large image in strips of rows that hold about so much.

    Example:
        ```python
        restorer = Restorer.load("models/pruned/knee")
        encoded = restorer.encode(photo_HWC)
        for denoise in (0.0, 0.5, 1.0):
            show(restorer.effect(encoded, restorer.sliders.task((0.0, denoise, 0.0))))
        ```
    """

    def __init__(self, network: ExtractedNetwork, strip_bytes: float = STRIP_BYTES) -> None:
        self._network, self._strip_bytes = network, strip_bytes

    @staticmethod
    def load(
        folder: str | Path,
        device: str | torch.device = "cpu",
        runtime: str = AUTO,
        threads: int | None = None,
        precision: torch.dtype | None = None,
    ) -> Restorer:
        """Read an extracted network, by its folder or by the name of a shipped one; every file's sha256 is checked.

        Args:
            runtime: `auto` (the fastest one that works here), `numba`, `openvino`, `onnxruntime` or `torch`.
            threads: of all but PyTorch; as many as PyTorch uses now by default.
            precision: in which to compute, float32 by default: OpenVINO and PyTorch know `torch.bfloat16`, PyTorch
                `torch.float16` too; `tatsnet.runtimes.api.BOUNDS` says how far off the results may be.

        Raises:
            FileNotFoundError: there is no such folder.
            ValueError: not a network's folder, another schema, a file that is missing, cut short or changed, or a
                runtime that cannot be taken.
        """
        if not Path(folder).exists():
            folder = shipped().get(str(folder), folder)
        try:
            parts = read_folder(Path(folder))
        except ValueError as error:
            raise ValueError(f"cannot load the network in {folder}: {error}") from error
        return Restorer(ExtractedNetwork(parts, runtime=pick(runtime, device, threads, parts.dtype, precision)))

    def in_strips(self, strip_bytes: float) -> Restorer:
        """The same network at work in strips of another size: see the class."""
        return Restorer(self._network, strip_bytes)

    @property
    def runtime(self) -> str:
        """The name of what runs the network: `numba`, `openvino`, `onnxruntime` or `torch`."""
        return self._network.runtime.name

    @property
    def architecture(self) -> Architecture:
        """What is shared, and which channels each of the known tasks keeps."""
        return self._network.architecture

    @property
    def sliders(self) -> Sliders:
        """Slider positions whose equal moves look equal, and the levels that they stand for."""
        return self._network.sliders

    def encode(self, rgb_HWC: Picture, box: Box | None = None) -> Encoded:
        """Run the task-agnostic part, once for all effects of an image.

        Args:
            rgb_HWC: RGB of any size from 1x1: floats in [0, 1], 8-bit integers, or a picture of PIL; left as it is.
            box: a rectangle (top, left, bottom, right); its effects are those of the whole image there.

        Raises:
            ValueError: another shape, a value that is not a finite number, or a rectangle that is no part of it.
        """
        rgb_HWC = _as_floats(rgb_HWC)
        _check_image(rgb_HWC)
        if not np.isfinite(rgb_HWC).all():
            raise ValueError("the image holds values that are not finite numbers")
        return self.encode_tensor(torch.from_numpy(rgb_HWC.copy()).permute(2, 0, 1)[None], box)

    def effect(self, encoded: Encoded, task: Sequence[float]) -> Pixels:
        """Restore by a task vector: RGB in [0, 1], H x W x 3.

        Args:
            encoded: from this restorer's `encode`.
            task: (deblur, denoise, dejpeg), each in [0, 1].

        Raises:
            ValueError: the task vector is not three numbers in [0, 1].
        """
        restored_CHW = self.effect_tensor(encoded, task)[0].float().clamp(0, 1)
        return np.ascontiguousarray(restored_CHW.permute(1, 2, 0).cpu().numpy())

    def effects(self, encoded: Encoded, tasks: Sequence[Sequence[float]]) -> Iterator[Pixels]:
        """Restore by one task vector after the other: each is yielded as soon as it is there, and none is kept.

        Each is compiled before it is made, where the runtime compiles at all.

        Raises:
            ValueError: a task vector is not three numbers in [0, 1]; before any work.
        """
        return (self._compiled_effect(encoded, task) for task in [check_task(task) for task in tasks])

    def _compiled_effect(self, encoded: Encoded, task: Sequence[float]) -> Pixels:
        self.prepare([task])
        return self.effect(encoded, task)

    def prepare(self, tasks: Iterable[Sequence[float]]) -> None:
        """Compile what effects need, and wait for it; it serves images of any size.

        A slider needs no preparing: a new position is answered at once, by PyTorch where nothing is compiled yet.

        Raises:
            ValueError: a task vector is not three numbers in [0, 1].
        """
        self._network.prepare(tasks)

    def restore(self, rgb_HWC: Picture, task: Sequence[float], report: Callable[[float], None] | None = None) -> Pixels:
        """One effect of one image: `encode`, then `effect`, compiled; floats in [0, 1], H x W x 3.

        A large image is restored strip by strip, each with as many rows around it as its own depend on, so that beside
        the image and its restoration little memory is held.

        Args:
            rgb_HWC: see `encode`.
            task: see `effect`.
            report: told, before each strip, the share of the rows that is done; what it raises ends the work.

        Raises:
            ValueError: as of both; a wrong task is found before any work.
            NotEnoughMemoryError: there is too little memory; before any work.
        """
        return next(self.restore_each(rgb_HWC, [task], report))

    def restore_each(
        self, rgb_HWC: Picture, tasks: Sequence[Sequence[float]], report: Callable[[float], None] | None = None
    ) -> Iterator[Pixels]:
        """One effect of an image after the other, as `effects` gives them, in bounded memory.

        Where a large image cannot be encoded whole, it is restored strip by strip, as many effects at a time as there
        is memory for; the part that they share is computed once for each such group.

        Args:
            rgb_HWC, report: see `restore`.
            tasks: see `effect`.

        Raises:
            ValueError, NotEnoughMemoryError: as `restore`, before any work.
        """
        wanted = [check_task(task) for task in tasks]
        rgb_HWC = _as_floats(rgb_HWC)
        _check_image(rgb_HWC)
        height, width = rgb_HWC.shape[:2]
        strip, together = self._plan(height, width, len(wanted))
        if strip >= height:
            return self.effects(self.encode(rgb_HWC), wanted)
        groups = [wanted[first : first + together] for first in range(0, len(wanted), together)]
        return (restored for group in groups for restored in self._in_strips(rgb_HWC, group, strip, report))

    def _in_strips(
        self, rgb_HWC: Pixels, tasks: Sequence[Task], strip: int, report: Callable[[float], None] | None
    ) -> Iterator[Pixels]:
        height, around = rgb_HWC.shape[0], 2 * self._network.around
        images = [np.empty(rgb_HWC.shape, np.float32) for _ in tasks]
        for top in range(0, height, strip):
            if report is not None:
                report(top / height)
            first, last = max(0, top - around), min(height, top + strip + around)
            encoded = self.encode(rgb_HWC[first:last])
            for image_HWC, task in zip(images, tasks, strict=True):
                done_HWC = self._compiled_effect(encoded, task)
                image_HWC[top : top + strip] = done_HWC[top - first : top - first + strip]
        while images:
            yield images.pop(0)

    def _plan(self, height: int, width: int, effects: int) -> tuple[int, int]:
        """Rows of a strip, an even number or all of them, and how many effects are made at a time.

        Raises:
            NotEnoughMemoryError: there is too little memory for the fewest rows and one restored image.
        """
        per_row, around, rows = 2 * self._network.held_per_row(width), self._network.around, (height + 1) // 2
        counts = height * width > SMALL and self._network.device.type == "cpu"
        free = available() if counts else UNKNOWN
        for_all = min(STRIPS * self._strip_bytes, free / 2)
        if effects > 1 and rows * per_row <= for_all:
            return height, effects
        strip = rows_within(min(self._strip_bytes, free / 4), per_row, around, rows)
        image, held = 12 * height * width, min(strip + 2 * around, rows) * per_row
        if counts:
            check_memory(int(image + held), f"an image of {width}x{height} pixels")
        fitting = max(1, int((for_all - held) // image))
        return 2 * strip, math.ceil(effects / math.ceil(effects / fitting))

    def encode_tensor(self, image_BCHW: Tensor, box: Box | None = None) -> Encoded:
        """`encode` of a tensor, B x 3 x H x W in [0, 1].

        Raises:
            ValueError: another shape, or a rectangle that is no part of it.
        """
        return self._network.encode(image_BCHW, box)

    def effect_tensor(self, encoded: Encoded, task: Sequence[float]) -> Tensor:
        """`effect` as a tensor on the network's device, B x 3 x H x W, not clamped.

        Raises:
            ValueError: the task vector is not three numbers in [0, 1].
        """
        return self._network.effect(encoded, task)

    def restore_tensor(self, image_BCHW: Tensor, task_BD: Tensor) -> Tensor:
        """Each image by its own task vector, as a super network is called: B x 3 x H x W, not clamped.

        One image that is expanded to a batch (`Tensor.expand`) is encoded once.

        Raises:
            ValueError: as of `encode_tensor` and `effect_tensor`.
        """
        tasks = task_BD.tolist()
        if image_BCHW.stride(0) == 0:
            encoded = self.encode_tensor(image_BCHW[:1])
            return torch.cat([self.effect_tensor(encoded, task) for task in tasks])
        pairs = zip(image_BCHW[:, None], tasks, strict=True)
        return torch.cat([self.effect_tensor(self.encode_tensor(image), task) for image, task in pairs])


def _as_floats(picture: Picture) -> Pixels:
    """Floats as they are; 8-bit values, and what PIL holds, as shares of 255."""
    array = np.asarray(picture.convert("RGB") if isinstance(picture, PIL.Image.Image) else picture)
    return array.astype(np.float32) / np.float32(255) if array.dtype == np.uint8 else array


def _check_image(rgb_HWC: Pixels) -> None:
    if rgb_HWC.ndim != 3 or rgb_HWC.shape[2] != 3 or 0 in rgb_HWC.shape or rgb_HWC.dtype.kind != "f":
        raise ValueError(
            f"an image is H x W x 3 floating-point numbers with no empty side, got {rgb_HWC.dtype} of shape "
            f"{rgb_HWC.shape}"
        )
