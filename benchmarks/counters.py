"""Where the time of an effect goes: OpenVINO's own counters, layer by layer, at the paper's shape.

Layers of one kind and shape are one row, with the median over all effects and rounds of what they take together.
GFLOP/s are those of convolutions, to be read beside the dense network's.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from math import prod

import openvino
import torch

from tatsnet.network.supernet import SuperNetwork
from tatsnet.pruned.network import ExtractedNetwork
from tatsnet.runtimes import DenseRestorer
from tatsnet.runtimes.onnx.openvino import OpenVinoRuntime, Requests, core
from tatsnet.runtimes.onnx.section import Run
from tatsnet.system.allocator import keep_freed_memory
from tatsnet.timing.measure import threads
from tatsnet.timing.synthetic import GRID, PAPER, TATS, TATS_16, Layout, architecture, random_parts

SHAPES = {16: TATS_16, 8: TATS}
LEAST_MS = 0.01


class Counters:
    """What the layers of a section took, run by run."""

    def __init__(self) -> None:
        self._runs: list[Counter[str]] = []
        self._count: Counter[str] = Counter()
        self._gflop: dict[str, float] = {}

    def add(self, compiled: openvino.CompiledModel, request: openvino.InferRequest) -> None:
        """Read the counters of a run that has ended."""
        layers = {layer.get_friendly_name(): layer for layer in compiled.get_runtime_model().get_ordered_ops()}
        spent: Counter[str] = Counter()
        count: Counter[str] = Counter()
        for info in request.profiling_info:
            if info.status == openvino.ProfilingInfo.Status.EXECUTED:
                kind, gflop = _kind(info.node_type, layers[info.node_name])
                spent[kind] += info.real_time.total_seconds() * 1e3
                count[kind] += 1
                self._gflop[kind] = gflop
        self._runs.append(spent)
        self._count |= count

    def rows(self, share: float) -> Iterator[str]:
        """A table in Markdown, the dearest layers first.

        Args:
            share: of a run that one effect bears.
        """
        kinds = {kind: statistics.median(run[kind] for run in self._runs) for kind in self._count}
        yield "| layers | how many | ms | GFLOP/s |"
        yield "|:--|--:|--:|--:|"
        for kind, ms in sorted(kinds.items(), key=lambda row: -row[1]):
            if ms >= LEAST_MS:
                speed = f"{1e3 * self._gflop[kind] * self._count[kind] / ms:.0f}" if self._gflop[kind] else ""
                yield f"| {kind} | {self._count[kind]} | {share * ms:.2f} | {speed} |"
        yield f"| all | | {share * sum(kinds.values()):.2f} | |"


def _kind(operator: str, layer: openvino.Node) -> tuple[str, float]:
    """What a layer does to which shapes, and the GFLOP of one that is a convolution."""
    reads = [_sides(port.get_source_output()) for port in layer.inputs()]
    makes = _sides(layer.output(0)) if layer.get_output_size() else reads[0]
    shapes = f"{_text(reads[0])} to {_text(makes)}"
    if operator != "Convolution":
        return f"{operator}, {shapes}", 0.0
    return f"{operator} {_text(reads[1][2:])}, {shapes}", 2e-9 * prod(makes) * prod(reads[1][1:])


def _sides(value: openvino.Output) -> list[int]:
    return [side.get_length() for side in value.get_partial_shape()]


def _text(sides: list[int]) -> str:
    return "x".join(str(side) for side in sides)


class CountingRuntime(OpenVinoRuntime):
    """OpenVINO that counts; `counters` may be changed between runs."""

    def __init__(self, threads: int) -> None:
        super().__init__(threads)
        self._settings |= {"PERF_COUNT": True}
        self.counters = Counters()

    def _load(self, model: bytes) -> Run:
        compiled = core().compile_model(core().read_model(model), "CPU", self._settings)
        return CountedRequests(compiled, lambda request: self.counters.add(compiled, request))


class CountedRequests(Requests):
    """Requests that are looked at when they have ended."""

    def __init__(self, compiled: openvino.CompiledModel, ended: Callable[[openvino.InferRequest], None]) -> None:
        super().__init__(compiled)
        self._ended = ended

    def _infer(self, request: openvino.InferRequest) -> None:
        super()._infer(request)
        self._ended(request)


def main() -> None:
    """Print a table for the dense network, and for the shared and the specific part of a found one."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="example: python -m benchmarks.counters --size 480x320 --threads 1",
    )
    parser.add_argument("--size", default="1280x720", metavar="WxH", help="image (default: 1280x720)")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="default: all cores")
    parser.add_argument("--runs", type=int, choices=tuple(SHAPES), default=16, help="of channels (default: 16)")
    parser.add_argument("--rounds", type=int, default=4, metavar="N", help="counted rounds (default: 4)")
    args = parser.parse_args()
    keep_freed_memory()
    width, height = (int(side) for side in args.size.split("x"))
    image = torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(0))
    runtime = CountingRuntime(args.threads)
    dense = DenseRestorer(SuperNetwork(PAPER, torch.Generator().manual_seed(0)).eval(), runtime)
    found = ExtractedNetwork(random_parts(architecture(SHAPES[args.runs], Layout.TIED)), runtime=runtime)
    encoded = found.encode(image)
    found.prepare(GRID)

    def each() -> None:
        for task in GRID:
            found.effect(encoded, task)

    works: dict[str, tuple[Callable[[], object], float]] = {
        "dense": (lambda: next(dense.effects(image, GRID[:1])), 1),
        f"shared part, per effect of {len(GRID)}": (lambda: found.encode(image), 1 / len(GRID)),
        "specific part": (each, 1),
    }
    with threads(args.threads):
        for name, (work, share) in works.items():
            work()
            runtime.counters = Counters()
            for number in range(args.rounds):
                print(f"{name}: round {number + 1} of {args.rounds}", file=sys.stderr, flush=True)
                work()
            print(
                f"\n{args.size}, {args.threads} threads, {name}\n", *runtime.counters.rows(share), sep="\n", flush=True
            )


if __name__ == "__main__":
    main()
