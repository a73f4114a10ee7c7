"""The paper's Table 2 protocol: 26 degradations of every photo, whole, each restored by all 27 task vectors.

PSNR of each restoration, rounded to 8 bits, against the clean photo, on whatever device there is. Of each network:
`oracle`, by the task vector of the true degradation, and `best of 27`, by the best of all for each input, which the
paper reports; both on the same inputs, whose own PSNR stands beside them. 68 photos are 47,736 restorations a network.

    python -m benchmarks.full_protocol photos/ --networks dense standard
    python -m benchmarks.full_protocol photos/ --networks dense runs/tuned/network --json figures.json --every 8
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pipeline.report.measuring import TASKS, Dense, Extracted, Measured, input_by_degradation
from tatsnet.method.engine import pick_device
from tatsnet.quality.evaluation import EvalPhoto, degraded_grid, make_eval_photos, to_batch
from tatsnet.restorer import Restorer
from tatsnet.shipped import SHIPPED_DENSE
from tatsnet.train.photos import read_photos
from tatsnet.train.run import NETWORK, dense_network

Scores = npt.NDArray[np.float64]
"""PSNR in dB, photos x 26 degradations x 27 task vectors."""


def load(name: str, device: torch.device) -> Measured:
    """A dense training's folder, the shipped dense network, or an extracted network."""
    if name == SHIPPED_DENSE or (Path(name) / NETWORK).is_file():
        return Dense(dense_network(Path(name)).to(device))
    return Extracted(Restorer.load(name, device, "torch"))


@torch.inference_mode()
def psnr_of_all(network: Measured, photos: Sequence[EvalPhoto], device: torch.device) -> Scores:
    """Of every effect of every degraded photo."""
    scores = np.empty((len(photos), len(degraded_grid()), len(TASKS)))
    for index, photo in enumerate(photos):
        clean_BCHW = eight_bit(to_batch([photo.clean], device))
        for kind, degraded in enumerate(photo.degraded):
            effects = network.effects(to_batch([degraded], device), TASKS)
            errors = [(eight_bit(effect) - clean_BCHW).square().mean() for effect in effects]
            scores[index, kind] = 10 * np.log10(255**2 / torch.stack(errors).clamp_min(1e-9).double().cpu().numpy())
    return scores


def eight_bit(image_BCHW: Tensor) -> Tensor:
    """Levels from 0 to 255."""
    return image_BCHW.float().clamp(0, 1).mul(255).round()


def summary(scores: Scores) -> dict[str, Any]:
    """Means over the photos."""
    true = np.take_along_axis(scores, np.array([TASKS.index(d.task) for d in degraded_grid()])[None, :, None], 2)
    return {
        "oracle_db": float(true.mean()),
        "best27_db": float(scores.max(2).mean()),
        "oracle_by_degradation_db": true[..., 0].mean(0).tolist(),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path, help="folder of test photos")
    parser.add_argument("--networks", nargs="+", default=[SHIPPED_DENSE, "standard"], help="(default: dense standard)")
    parser.add_argument("--crop", type=int, default=0, help="pixels of the middle (default: 0, whole photos)")
    parser.add_argument("--every", type=int, default=1, help="only every N-th photo (default: 1)")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    device = pick_device(args.device)
    named = read_photos(args.photos, max(args.crop, 1), print)[:: args.every]
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        degrade = partial(make_eval_photos, crop=args.crop, count=1, seed=0)
        photos = [one for made in pool.map(degrade, *zip(*named, strict=True)) for one in made]
    inputs = input_by_degradation(photos)
    found: dict[str, Any] = {"photos": len(photos), "crop": args.crop, "device": str(device)}
    found["input"] = {"mean_db": float(np.mean(inputs)), "by_degradation_db": list(inputs)}
    print(f"{len(photos)} photos on {device}; input {np.mean(inputs):.2f} dB", flush=True)
    for name in args.networks:
        began = time.perf_counter()
        made = summary(psnr_of_all(load(name, device), photos, device))
        found[name] = made | {"seconds": time.perf_counter() - began}
        print(f"{name}: oracle {made['oracle_db']:.2f} dB, best of 27 {made['best27_db']:.2f} dB", flush=True)
        if args.json:
            args.json.write_text(json.dumps(found, indent=2))
    for index, degradation in enumerate(degraded_grid()):
        cells = [inputs[index], *(found[name]["oracle_by_degradation_db"][index] for name in args.networks)]
        print(f"{degradation.name:24}" + "".join(f"{value:8.2f}" for value in cells))


if __name__ == "__main__":
    main()
