"""What groups of channels and tied sections cost in quality and gain in time: one table, same budget and seeds.

Trains the same point of the search space from the same dense network for every choice, tunes it, and measures PSNR on
the test crops, FLOPs, shared points, the sliders' gains, and the time per effect of the extracted network in turn
with the dense one. Networks that already lie in the output folder are not trained again.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import statistics
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pipeline.common.datasets import load_eval_photos, load_pack
from pipeline.common.layout import EVAL, SUPERNET, TRAIN, WEIGHTS
from pipeline.config import load
from pipeline.config.sections import Params
from tatsnet.data.pairs import PairSampler, batches
from tatsnet.method.checkpoint import load_dense, load_masked, save_masked
from tatsnet.method.masked import MaskedNetwork
from tatsnet.method.objective import Objective, Variant
from tatsnet.method.training import finetune, search
from tatsnet.network.architecture import Architecture
from tatsnet.network.flops import effect_cost
from tatsnet.pruned.extraction import grid_tasks, slice_parts
from tatsnet.pruned.network import ExtractedNetwork
from tatsnet.quality.control import measure_control
from tatsnet.quality.evaluation import EvalPhoto, oracle_psnr
from tatsnet.runtimes import DenseRestorer, Runtime
from tatsnet.runtimes.choose import available, pick
from tatsnet.timing.measure import Work, measure, threads

CPU = torch.device("cpu")
DENSE = "dense"


@dataclass(frozen=True, kw_only=True)
class Choice:
    """One training: a choice of the space, at one weight of R1, from one seed."""

    group: int
    tied: bool
    lambda1: float
    seed: int

    @property
    def name(self) -> str:
        """Of its row and its file."""
        return f"group{self.group}{'-tied' if self.tied else ''}-lambda{self.lambda1:g}-seed{self.seed}"


def train(choice: Choice, params: Params, root: Path, tune: int) -> MaskedNetwork:
    """Search at one point, then train on with the architecture frozen."""
    method = dataclasses.replace(params.search.method, group=choice.group, tied=choice.tied)
    aim = Objective(variant=Variant.TA_TS, lambda1=choice.lambda1, lambda2=3e-3, gamma=0.9)
    generator = torch.Generator().manual_seed(choice.seed)
    model = MaskedNetwork(params.network, method, gamma=aim.gamma, sharing=True, generator=generator)
    model.supernet.load_state_dict(load_dense(root / SUPERNET / WEIGHTS).state_dict())
    config, schedule = params.train, params.search.schedule
    pack = load_pack(root / TRAIN)
    sampler = PairSampler(pack, patch=config.patch, batch=config.batch, relative=False, seed=choice.seed + 1)
    ready = batches(sampler, 0, schedule.iterations, config.workers)
    for _ in search(model, aim, ready, schedule, config, CPU, generator):
        pass
    more = batches(sampler, schedule.iterations, schedule.iterations + tune, config.workers)
    for _ in finetune(model, more, tune, config, CPU):
        pass
    return model.eval()


def figures(model: MaskedNetwork, photos: Sequence[EvalPhoto]) -> dict[str, Any]:
    """Quality on the test crops, and FLOPs as shares of dense."""
    found = model.architecture(grid_tasks())
    return {
        "psnr_db": oracle_psnr(model, photos, CPU),
        "flops_m1": effect_cost(found, 256, 256, 1).ratio,
        "flops_m27": effect_cost(found, 256, 256, 27).ratio,
        "shared_pct": found.shared_percent,
        "patterns": len(found.patterns),
        "one_stream": tied_sections(found),
        "gain_db": dict(measure_control(model, photos, CPU).gain_db),
    }


def tied_sections(found: Architecture) -> bool:
    """Whether no task-specific section changes its channels of the stream along the way."""
    stream = [point for point in range(found.shared, found.network.points) if point % 3 != 2]
    return all(len({pattern[point] for point in stream}) <= 1 for pattern in found.patterns)


def works(
    models: dict[str, MaskedNetwork], dense: DenseRestorer, runtime: Runtime, image_BCHW: Tensor
) -> Iterator[tuple[str, Work]]:
    """All 27 effects of one image by every network."""
    tasks = grid_tasks()

    def dense_work() -> int:
        for effect in dense.effects(image_BCHW, tasks[:9]):
            del effect
        return 9

    yield DENSE, dense_work
    for name, model in models.items():
        network = ExtractedNetwork(slice_parts(model, tasks), runtime=runtime)

        def work(network: ExtractedNetwork = network) -> int:
            encoded = network.encode(image_BCHW)
            network.prepare(tasks)
            for task in tasks:
                network.effect(encoded, task)
            return len(tasks)

        yield name, work


def speedups(
    models: dict[str, MaskedNetwork], dense: Path, names: Sequence[str], size: tuple[int, int], rounds: int
) -> dict[str, dict[str, dict[str, float]]]:
    """Per runtime and network: milliseconds per effect, their spread, and how many times faster than dense."""
    width, height = size
    image = torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(0))
    found: dict[str, dict[str, dict[str, float]]] = {}
    for name in names:
        with threads(1), torch.inference_mode():
            runtime = pick(name, "cpu", 1)
            timings = measure(dict(works(models, DenseRestorer(load_dense(dense), runtime), runtime, image)), rounds)
        base = timings[DENSE].ms_per_effect
        found[name] = {
            row: {"ms": t.ms_per_effect, "spread_pct": t.spread_pct, "times": base / t.ms_per_effect}
            for row, t in timings.items()
        }
    return found


def table(rows: dict[str, Any], names: Sequence[str]) -> str:
    """Markdown: a row per choice, means over its seeds."""
    head = ["lambda1", "group", "tied", "PSNR dB", "M1 %", "M27 %", "shared %", "deblur", "denoise", "dejpeg"]
    head += [f"{name}, times dense" for name in names]
    lines = ["| " + " | ".join(head) + " |", "|--:" * len(head) + "|"]
    keyed = sorted(rows.values(), key=lambda row: (row["lambda1"], row["tied"], row["group"], row["seed"]))
    for (lambda1, tied, group), same in itertools.groupby(keyed, lambda r: (r["lambda1"], r["tied"], r["group"])):
        part = list(same)

        def mean(values: Iterator[float], digits: int, scale: float = 1.0) -> str:
            taken = [scale * value for value in values]
            spread = f" ({min(taken):.{digits}f} - {max(taken):.{digits}f})" if len(taken) > 1 else ""
            return f"{statistics.mean(taken):.{digits}f}{spread}"

        cells = [f"{lambda1:g}", str(group), "yes" if tied else "no", mean((r["psnr_db"] for r in part), 2)]
        cells += [mean((r[name] for r in part), 1, 100) for name in ("flops_m1", "flops_m27")]
        cells.append(mean((r["shared_pct"] for r in part), 0))
        cells += [mean((r["gain_db"][axis] for r in part), 2) for axis in ("deblur", "denoise", "dejpeg")]
        cells += [mean((r["speed"][name]["times"] for r in part), 1) for name in names]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="example: python -m benchmarks.hardware_aware --out /tmp/hardware --groups 1 4 --seeds 0 1",
    )
    parser.add_argument("--root", type=Path, default=Path(), help="project folder with data/ and models/supernet")
    parser.add_argument("--out", type=Path, required=True, help="folder of the trained networks and result.json")
    parser.add_argument("--groups", type=int, nargs="+", default=[1, 4])
    parser.add_argument("--lambda1", type=float, nargs="+", default=[6e-3])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--tune", type=int, default=300, help="iterations of fine-tuning")
    parser.add_argument("--size", default="480x320", help="image of the latencies, WIDTHxHEIGHT")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--runtimes", nargs="*", default=list(available()), help="none: times are left out")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Train what is missing, measure everything, print the table."""
    args = parse(argv)
    params = load(args.root / "params.yaml")
    torch.set_num_threads(1)
    photos = load_eval_photos(args.root / EVAL / "test")
    args.out.mkdir(parents=True, exist_ok=True)
    choices = [
        Choice(group=group, tied=tied, lambda1=lambda1, seed=seed)
        for seed, lambda1, group, tied in itertools.product(args.seeds, args.lambda1, args.groups, (False, True))
    ]
    rows: dict[str, Any] = {}
    models: dict[str, MaskedNetwork] = {}
    for choice in choices:
        path = args.out / f"{choice.name}.safetensors"
        if not path.exists():
            print(f"training {choice.name}", file=sys.stderr, flush=True)
            save_masked(path, train(choice, params, args.root, args.tune), gamma=0.9, sharing=True)
        models[choice.name] = load_masked(path).eval()
        rows[choice.name] = dataclasses.asdict(choice) | figures(models[choice.name], photos)
        print(json.dumps(rows[choice.name]), file=sys.stderr, flush=True)
    size = tuple(int(side) for side in args.size.split("x"))
    times = speedups(models, args.root / SUPERNET / WEIGHTS, args.runtimes, (size[0], size[1]), args.rounds)
    for name, row in rows.items():
        row["speed"] = {runtime: found[name] for runtime, found in times.items()}
    dense = {runtime: found[DENSE] for runtime, found in times.items()}
    (args.out / "result.json").write_text(json.dumps({"rows": rows, DENSE: dense}, indent=1))
    print(table(rows, args.runtimes))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
