"""Where the stages meet: every path of the pipeline, relative to the project folder."""

from __future__ import annotations

from pathlib import Path

PHOTOS_FILE = Path("data/photos.json")
CLEAN = Path("data/clean")
TRAIN = Path("data/train")
EVAL = Path("data/eval")
SUPERNET = Path("models/supernet")
TRIALS_FILE = Path("search/trials.json")
TRIALS = Path("search/trials")
SELECTED_FILE = Path("search/selected.json")
TUNED = Path("models/tuned")
PRUNED = Path("models/pruned")
PICKED = Path("models/picked")
REPORTS = Path("reports")
STATE = Path(".state")
TRAININGS = STATE / "trainings"

OUTPUTS: dict[str, tuple[Path, ...]] = {
    "photos": (PHOTOS_FILE,),
    "download": (CLEAN,),
    "degrade": (TRAIN, EVAL),
    "pretrain": (SUPERNET,),
    "search": (TRIALS, TRIALS_FILE),
    "select": (SELECTED_FILE,),
    "finetune": (TUNED,),
    "extract": (PRUNED,),
    "benchmark": (REPORTS,),
}
"""What each stage writes, as `dvc.yaml` declares it."""

WEIGHTS = "weights.safetensors"
ARCHITECTURE = "architecture.json"
FIGURES = "figures.json"
DENSE = "dense"
SHEET = "effects.jpg"
"""27 effects of a photo, beside a trial's network."""

_COPIES = (".dvc", "tmp", "exps")
"""Where DVC makes the temporary copies in which `dvc exp run --temp` and `--queue` work; it deletes them afterwards."""


def home(root: Path) -> Path:
    """The project's own folder, absolute: `root`, or the project of which DVC made `root` as a temporary copy.

    What must outlive an experiment lies there: the recorded runs, the studies, the records that wait.
    """
    root = root.resolve()
    for copies in root.parents:
        if copies.parts[-3:] == _COPIES:
            for place in reversed((root, *root.parents)):
                if copies in place.parents and place.name.startswith("tmp"):
                    return copies.parents[2] / root.relative_to(place)
    return root
