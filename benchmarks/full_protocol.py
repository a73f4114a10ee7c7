"""The paper's Table 2 protocol: 26 degradations of every photo, whole, each restored by all 27 task vectors.

PSNR of each restoration, rounded to 8 bits, against the clean photo, on whatever device there is. Of each network:
`oracle`, by the task vector of the true degradation, and `best of 27`, by the best of all for each input, which the
paper reports; both on the same inputs, whose own PSNR stands beside them. 68 photos are 47,736 restorations a network,
so what was measured is kept in --scores, photo by photo, and not measured again. A filter of `benchmarks.classical` has
its settings in place of the task vectors: `oracle` is its best setting for each degradation.

    python -m benchmarks.full_protocol photos/ --networks dense standard --scores scores/
    python -m benchmarks.full_protocol photos/ --networks dense --oracle-only --every 8
    python -m benchmarks.full_protocol photos/ --networks unsharp bilateral nlm --json figures.json
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from benchmarks.classical import FILTERS, Filter
from pipeline.report.measuring import Dense, Extracted, Measured, input_by_degradation
from tatsnet.data.degradation import GRID, Image
from tatsnet.method.engine import pick_device
from tatsnet.quality.evaluation import EvalPhoto, degraded_grid, make_eval_photos, to_batch
from tatsnet.quality.metrics import psnr
from tatsnet.restorer import Restorer
from tatsnet.shipped import SHIPPED_DENSE
from tatsnet.train.photos import read_photos
from tatsnet.train.run import NETWORK, dense_network

Scores = npt.NDArray[np.float64]
"""PSNR in dB: 26 degradations x 27 task vectors, or settings; NaN where it was not measured."""
Score = Callable[[Image, Sequence[Image]], Scores]
"""Of one photo and its 26 degraded versions."""

TRUE = [GRID.index(degradation.task) for degradation in degraded_grid()]


def score_of(name: str, device: torch.device, oracle_only: bool) -> Score:
    """A filter's, a dense training's folder's, the shipped dense network's, or an extracted network's."""
    if name in FILTERS:
        return lambda clean, versions: filter_scores(FILTERS[name], clean, versions)
    network: Measured
    if name == SHIPPED_DENSE or (Path(name) / NETWORK).is_file():
        network = Dense(dense_network(Path(name)).to(device))
    else:
        network = Extracted(Restorer.load(name, device, "torch" if device.type == "cuda" else "auto"))
    return lambda clean, versions: network_scores(network, clean, versions, device, oracle_only)


@torch.inference_mode()
def network_scores(
    network: Measured, clean: Image, versions: Sequence[Image], device: torch.device, oracle_only: bool = False
) -> Scores:
    """Of every effect of every version, or of the true one alone."""
    scores = np.full((len(versions), len(GRID)), np.nan)
    clean_BCHW = eight_bit(to_batch([clean], device))
    for kind, degraded in enumerate(versions):
        tried = [TRUE[kind]] if oracle_only else range(len(GRID))
        effects = network.effects(to_batch([degraded], device), [GRID[index] for index in tried])
        errors = torch.stack([(eight_bit(effect) - clean_BCHW).square().mean() for effect in effects])
        scores[kind, list(tried)] = 10 * np.log10(255**2 / errors.clamp_min(1e-9).double().cpu().numpy())
    return scores


def eight_bit(image_BCHW: Tensor) -> Tensor:
    """Levels from 0 to 255."""
    return image_BCHW.float().clamp(0, 1).mul(255).round()


def filter_scores(settings: Sequence[Filter], clean: Image, versions: Sequence[Image]) -> Scores:
    """Of every setting on every version."""
    return np.array([[psnr(setting(version), clean) for setting in settings] for version in versions])


def summary(scores: npt.NDArray[np.float64], true: Sequence[int] | None = TRUE) -> dict[str, Any]:
    """Means over the photos.

    Args:
        scores: photos x 26 x tried.
        true: what is right for each degradation; by default what is best for it on all photos.
    """
    right = scores.mean(0).argmax(1) if true is None else np.array(true)
    oracle = np.take_along_axis(scores, right[None, :, None], 2)[..., 0]
    best = scores.max(2)  # NaN where only the oracle was measured
    return {
        "photos": len(scores),
        "oracle_db": float(oracle.mean()),
        "best27_db": None if np.isnan(best).any() else float(best.mean()),
        "oracle_by_degradation_db": oracle.mean(0).tolist(),
    }


def measure(score: Score, photos: Sequence[EvalPhoto], kept: Path | None) -> npt.NDArray[np.float64]:
    """Of all photos, each kept as soon as it was measured."""
    made = []
    for index, photo in enumerate(photos):
        file = kept / f"{photo.name}.npy" if kept else None
        if file is not None and file.is_file():
            made.append(np.load(file, allow_pickle=False))
            continue
        made.append(score(photo.clean, photo.degraded))
        if file is not None:
            file.parent.mkdir(parents=True, exist_ok=True)
            np.save(file, made[-1])
        print(f"{index + 1}/{len(photos)} {photo.name}", flush=True)
    return np.stack(made)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path, help="folder of test photos")
    parser.add_argument("--networks", nargs="+", default=[SHIPPED_DENSE, "standard"], help="(default: dense standard)")
    parser.add_argument("--oracle-only", action="store_true", help="not the best of 27")
    parser.add_argument("--every", type=int, default=1, help="only every N-th photo (default: 1)")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--scores", type=Path, metavar="DIR", help="where each photo's figures are kept")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    device = pick_device(args.device)
    named = read_photos(args.photos, 1, print)[:: args.every]
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        degrade = partial(make_eval_photos, crop=0, count=1, seed=0)
        photos = [one for made in pool.map(degrade, *zip(*named, strict=True)) for one in made]
    inputs = input_by_degradation(photos)
    found: dict[str, Any] = {"photos": len(photos), "device": str(device)}
    found["input"] = {"mean_db": float(np.mean(inputs)), "by_degradation_db": list(inputs)}
    print(f"{len(photos)} photos on {device}; input {np.mean(inputs):.2f} dB", flush=True)
    for name in args.networks:
        kept = args.scores and args.scores / (Path(name).name + ("-oracle" if args.oracle_only else ""))
        scores = measure(score_of(name, device, args.oracle_only), photos, kept)
        found[name] = made = summary(scores, None if name in FILTERS else TRUE)
        best = "" if made["best27_db"] is None else f", best of {scores.shape[2]} {made['best27_db']:.2f} dB"
        print(f"{name}: oracle {made['oracle_db']:.2f} dB{best}", flush=True)
        if args.json:
            args.json.write_text(json.dumps(found, indent=2))
    for index, degradation in enumerate(degraded_grid()):
        cells = [inputs[index], *(found[name]["oracle_by_degradation_db"][index] for name in args.networks)]
        print(f"{degradation.name:24}" + "".join(f"{value:8.2f}" for value in cells))


if __name__ == "__main__":
    main()
