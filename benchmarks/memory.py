"""Peak memory of many effects of one large photo, made one by one as a slider or `tatsnet effects` would."""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from pathlib import Path

import numpy as np

from tatsnet.data.degradation import GRID
from tatsnet.pruned.folder import read_folder
from tatsnet.pruned.network import ExtractedNetwork
from tatsnet.restorer import Restorer
from tatsnet.runtimes.choose import pick
from tatsnet.system.allocator import keep_freed_memory
from tatsnet.timing.synthetic import TATS, Layout, architecture, random_parts


def peak_gib() -> float:
    """The most that was resident in this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def main() -> None:
    """Encode a random photo once, make effects of it, and say what it took."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog="example: python -m benchmarks.memory --size 3840x2160 --json memory.json"
    )
    parser.add_argument("--size", default="3840x2160", metavar="WxH", help="photo (default: 3840x2160)")
    parser.add_argument("--effects", type=int, default=27, metavar="N", help="1 to 27 (default: 27)")
    parser.add_argument("--model", type=Path, metavar="DIR", help="found network (default: one of the paper's shape)")
    parser.add_argument("--runtime", default="auto", help="numba, openvino, ... (default: the fastest)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    args = parser.parse_args()
    keep_freed_memory()
    width, height = (int(side) for side in args.size.split("x"))
    parts = read_folder(args.model) if args.model else random_parts(architecture(TATS, Layout.TIED))
    restorer = Restorer(ExtractedNetwork(parts, runtime=pick(args.runtime)))
    photo = np.random.default_rng(0).random((height, width, 3), np.float32)
    figures = {"size": args.size, "runtime": restorer.runtime, "before_gib": peak_gib()}
    began = time.perf_counter()
    encoded = restorer.encode(photo)
    figures["encoded_gib"] = peak_gib()
    for number, _ in enumerate(restorer.effects(encoded, GRID[: args.effects]), 1):
        spent = time.perf_counter() - began
        print(f"{number}/{args.effects}  {spent:.0f} s  peak {peak_gib():.2f} GiB", file=sys.stderr, flush=True)
    figures |= {"effects": args.effects, "peak_gib": peak_gib(), "seconds": time.perf_counter() - began}
    print(json.dumps(figures, indent=2))
    if args.json:
        args.json.write_text(json.dumps(figures, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
