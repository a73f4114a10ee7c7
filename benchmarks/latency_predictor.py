"""How far the latency predictor is from real measurement: random architectures, predicted and run, in each runtime.

The layers of the table and the architectures are timed in the same rounds, in turn, so that what a busy machine does in
between is no error of the prediction.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from tatsnet.network.architecture import Architecture, Channels, NetworkConfig, Pattern, canonical, gather
from tatsnet.network.flops import effect_cost
from tatsnet.network.supernet import SuperNetwork
from tatsnet.pruned.network import ExtractedNetwork
from tatsnet.runtimes import DenseRestorer, Runtime
from tatsnet.runtimes.choose import NAMES, pick, why_not
from tatsnet.timing.cells import machine
from tatsnet.timing.latency_model import dense_ms, predict
from tatsnet.timing.latency_table import Sections
from tatsnet.timing.measure import Work, measure, threads
from tatsnet.timing.synthetic import GRID, random_parts

EFFECTS = len(GRID)
PATTERNS = 3
CLOCKS: dict[str, Callable[[], float]] = {"wall": time.perf_counter, "cpu": time.process_time}


@dataclass(frozen=True, kw_only=True)
class Row:
    """One architecture: milliseconds per effect of 27 as predicted and as measured."""

    name: str
    tied: bool
    shared_pct: float
    flops_ratio: float
    predicted_ms: float
    measured_ms: float

    @property
    def error(self) -> float:
        """Of the prediction, as a share of the measured time."""
        return self.predicted_ms / self.measured_ms - 1


def random_architecture(network: NetworkConfig, tied: bool, draw: random.Random) -> Architecture:
    """Random numbers of shared points and of channels; the 27 effects have three patterns, which keeps memory small.

    Tied: the points of a section keep one set of the skip stream's channels. Free: each point a set of its own.
    """
    shared = draw.randint(0, network.points)
    stream, middle = (draw.uniform(0.2, 1.0) * network.width for _ in range(2))
    own_stream, own_middle = draw.uniform(0.3, 1.0) * stream, draw.uniform(0.3, 1.0) * middle
    common = _points(network, shared, tied, stream, middle, draw, range(network.width))
    offered = common[0] if tied and shared else tuple(range(network.width))
    patterns: list[Pattern] = []
    for _ in range(PATTERNS):
        own = _points(network, network.points, tied, own_stream, own_middle, draw, offered)
        patterns.append(canonical(network, common + own[shared:], shared))
    return gather(network, shared, [(task, patterns[index % PATTERNS]) for index, task in enumerate(GRID)], 32)


def _points(
    network: NetworkConfig,
    count: int,
    tied: bool,
    stream: float,
    middle: float,
    draw: random.Random,
    offered: Sequence[int],
) -> Pattern:
    one = _some(stream, draw, offered)
    return tuple(
        _some(middle, draw, range(network.width)) if point % 3 == 2 else (one if tied else _some(stream, draw, offered))
        for point in range(count)
    )


def _some(mean: float, draw: random.Random, offered: Sequence[int]) -> Channels:
    count = min(len(offered), max(2, round(mean * draw.uniform(0.7, 1.3))))
    return tuple(sorted(draw.sample(list(offered), min(count, len(offered)))))


def extracted_work(architecture: Architecture, runtime: Runtime, image: Tensor) -> Work:
    """27 effects of one encoded image."""
    network = ExtractedNetwork(random_parts(architecture), runtime=runtime)

    def work() -> int:
        encoded = network.encode(image)
        network.prepare(GRID)
        for task in GRID:
            network.effect(encoded, task)
        return EFFECTS

    return work


def dense_work(network: NetworkConfig, runtime: Runtime, image: Tensor) -> Work:
    """Four effects of the dense network: they all cost the same."""
    dense = DenseRestorer(SuperNetwork(network, torch.Generator().manual_seed(0)).eval(), runtime)
    return lambda: len(list(dense.effects(image, GRID[::7])))


def compare(
    arguments: argparse.Namespace, name: str, report: Callable[[str], None]
) -> tuple[list[Row], dict[str, object]]:
    """The rows of one runtime, the dense network first, and its table."""
    network = NetworkConfig(width=arguments.width, blocks=arguments.blocks)
    width, height = arguments.size
    image = torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(0))
    draw = random.Random(arguments.seed)
    found = {
        f"{'tied' if tied else 'free'} {index}": random_architecture(network, tied, draw)
        for index in range(arguments.architectures // 2)
        for tied in (True, False)
    }
    with threads(arguments.threads):
        runtime = pick(name, "cpu", arguments.threads)
        sections = Sections(network, runtime, (width, height))
        works = {"dense": dense_work(network, runtime, image)} | sections.works
        works |= {key: extracted_work(architecture, runtime, image) for key, architecture in found.items()}
        timings = measure(works, arguments.rounds, lambda text: report(f"{name} {text}"), CLOCKS[arguments.clock])
    table = sections.table(timings, str(machine()["cpu"]), arguments.threads)
    dense = Row(
        name="dense",
        tied=True,
        shared_pct=0.0,
        flops_ratio=1.0,
        predicted_ms=dense_ms(table, network),
        measured_ms=timings["dense"].ms_per_effect,
    )
    rows = [
        Row(
            name=key,
            tied=key.startswith("tied"),
            shared_pct=architecture.shared_percent,
            flops_ratio=effect_cost(architecture, height, width, EFFECTS).ratio,
            predicted_ms=predict(table, architecture, EFFECTS),
            measured_ms=timings[key].ms_per_effect,
        )
        for key, architecture in found.items()
    ]
    return [dense, *rows], table.to_json()


def summary(rows: Sequence[Row]) -> dict[str, float]:
    """Errors over the architectures, the dense network (first) aside; `ratio` ones of the share of dense.

    `flops` ones are of a predictor that takes the share of the dense FLOPs for the share of its time.
    """
    dense, *others = rows
    predicted = np.array([row.predicted_ms for row in others])
    measured = np.array([row.measured_ms for row in others])
    flops = np.array([row.flops_ratio for row in others])
    error = np.abs(predicted / measured - 1)
    ratio = np.abs(predicted / dense.predicted_ms / (measured / dense.measured_ms) - 1)
    by_flops = np.abs(flops / (measured / dense.measured_ms) - 1)
    return {
        "median_error": float(np.median(error)),
        "p90_error": float(np.quantile(error, 0.9)),
        "bias": float(np.median(predicted / measured - 1)),
        "median_ratio_error": float(np.median(ratio)),
        "p90_ratio_error": float(np.quantile(ratio, 0.9)),
        "rank_correlation": rank_correlation(predicted, measured),
        "dense_error": dense.error,
        "flops_median_ratio_error": float(np.median(by_flops)),
        "flops_rank_correlation": rank_correlation(flops, measured),
    }


def rank_correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Spearman's, of values without ties."""
    return float(np.corrcoef(np.argsort(np.argsort(a)), np.argsort(np.argsort(b)))[0, 1])


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="example: python -m benchmarks.latency_predictor --runtimes torch openvino --out predictor.json",
    )
    parser.add_argument("--width", type=int, default=16, help="channels of the network (default: %(default)s)")
    parser.add_argument("--blocks", type=int, default=8, help="its blocks (default: %(default)s)")
    parser.add_argument("--size", type=_size, default=(480, 320), help="of the image, WIDTHxHEIGHT (default: 480x320)")
    parser.add_argument("--threads", type=int, default=1, help="of the runtime (default: %(default)s)")
    parser.add_argument("--runtimes", nargs="+", choices=NAMES, help="default: every one that is installed")
    parser.add_argument("--architectures", type=int, default=20, help="half tied, half free (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="of all that is timed, in turn (default: %(default)s)")
    parser.add_argument(
        "--clock",
        choices=CLOCKS,
        default="wall",
        help="cpu counts the process's own time: for one thread on a busy machine (default: %(default)s)",
    )
    parser.add_argument("--seed", type=int, default=0, help="of the architectures (default: %(default)s)")
    parser.add_argument("--out", type=Path, help="write all of it here, as JSON")
    arguments = parser.parse_args(argv)
    if arguments.clock == "cpu" and arguments.threads != 1:
        parser.error("--clock cpu adds the threads' times up: take it with --threads 1")
    return arguments


def _size(text: str) -> tuple[int, int]:
    width, height = (int(side) for side in text.split("x"))
    return width, height


def main(argv: Sequence[str] | None = None) -> int:
    """Compare, print, write; the exit status."""
    arguments = parse(argv)
    results: dict[str, object] = {}
    for name in arguments.runtimes or [name for name in NAMES if why_not(name) is None]:
        rows, table = compare(arguments, name, lambda text: print(f"\r{text:<60}", end="", file=sys.stderr))
        print(file=sys.stderr)
        found = summary(rows)
        print(f"\n{name}: {'architecture':<14}{'shared':>8}{'FLOPs':>8}{'predicted':>12}{'measured':>12}{'error':>9}")
        for row in rows:
            print(
                f"{'':{len(name) + 2}}{row.name:<14}{row.shared_pct:>6.0f} %{row.flops_ratio:>8.1%}"
                f"{row.predicted_ms:>9.2f} ms{row.measured_ms:>9.2f} ms{row.error:>+9.1%}"
            )
        print("  ".join(f"{key} {value:.3f}" for key, value in found.items()), flush=True)
        results[name] = {"summary": found, "rows": [asdict(row) for row in rows], "table": table}
    if arguments.out:
        settings = {key: value for key, value in vars(arguments).items() if key not in ("out", "runtimes")}
        report = {"schema": 1, "machine": machine(), "settings": settings, "runtimes": results}
        arguments.out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
