"""Where the stages meet: every path of the pipeline, relative to the project folder."""

from __future__ import annotations

from pathlib import Path

CLEAN = Path("data/clean")
TRAIN = Path("data/train")
TRAIN_PIXELS = TRAIN / "photos.safetensors"
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

WEIGHTS = "weights.safetensors"
ARCHITECTURE = "architecture.json"
FIGURES = "figures.json"
DENSE = "dense"
