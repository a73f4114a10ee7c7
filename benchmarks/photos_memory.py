"""Memory and speed of packed training photos, for few and for many of them.

Photos are made by tiling a few real ones, packed as the stage `degrade` does, and trained on by processes of their own.
Prints, for each number of photos: size on disk; peak memory that belongs to the process alone while packing and while
batches are made (pages of the file can be taken back by the system at any time); batches' patches per second.

    python -m benchmarks.photos_memory ~/photos --counts 100,10000
"""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import psutil

from pipeline.common.datasets import PIXELS, load_pack, read_rgb, write_pack
from tatsnet.data.degradation import Image
from tatsnet.data.pairs import PairSampler
from tatsnet.photos.files import list_images

SEEDS = 20
"""Real photos that are tiled."""

PATCH, BATCH = 48, 16


def tiled(photos: list[Image], count: int) -> Iterator[Image]:
    """So many photos, each a real one rolled by another offset."""
    for index, photo in zip(range(count), itertools.cycle(photos), strict=False):
        yield np.roll(photo, index, axis=(0, 1))


def own_mib() -> float:
    """Memory of this process that no file backs."""
    memory = psutil.Process().memory_info()
    return (memory.rss - memory.shared) / 2**20


def pack(folder: Path, photos: Path, count: int) -> dict[str, float]:
    """Pack so many photos."""
    real = [read_rgb(path) for path in list_images(photos)[:SEEDS]]
    peak = before = own_mib()

    def watched() -> Iterator[Image]:
        nonlocal peak
        for photo in tiled(real, count):
            yield photo
            peak = max(peak, own_mib())

    began = time.perf_counter()
    write_pack(watched(), folder)
    return {"packing MiB": peak - before, "packed photos/s": count / (time.perf_counter() - began)}


def sample(folder: Path, seconds: float) -> dict[str, float]:
    """Make batches for so many seconds."""
    before = peak = own_mib()
    began = time.perf_counter()
    sampler = PairSampler(load_pack(folder), patch=PATCH, batch=BATCH, relative=True, seed=0)
    opened, made = time.perf_counter() - began, 0
    while time.perf_counter() - began < seconds:
        sampler[made]
        made += 1
        peak = max(peak, own_mib())
    rate = made * BATCH / (time.perf_counter() - began - opened)
    return {"opening s": opened, "training MiB": peak - before, "patches/s": rate}


def in_process(work: Callable[..., dict[str, float]], *args: object) -> dict[str, float]:
    """Run it in a fresh process, whose memory is its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(work, args)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path, help="folder of real photos")
    parser.add_argument("--counts", default="100,10000", help="numbers of photos (default: 100,10000)")
    parser.add_argument("--seconds", type=float, default=20, help="of making batches (default: 20)")
    args = parser.parse_args()
    for count in map(int, args.counts.split(",")):
        with tempfile.TemporaryDirectory() as place:
            found = in_process(pack, Path(place), args.photos, count)
            size = (Path(place) / PIXELS).stat().st_size / 2**20
            found |= in_process(sample, Path(place), args.seconds)
        figures = "  ".join(f"{name} {value:.3g}" for name, value in found.items())
        print(f"{count} photos: {size:.0f} MiB  {figures}", flush=True)


if __name__ == "__main__":
    main()
