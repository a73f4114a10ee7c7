"""The kernels that networks of the paper's shape need are compiled for GPUs; there need be none."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from triton.backends.compiler import GPUTarget
from triton.runtime.driver import driver

from benchmarks.kernels import SHARED_LIMIT, compile_for, variant
from tatsnet.runtimes.triton.calls import Call
from tatsnet.runtimes.triton.launch import jit, parameters
from tatsnet.timing.kernels import dense_calls, found_calls
from tatsnet.timing.synthetic import PAPER, TATS, TATS_16, TS, Layout, Shape, architecture, random_parts

SIZE = (2160, 3840)


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("compiled")


@pytest.fixture(autouse=True)
def nothing_compiled_before(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRITON_CACHE_DIR", str(kept))


def calls_of(shape: Shape | None, precision: torch.dtype) -> list[Call]:
    """One of each kernel that a network's effect takes; the super network's without a shape."""
    if shape is None:
        calls = dense_calls(PAPER, *SIZE, precision)
    else:
        once, each = found_calls(random_parts(architecture(shape, Layout.TIED)), *SIZE, precision)
        calls = [*once, *(call for part in each for call in part)]
    return list({variant(call): call for call in calls}.values())


def assert_fits(call: Call, capability: int) -> None:
    made = compile_for(call, capability)
    assert made.spilled == 0
    assert made.shared <= SHARED_LIMIT[capability]
    if call.precision != torch.float32:
        assert "mma" in made.ptx, "matrix units do it"


def test_runs_of_16_in_bfloat16_on_hopper() -> None:
    calls = calls_of(TATS_16, torch.bfloat16)
    assert len(calls) == 9, "however many patterns there are"
    for call in calls:
        assert_fits(call, 90)


class AbsentGpu:
    """A driver that knows what it would drive."""

    def get_current_target(self) -> GPUTarget:
        return GPUTarget("cuda", 90, 32)

    def get_current_device(self) -> int:
        return 0

    def get_current_stream(self, device: int) -> int:
        return 0


def test_a_launch_compiles_the_very_kernels_that_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver, "_active", AbsentGpu())
    specific = found_calls(random_parts(architecture(TATS_16, Layout.TIED)), *SIZE, torch.bfloat16)[1][0]
    for call in (specific[0], specific[-2]):  # a pair that takes its channels, and the tail
        jit.cache_clear()
        launched = jit(call.kernel).warmup(grid=call.grid(call.tile), **parameters(call))
        assert launched.asm["ptx"] == compile_for(call, 90).ptx
    jit.cache_clear()


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize(
    ("capability", "precision"),
    [(90, torch.bfloat16), (90, torch.float16), (90, torch.float32), (80, torch.bfloat16)],
)
@pytest.mark.parametrize("shape", [TATS, TATS_16, TS, None])
def test_every_network_on_every_gpu(shape: Shape | None, capability: int, precision: torch.dtype) -> None:
    for call in calls_of(shape, precision):
        assert_fits(call, capability)
