"""SSIM by the definitions that are in use, of the same restored photos: why figures of two papers seldom compare.

Each photo is degraded in the 26 ways of the grid and restored, whole, with the true task vector.

    python -m benchmarks.ssim photos/ --network standard --every 4
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from skimage.metrics import structural_similarity

from tatsnet.quality.evaluation import make_eval_photos, oracle_outputs
from tatsnet.quality.metrics import psnr, ssim
from tatsnet.restorer import Restorer
from tatsnet.train.photos import read_photos

Pixels = npt.NDArray[np.uint8]
LUMA = np.array([65.481, 128.553, 24.966]) / 255
"""ITU-R BT.601, as MATLAB's rgb2ycbcr."""
GAUSSIAN = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}


def definitions(made: Pixels, clean: Pixels) -> dict[str, float]:
    """PSNR in dB, and SSIM by definition."""
    luma = (made @ LUMA + 16, clean @ LUMA + 16)
    floats = (made / 255, clean / 255)
    return {
        "PSNR": psnr(made, clean),
        "RGB, Gaussian window (the project's)": ssim(made, clean),
        "RGB, 7x7 window": structural_similarity(made, clean, channel_axis=2),
        "luma, Gaussian window": structural_similarity(*luma, data_range=255, **GAUSSIAN),
        "RGB in 0 .. 1 taken for -1 .. 1": structural_similarity(*floats, data_range=2, channel_axis=2),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path, help="folder of clean photos")
    parser.add_argument("--network", default="standard", help="a shipped network's name, or a folder")
    parser.add_argument("--every", type=int, default=1, help="only every N-th photo (default: 1)")
    args = parser.parse_args()
    restorer = Restorer.load(args.network)
    named = read_photos(args.photos, 1, print)[:: args.every]
    photos = [one for name, clean in named for one in make_eval_photos(name, clean, 0, 1, 0)]
    rows = [
        definitions(made, photo.clean)
        for photo, outputs in oracle_outputs(restorer.restore_tensor, photos, torch.device("cpu"), chunk=1)
        for made in outputs
    ]
    for name in rows[0]:
        print(f"{np.mean([row[name] for row in rows]):8.4f}  {name}")


if __name__ == "__main__":
    main()
