"""How well a network restores the photos of a folder, beside its dense network: PSNR by degradation, and control.

Each photo is degraded in the 26 ways of the evaluation grid, whole, and a crop of its middle is restored with the task
vector of its true degradation. The dense network comes from `tatsnet train dense`.

    python -m benchmarks.quality standard photos/ --dense runs/dense --crop 128
    python -m benchmarks.quality models/mine photos/ --json figures.json
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pipeline.report.measuring import CPU, Dense, Extracted, best_of_27, input_by_degradation, oracle_quality
from tatsnet.quality.control import measure_control
from tatsnet.quality.evaluation import EvalPhoto, degraded_grid, make_eval_photos
from tatsnet.restorer import Restorer
from tatsnet.shipped import shipped
from tatsnet.train.photos import read_photos
from tatsnet.train.run import dense_network


def test_crops(folder: Path, crop: int, every: int) -> list[EvalPhoto]:
    """The middle of every N-th photo, degraded."""
    named = read_photos(folder, crop, print)[::every]
    return [one for name, image in named for one in make_eval_photos(name, image, crop, 1, 0)]


def figures(network: Dense | Extracted, photos: Sequence[EvalPhoto], best_of: int) -> dict[str, Any]:
    """Of one network; best of 27 on the first so many photos."""
    oracle = oracle_quality(network.restore, photos)
    best = best_of_27(network, photos[:best_of]).psnr_db if best_of else None
    return {
        "psnr_db": oracle.psnr_db,
        "ssim": oracle.ssim,
        "psnr_best27_db": best,
        "psnr_by_degradation_db": list(oracle.by_degradation_db),
        **measure_control(network.restore, photos, CPU, network.sliders).to_json(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("network", help="a shipped network's name, or a folder")
    parser.add_argument("photos", type=Path, help="folder of test photos")
    parser.add_argument("--dense", type=Path, help="folder of its dense training, or dense: the shipped one")
    parser.add_argument("--crop", type=int, default=128, help="pixels (default: 128); 0 takes whole photos")
    parser.add_argument("--every", type=int, default=1, help="only every N-th photo (default: 1)")
    parser.add_argument("--best-of-27", type=int, default=0, metavar="PHOTOS", help="measured on so many photos")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    photos = test_crops(args.photos, args.crop, args.every)
    folder = shipped().get(args.network, Path(args.network))
    networks: dict[str, Dense | Extracted] = {"found": Extracted(Restorer.load(folder, CPU, "torch"))}
    if args.dense:
        networks = {"dense": Dense(dense_network(args.dense)), **networks}
    inputs = input_by_degradation(photos)
    found: dict[str, Any] = {"photos": len(photos), "crop": args.crop, "input_db": float(np.mean(inputs))}
    found["input_by_degradation_db"] = list(inputs)
    with torch.inference_mode():
        for name, network in networks.items():
            found[name] = figures(network, photos, args.best_of_27)
            shown = {k: v for k, v in found[name].items() if k != "psnr_by_degradation_db"}
            print(f"{name:6} {json.dumps(shown)}", flush=True)
    for index, degradation in enumerate(degraded_grid()):
        cells = [found["input_by_degradation_db"][index]]
        cells += [found[name]["psnr_by_degradation_db"][index] for name in networks]
        print(f"{degradation.name:24}" + "".join(f"{value:8.2f}" for value in cells))
    print(f"{'mean':24}{found['input_db']:8.2f}" + "".join(f"{found[name]['psnr_db']:8.2f}" for name in networks))
    if args.json:
        args.json.write_text(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
