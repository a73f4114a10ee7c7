"""How fast a network trains, beside a plain loop: patches per second, and the share of what the device can do.

Each way trains the same network on the same photos, in turn:
  plain    float32, one photo patch at a time degraded on the CPU by worker processes, as most training code does it
  engine   as `tatsnet train` does it: on a GPU pairs made there, bfloat16, compiled blocks, one CUDA graph per step

    python -m benchmarks.training --seconds 20
    python -m benchmarks.training --width 32 --blocks 16 --patch 48 --batch 16 --seconds 60
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from tatsnet.data.pairs import PairSampler, PhotoPack, batches
from tatsnet.method.engine import pick_compute, pick_device, training_batches
from tatsnet.method.settings import TrainConfig
from tatsnet.method.training import REPORT_EVERY, Training, train_dense
from tatsnet.network.architecture import NetworkConfig
from tatsnet.network.flops import dense_flops
from tatsnet.network.supernet import SuperNetwork

FOREVER = 10**9
PASSES = 3
"""FLOPs of a step as multiples of the forward pass: backward costs two."""


@dataclass(frozen=True, kw_only=True)
class Speed:
    """Of one way to train.

    Attributes:
        way: its name.
        patches: per second.
        step_ms: of one step.
        tflops: convolutions' FLOPs, in units of 1e12, per second.
        share: of the matrix product's rate in the same precision on this device.
    """

    way: str
    patches: float
    step_ms: float
    tflops: float
    share: float


def made_up_photos(side: int, count: int) -> PhotoPack:
    """Noise: what a photo shows does not matter to a clock."""
    rng = np.random.default_rng(0)
    return PhotoPack.of([rng.integers(0, 256, (side, side, 3), dtype=np.uint8) for _ in range(count)])


def peak(device: torch.device, dtype: torch.dtype, seconds: float = 1.0) -> float:
    """FLOPs per second of a large matrix product."""
    side = 8192 if device.type == "cuda" else 1024
    a = torch.randn(side, side, device=device).to(dtype)
    done, took = _timed(lambda: torch.mm(a, a), device, seconds)
    return 2.0 * side**3 * done / took


def _timed(work: Callable[[], object], device: torch.device, seconds: float) -> tuple[int, float]:
    work()
    _wait(device)
    begin, done = time.perf_counter(), 0
    while time.perf_counter() - begin < seconds:
        for _ in range(3):
            work()
        _wait(device)
        done += 3
    return done, time.perf_counter() - begin


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def speed(way: str, training: Training, network: NetworkConfig, config: TrainConfig, seconds: float) -> Speed:
    """Let a training run for so long, after its first reports."""
    device = pick_device(config.device)
    for _ in range(2):  # compilation, capture, first batches
        next(training)
    reports, took = _timed(lambda: next(training), device, seconds)
    step = took / (reports * REPORT_EVERY)
    flops = PASSES * dense_flops(network, config.patch, config.patch) * config.batch / step
    dtype = pick_compute(config, device).dtype or torch.float32
    return Speed(
        way=way,
        patches=config.batch / step,
        step_ms=1000 * step,
        tflops=flops / 1e12,
        share=flops / peak(device, dtype),
    )


def plain(network: NetworkConfig, config: TrainConfig, pack: PhotoPack, workers: int) -> Training:
    """float32, batches from worker processes."""
    sampler = PairSampler(pack, patch=config.patch, batch=config.batch, relative=False, seed=0)
    ready = batches(sampler, 0, FOREVER, workers)
    model = SuperNetwork(network, torch.Generator().manual_seed(0))
    exact = dataclasses.replace(config, precision="float32")
    return train_dense(model, ready, FOREVER, exact, pick_device(config.device))


def engine(network: NetworkConfig, config: TrainConfig, pack: PhotoPack) -> Training:
    """As `tatsnet train` does it."""
    device = pick_device(config.device)
    ready = training_batches(pack, config, relative=False, seed=0, start=0, stop=FOREVER, device=device)
    model = SuperNetwork(network, torch.Generator().manual_seed(0))
    return train_dense(model, ready, FOREVER, config, device)


def measure(network: NetworkConfig, config: TrainConfig, workers: int, seconds: float) -> list[Speed]:
    """The plain loop and the engine, with and without compilation where that makes a difference."""
    pack = made_up_photos(max(256, 2 * config.patch), 8)
    exact = dataclasses.replace(config, precision="float32")
    ways = [("plain", exact, plain(network, config, pack, workers))]
    settings = [("engine", config)]
    if pick_device(config.device).type == "cuda":
        settings.insert(0, ("engine, not compiled", dataclasses.replace(config, compile=False)))
    ways += [(way, own, engine(network, own, pack)) for way, own in settings]
    return [speed(way, training, network, own, seconds) for way, own, training in ways]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in (("width", 64), ("blocks", 32), ("patch", 64), ("batch", 64), ("threads", 0)):
        parser.add_argument(f"--{name}", type=int, default=value, help=f"(default: {value})")
    parser.add_argument("--workers", type=int, default=min(8, os.cpu_count() or 1), help="of the plain loop")
    parser.add_argument("--seconds", type=float, default=20.0, help="of each way (default: 20)")
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"), help="(default: auto)")
    parser.add_argument("--json", action="store_true", help="one line per way, for programs")
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    config = TrainConfig(patch=args.patch, batch=args.batch, lr=1e-3, device=args.device)
    for found in measure(NetworkConfig(width=args.width, blocks=args.blocks), config, args.workers, args.seconds):
        print(json.dumps(dataclasses.asdict(found)) if args.json else _line(found), flush=True)


def _line(found: Speed) -> str:
    return (
        f"{found.way:22} {found.patches:9.0f} patches/s  {found.step_ms:8.2f} ms a step  "
        f"{found.tflops:7.2f} TFLOP/s  {100 * found.share:5.1f} % of a matrix product's rate"
    )


if __name__ == "__main__":
    main()
