"""The physically small network: one task-agnostic part per image, one task-specific part per gate pattern.

Shapes: B batch, C channels, H height, W width, D degradation types (3).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from tatsnet.method.gates import Controller, own_gates
from tatsnet.method.masked import to_pattern
from tatsnet.method.settings import GateRule
from tatsnet.network.architecture import Architecture, Pattern, Role, canonical
from tatsnet.network.section_plan import plan_section
from tatsnet.network.slicing import slice_section, split, travelling, with_scales
from tatsnet.network.sliders import PLAIN, Sliders
from tatsnet.network.supernet import let_through, pad_even
from tatsnet.network.tasks import Task, check_task
from tatsnet.pruned.boxes import Box, check_box, cut, whole
from tatsnet.pruned.section_cache import SectionCache
from tatsnet.runtimes.api import Compiled, Runtime
from tatsnet.runtimes.bands import BAND_BYTES, IMAGES, SMALL, hidden_planes, reach, run_within
from tatsnet.runtimes.torch.layers import State, start
from tatsnet.runtimes.torch.runtime import TorchRuntime
from tatsnet.system.files import Tensors
from tatsnet.system.memory import check_memory

CACHED_SECTIONS = 64
CACHED_TASKS = 1024


@dataclass(frozen=True, kw_only=True, eq=False)
class Parts:
    """An extracted network as data: what its folder holds.

    Attributes:
        architecture: what is shared, the known patterns, the known tasks.
        min_channels, prune, group, tied: how the controller's preferences become a pattern (`GateRule`).
        shared: weights of the task-agnostic part.
        patterns: weights of the task-specific part of each of the architecture's patterns.
        control: the controller and the global scale, by their names in the masked network.
        rest: every weight that the task-specific part of any other pattern is sliced from.
        figures: numbers about the network, for people.
        sliders: what the positions of even sliders mean.
    """

    architecture: Architecture
    min_channels: int
    prune: bool
    shared: Tensors
    patterns: tuple[Tensors, ...]
    control: Tensors
    rest: Tensors
    figures: Mapping[str, Any]
    group: int = 1
    tied: bool = False
    sliders: Sliders = PLAIN

    @property
    def rule(self) -> GateRule:
        """How the controller's preferences become a pattern."""
        return GateRule(min_channels=self.min_channels, prune=self.prune, group=self.group, tied=self.tied)

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the weights.

        Raises:
            ValueError: the global scale, by which it is told, is missing.
        """
        if "global_scale.weight" not in self.control:
            raise ValueError("the network has no global scale")
        return self.control["global_scale.weight"].dtype


@dataclass(frozen=True, eq=False)
class Encoded:
    """An image after the task-agnostic part: all that its effects need. Effects only read it.

    Attributes:
        state: where the task-specific parts go on.
        box: what of the state's image the effects give: all but padding and what lies around a rectangle.
    """

    state: State
    box: Box


class Wanted(NamedTuple):
    """Which task-specific section: a pattern's, for all its tasks, or that of one known task alone.

    The latter has its residual scales in the weights, which saves a pass over the stream per block.
    """

    pattern: Pattern
    task: Task | None


class ExtractedNetwork:
    """Restores without masks: encode an image once, then ask for effects. May be used by several threads.

    Args:
        parts: the network.
        device: where PyTorch runs it.
        runtime: what runs it instead; it brings its own device.
        band_bytes: images are run in bands of rows so that the convolutions hold about so much at a time.

    Raises:
        ValueError: parts that do not belong together.
    """

    def __init__(
        self,
        parts: Parts,
        device: str | torch.device = "cpu",
        runtime: Runtime | None = None,
        band_bytes: float = BAND_BYTES,
    ) -> None:
        self.architecture = architecture = parts.architecture
        self.sliders = parts.sliders
        self.runtime: Runtime = TorchRuntime(device) if runtime is None else runtime
        self.device = self.runtime.device
        self._parts = parts
        self._known: dict[tuple[float, ...], int] = dict(architecture.tasks)
        self._files = dict(zip(architecture.patterns, parts.patterns, strict=True))
        self._band_bytes = band_bytes
        self._shared_convs, self._specific_convs = split(architecture)
        self._has_scales = any(conv.role is Role.LEAVE for conv in self._specific_convs)
        self._incoming = travelling(self._shared_convs, architecture.patterns[0])
        self._shared_outputs = hidden_planes(self._shared_convs, architecture.patterns[0])
        try:
            self._shared = self.runtime.compile(
                plan_section(self._shared_convs, architecture.patterns[0]), parts.shared
            )
            self._global_scale = tuple(
                parts.control[f"global_scale.{kind}"].to(self.device) for kind in ("weight", "bias")
            )
            self._controller = _controller(architecture, parts.control)
        except (KeyError, RuntimeError) as error:
            raise ValueError(f"the network's weights do not fit its architecture: {error}") from error
        self.dtype = self._global_scale[0].dtype
        at_once = partial(self._make_section, TorchRuntime(self.device)) if self.runtime.compiles else None
        self._sections = SectionCache(partial(self._make_section, self.runtime), at_once, CACHED_SECTIONS)
        self._pattern = lru_cache(CACHED_TASKS)(self._find_pattern)

    def pattern(self, task: Sequence[float]) -> Pattern:
        """The canonical gate pattern of a task vector: any three numbers in [0, 1].

        Raises:
            ValueError: not such a vector.
        """
        return self._pattern(check_task(task))

    def prepare(self, tasks: Iterable[Sequence[float]]) -> None:
        """Compile what effects need and wait for it; without that, PyTorch answers until it is there.

        Raises:
            ValueError: not task vectors.
        """
        self._sections.prepare([self._wanted(task) for task in tasks])

    @torch.inference_mode()
    def encode(self, image_BCHW: Tensor, box: Box | None = None) -> Encoded:
        """Run the task-agnostic part.

        Args:
            image_BCHW: RGB in [0, 1], any height and width from 1.
            box: a rectangle; its effects are those of the whole image there, and cost as much as it is large.

        Raises:
            ValueError: another shape, or a rectangle that is no part of it.
            NotEnoughMemoryError: there is too little memory for what the effects go on from; before any work.
        """
        if image_BCHW.ndim != 4 or image_BCHW.shape[1] != 3 or 0 in image_BCHW.shape:
            raise ValueError(f"an image batch is B x 3 x H x W with no empty side, got {tuple(image_BCHW.shape)}")
        if box is not None and box != whole(image_BCHW):
            return self._encode_box(image_BCHW, box)
        height, width = image_BCHW.shape[-2:]
        if self.device.type == "cpu" and height * width > SMALL:
            check_memory(
                int(len(image_BCHW) * height * self.held_per_row(width)), f"an image of {width}x{height} pixels"
            )
        layout = self.runtime.image_layout
        padded = pad_even(image_BCHW.to(self.device, self.dtype)).contiguous(memory_format=layout)
        pattern = self.architecture.patterns[0]
        state = run_within(
            self._band_bytes, self._shared, self._shared_convs, pattern, (), start(padded), padded.new_zeros(3)
        )
        return Encoded(state._replace(owned=False), whole(image_BCHW))

    def _encode_box(self, image_BCHW: Tensor, box: Box) -> Encoded:
        check_box(box, whole(image_BCHW))
        read = box.grown(2 * self.around, whole(image_BCHW))
        encoded = self.encode(read.of(image_BCHW))
        padded = whole(encoded.state.image_BCHW)
        kept = box.seen_from(read).grown(2 * reach(self._specific_convs), padded)
        kept = kept._replace(bottom=kept.bottom + kept.bottom % 2, right=kept.right + kept.right % 2)
        return Encoded(cut(encoded.state, kept), box.seen_from(read).seen_from(kept))

    @torch.inference_mode()
    def effect(self, encoded: Encoded, task: Sequence[float]) -> Tensor:
        """Run the task-specific part: B x 3 x H x W, not clamped.

        Raises:
            ValueError: the task vector is not three numbers in [0, 1].
        """
        wanted = self._wanted(task)
        section = self._sections.get(wanted)
        task_D = torch.tensor(task, dtype=self.dtype, device=self.device)
        state = run_within(
            self._band_bytes, section, self._specific_convs, wanted.pattern, self._incoming, encoded.state, task_D
        )
        weight, bias = self._global_scale
        scale = let_through(weight @ task_D + bias, task_D, self.architecture.network.zero_task)
        restored = self.runtime.add_scaled(state.image_BCHW, scale, state.hidden_BCHW)
        return encoded.box.of(restored)

    @property
    def around(self) -> int:
        """Rows at half resolution on either side of a row that its restoration depends on."""
        return reach(self._shared_convs) + reach(self._specific_convs)

    def held_per_row(self, width: int) -> float:
        """Bytes that an image, what its effects go on from, and one effect take in memory per row of pixels.

        Args:
            width: of the image, pixels.
        """
        stream, hidden = len(self._incoming), self._shared_outputs
        return self.dtype.itemsize * width * ((stream + hidden) / 4 + IMAGES * 3)

    def _wanted(self, task: Sequence[float]) -> Wanted:
        task = check_task(task)
        return Wanted(self._pattern(task), task if self._has_scales and task in self._known else None)

    @torch.inference_mode()
    def _find_pattern(self, task: Task) -> Pattern:
        network, shared = self.architecture.network, self.architecture.shared
        if task in self._known:
            return self.architecture.patterns[self._known[task]]
        dtype = self._parts.control["global_scale.weight"].dtype
        preference = self._controller(torch.tensor([task], dtype=dtype))
        if not self._parts.prune:
            preference = torch.ones_like(preference)
        common = self.architecture.patterns[0]
        offered_C = torch.tensor([float(channel in common[0]) for channel in range(network.width)])
        own = own_gates(preference, torch.arange(network.points) < shared, offered_C, self._parts.rule)
        return canonical(network, common[:shared] + to_pattern(own[0])[shared:], shared)

    @torch.inference_mode()
    def _make_section(self, runtime: Runtime, wanted: Wanted) -> Compiled:
        pattern, task = wanted
        tensors = self._files.get(pattern)
        if tensors is None:
            convs, network = self._specific_convs, self.architecture.network
            tensors = slice_section(self._parts.rest, network, convs, pattern, shared=False)
        if task is not None:
            tensors = with_scales(tensors, task)
        return runtime.compile(plan_section(self._specific_convs, pattern, self._incoming), tensors)


def _controller(architecture: Architecture, control: Tensors) -> Controller:
    with torch.device("meta"):
        controller = Controller(architecture.network, architecture.controller_hidden)
    own = {name.removeprefix("controller."): tensor for name, tensor in control.items() if "controller." in name}
    controller.load_state_dict(own, assign=True)
    return controller.requires_grad_(False)
