"""Digests of what every runtime computes, to compare before and after a refactoring: `diff` tells whether a bit moved.

Example: python -m benchmarks.output_digests > after.txt
"""

from __future__ import annotations

import argparse
import hashlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch

from tatsnet.data.degradation import GRID
from tatsnet.network.architecture import NetworkConfig
from tatsnet.pruned.extraction import slice_parts
from tatsnet.pruned.network import ExtractedNetwork, Parts
from tatsnet.pruned.onnx_export import export
from tatsnet.runtimes import Runtime
from tatsnet.runtimes.choose import available, pick
from tatsnet.runtimes.triton.runtime import TritonRuntime
from tatsnet.timing.latency_model import LatencyTable, predict
from tatsnet.timing.synthetic import TATS, Layout, architecture, random_parts
from tests.tatsnet.networks import frozen_network

NETWORK = NetworkConfig(width=16, blocks=3)
SIZES = ((29, 37), (64, 90))
OTHER_TASK = (0.31, 0.62, 0.13)


def networks() -> Iterator[tuple[str, Parts]]:
    """Small networks, wherever sharing ends, tied and free; and one of the paper's size."""
    tasks = GRID[::13]
    for shared in (0, 1, 2, 5, 9, 11, 12):
        for preference in (-0.2, 0.2):
            for tied in (False, True):
                model = frozen_network(shared, preference, network=NETWORK, group=4 if tied else 1, tied=tied)
                yield f"shared={shared} preference={preference} tied={tied}", slice_parts(model, tasks)
    for layout in Layout:
        yield f"paper {layout.value}", random_parts(architecture(TATS, layout))


def restored(parts: Parts, runtime: Runtime) -> str:
    """The digest of known effects and, where the network knows others, of one more."""
    network = ExtractedNetwork(parts, runtime=runtime)
    tasks = [task for task, _ in parts.architecture.tasks[:2]] + ([OTHER_TASK] if parts.rest else [])
    network.prepare(tasks)
    digest = hashlib.sha256()
    for height, width in SIZES:
        image = torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(height))
        encoded = network.encode(image)
        for task in tasks:
            digest.update(network.effect(encoded, task).contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def exported(parts: Parts) -> str:
    """The digest of the network's ONNX files."""
    digest = hashlib.sha256()
    with tempfile.TemporaryDirectory() as folder:
        export(parts, Path(folder) / "onnx")
        for path in sorted((Path(folder) / "onnx").iterdir()):
            digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def predicted(parts: Parts) -> str:
    """Milliseconds by a made-up table of latencies, to the last digit."""
    width = parts.architecture.network.width
    rows = ((1.0, 2.5, 4.0), (2.0, 3.0, 4.5), (3.25, 5.0, 9.0))
    table = LatencyTable(
        device="", runtime="", threads=1, size=(64, 64), width=width, grid=(1, 4, width), head_ms=rows[0],
        block_ms=rows, end_ms=rows, last_ms=rows[1], some_ms=(0.1, 0.01, 0.003), image_ms=0.5, effect_ms=0.25,
    )  # fmt: skip
    return ", ".join(predict(table, parts.architecture, effects).hex() for effects in (1, 27))


def main() -> None:
    """Print a line per network and runtime."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    torch.set_num_threads(1)
    runtimes = {name: pick(name, threads=1) for name in available()} | {"triton": TritonRuntime("cpu")}
    for name, parts in networks():
        is_small = not name.startswith("paper")
        print(f"{name}: predicted {predicted(parts)}; exported {exported(parts)}")
        for kind, runtime in runtimes.items():
            if is_small or kind != "triton":
                print(f"{name}: {kind} {restored(parts, runtime)}", flush=True)


if __name__ == "__main__":
    main()
