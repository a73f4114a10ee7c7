"""What OpenVINO does to a process."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from tatsnet.data.degradation import GRID
from tatsnet.network.architecture import NetworkConfig, Pattern, convolutions
from tatsnet.network.section_plan import plan_section
from tatsnet.network.slicing import slice_section, travelling, with_scales
from tatsnet.network.supernet import SuperNetwork
from tatsnet.pruned.extraction import slice_parts
from tatsnet.pruned.network import ExtractedNetwork
from tatsnet.runtimes.choose import pick
from tatsnet.runtimes.onnx.openvino_graph import adapt, in_parts
from tatsnet.runtimes.onnx.section import GraphSection, Run
from tests.tatsnet.networks import OPEN, frozen_network

pytest.importorskip("openvino")

from tatsnet.runtimes.onnx.openvino import core

SIGNAL_AFTER_RUNTIMES = """
import faulthandler, gc, os, signal
from tatsnet.runtimes.choose import pick
faulthandler.enable()  # gives the main thread a stack for signals
signal.signal(signal.SIGUSR1, lambda number, frame: print("answered"))
first, second = pick("openvino"), pick("openvino")
del first
gc.collect()
del second
gc.collect()
os.kill(os.getpid(), signal.SIGUSR1)
"""


def test_a_signal_is_answered_after_runtimes_came_and_went() -> None:
    done = subprocess.run([sys.executable, "-c", SIGNAL_AFTER_RUNTIMES], capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (0, "answered"), done.stderr


def test_results_come_in_parts_of_few_channels() -> None:
    counts = [(count, [len(part) for part in in_parts(count, 15)]) for count in (0, 15, 16, 40, 48)]
    assert counts == [(0, []), (15, [15]), (16, [8, 8]), (40, [13, 13, 14]), (48, [12, 12, 12, 12])]


@pytest.mark.parametrize("shared", [4, 5])
def test_a_wide_stream_and_wide_hidden_channels_come_whole(shared: int) -> None:
    """Sharing ends after a block, or within one; batches are run image by image."""
    parts = slice_parts(frozen_network(shared, OPEN, network=NetworkConfig(width=40, blocks=2)), GRID)
    images, task = torch.rand(2, 3, 9, 14, generator=torch.Generator().manual_seed(0)), (0.5, 0.0, 1.0)
    networks = [ExtractedNetwork(parts, runtime=pick(name, threads=1)) for name in ("openvino", "torch")]
    made = []
    for network in networks:
        network.prepare([task])
        made.append(network.effect(network.encode(images), task))
    assert torch.allclose(*made, atol=1e-5)


def rearrangements(blocks: int) -> int:
    """How often OpenVINO copies the image in a task-specific part of so many blocks."""
    network = NetworkConfig(width=16, blocks=1 + blocks)
    shared, specific = convolutions(network)[:3], convolutions(network)[3:]
    kept = tuple(range(8))
    pattern: Pattern = (tuple(range(16)),) * 4 + (kept,) * (network.points - 4)
    weights = SuperNetwork(network, torch.Generator().manual_seed(0)).state_dict()
    tensors = with_scales(slice_section(weights, network, specific, pattern, shared=False), (0.5, 0.5, 0.5))
    models: list[bytes] = []

    def load(model: bytes) -> Run:
        models.append(model)
        return lambda inputs, outputs: None

    GraphSection(plan_section(specific, pattern, travelling(shared, pattern)), tensors, load, adapt)
    layers = core().compile_model(core().read_model(models[0]), "CPU").get_runtime_model().get_ops()
    return [layer.get_rt_info()["layerType"].astype(str) for layer in layers].count("Reorder")


def test_blocks_add_to_the_stream_where_it_lies() -> None:
    """It is rearranged when it comes and when it goes, and copied for no block."""
    assert rearrangements(1) == rearrangements(4)
