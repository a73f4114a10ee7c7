"""How one step of a training is carried out: as it is, or on a GPU as one CUDA graph that holds its batch too."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from importlib.util import find_spec
from typing import Protocol

import torch
from torch import Tensor

from tatsnet.data.on_device import DeviceBatches, DevicePairs
from tatsnet.data.pairs import Batch, PairSampler, PhotoPack, batches
from tatsnet.method.masked import Phase
from tatsnet.method.settings import TrainConfig
from tatsnet.network.compute import Compute

Terms = dict[str, Tensor]
Step = Callable[[Batch, Phase], tuple[Tensor, Terms]]
"""Forward, backward and the optimiser's step: the loss and its terms."""

MOST_OF_FREE = 0.5
"""Share of a GPU's free memory that photos may take."""

EAGER_STEPS = 3
"""Steps of a phase before its graph is made: they leave every buffer in its place."""


def pick_device(wanted: str) -> torch.device:
    """The device of a training.

    Raises:
        ValueError: CUDA is asked for and not there.
    """
    if wanted == "cuda" and not torch.cuda.is_available():
        raise ValueError("train.device is cuda, but this machine has no CUDA device: use auto or cpu")
    if wanted == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(wanted)


def pick_compute(config: TrainConfig, device: torch.device) -> Compute:
    """The precision of the convolutions; `auto` is bfloat16 where the device is faster in it."""
    if config.precision == "float32" or (config.precision == "auto" and not computes_bfloat16(device)):
        return Compute()
    return Compute(torch.bfloat16, compiled=device.type == "cuda" and config.compile and can_compile())


def can_compile() -> bool:
    """Whether torch.compile has what it needs for a GPU: Triton and a C compiler."""
    compilers = (os.environ.get("CC"), "cc", "gcc", "clang")
    return find_spec("triton") is not None and any(name and shutil.which(name) for name in compilers)


def computes_bfloat16(device: torch.device) -> bool:
    """Whether convolutions are faster there in bfloat16 than in float32.

    AVX512-BF16 alone is not enough: Intel's cores start one such instruction where they start two of float32, so that
    nothing is won (measured: 0.65 to 1.1 times the speed), while elsewhere a training was 1.8 times as fast.
    """
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    cpu = torch.cpu.get_capabilities()
    return bool(cpu.get("amx_bf16") or (cpu.get("avx512_bf16") and not str(cpu["cpu_name"]).startswith("Intel")))


def training_batches(
    pack: PhotoPack, config: TrainConfig, *, relative: bool, seed: int, start: int, stop: int, device: torch.device
) -> Iterable[Batch]:
    """Batches start .. stop - 1 of a training: made on a CUDA device, elsewhere by the real codec on the CPU.

    Photos that a CUDA device has no room for are degraded on the CPU, too.

    Args:
        relative: relative ground truth (Figure 4b) in place of the clean photo.
        seed: of the batches.

    Raises:
        ValueError: a photo smaller than the patch; on CUDA, a patch that is no multiple of 16.
    """
    if device.type == "cuda" and pack.pixels.nbytes < torch.cuda.mem_get_info(device)[0] * MOST_OF_FREE:
        pairs = DevicePairs(
            pack,
            patch=config.patch,
            batch=config.batch,
            relative=relative,
            sampling=config.sampling,
            seed=seed,
            device=device,
        )
        return DeviceBatches(pairs, start, stop)
    sampler = PairSampler(
        pack, patch=config.patch, batch=config.batch, relative=relative, sampling=config.sampling, seed=seed
    )
    return batches(sampler, start, stop, config.workers)


class Engine(Protocol):
    """Carries out steps in turn."""

    def __call__(self, iteration: int, phase: Phase) -> tuple[Tensor, Terms]:
        """One step; the tensors are valid until the next."""


def make_engine(batches: Iterable[Batch], step: Step, device: torch.device) -> Engine:
    """A CUDA graph where batches are made on a CUDA device."""
    if isinstance(batches, DeviceBatches) and device.type == "cuda":
        return _Graph(batches.pairs, step)
    return _Eager(iter(batches), step, device)


class _Eager:
    def __init__(self, batches: Iterator[Batch], step: Step, device: torch.device) -> None:
        self._batches, self._step, self._device = batches, step, device

    def __call__(self, iteration: int, phase: Phase) -> tuple[Tensor, Terms]:
        return self._step(next(self._batches).to(self._device), phase)


class _Graph:
    def __init__(self, pairs: DevicePairs, step: Step) -> None:
        self._pairs, self._step = pairs, step
        self._phase: Phase | None = None

    def __call__(self, iteration: int, phase: Phase) -> tuple[Tensor, Terms]:
        if phase is not self._phase:
            self._phase, self._eager, self._graph = phase, EAGER_STEPS, None
        self._pairs.seed_for(iteration)
        if self._eager:
            self._eager -= 1
            return self._aside(phase)
        if self._graph is None:
            self._graph, self._made = self._capture(phase)
        self._graph.replay()
        return self._made

    def _aside(self, phase: Phase) -> tuple[Tensor, Terms]:
        """A step on a stream of its own, as what is captured later must have run before."""
        stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            made = self._step(self._pairs.draw(), phase)
        torch.cuda.current_stream().wait_stream(stream)
        return made

    def _capture(self, phase: Phase) -> tuple[torch.cuda.CUDAGraph, tuple[Tensor, Terms]]:
        graph = torch.cuda.CUDAGraph()
        graph.register_generator_state(self._pairs.generator)
        with torch.cuda.graph(graph):
            made = self._step(self._pairs.draw(), phase)
        return graph, made
