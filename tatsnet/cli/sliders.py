"""`tatsnet sliders`: measures even sliders of a network and keeps them in its folder."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from tatsnet.cli.errors import CommandError
from tatsnet.network.tasks import AXES
from tatsnet.pruned.folder import set_sliders
from tatsnet.quality.control import STEPS, evenness, travel
from tatsnet.quality.evaluation import make_eval_photos
from tatsnet.quality.sliders import even_sliders
from tatsnet.restorer import Restorer
from tatsnet.train.photos import VALID_CROP, read_photos

CPU = torch.device("cpu")


def measure_sliders(folder: Path, photos: Path, count: int) -> str:
    """Measure on a crop of each of `count` photos, write the sliders into the network's folder; what to print.

    Raises:
        CommandError: the folder holds no photo that is large enough.
        ValueError, OSError: the network or a photo cannot be used, or the folder cannot be written.
    """
    restorer = Restorer.load(folder, runtime="torch")
    before = restorer.sliders
    found = read_photos(photos, VALID_CROP, lambda note: None)
    chosen = found[:: max(1, len(found) // count)][:count]
    if not chosen:
        raise CommandError(f"{photos} holds no photo of at least {VALID_CROP} pixels; give another folder")
    crops = [crop for name, clean in chosen for crop in make_eval_photos(name, clean, VALID_CROP, 1, seed=0)]
    lines = [f"{folder}: even sliders by {len(crops)} photos; evenness of their travel (1: equal moves look equal)"]
    with tqdm(total=3 * len(AXES) * len(crops), unit="travel", file=sys.stderr, disable=None) as progress:

        def restore(image_BCHW: Tensor, task_BD: Tensor) -> Tensor:
            progress.update()
            return restorer.restore_tensor(image_BCHW, task_BD)

        after = even_sliders(restore, crops, CPU)
        for axis in AXES:
            was, now = (evenness(travel(restore, crops, axis, sliders, STEPS, CPU)) for sliders in (before, after))
            lines.append(f"  {axis:8} {was:.2f} -> {now:.2f}")
    set_sliders(folder, after)
    return "\n".join(lines)
