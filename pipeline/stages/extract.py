"""Stage extract: physically small networks of the picks, each proved equal to its masked twin."""

from __future__ import annotations

import shutil
from pathlib import Path

from pipeline.common.datasets import load_eval_photos
from pipeline.common.errors import UserError
from pipeline.common.files import atomic_write_json, fresh_folder, read_json
from pipeline.common.layout import DENSE, EVAL, FIGURES, PRUNED, SELECTED_FILE, TRIALS_FILE, TUNED, WEIGHTS
from pipeline.common.progress import say
from pipeline.config import ControlLimits
from pipeline.report.measuring import CPU, Extracted
from pipeline.search.study.pareto import disobedience
from pipeline.stages.runner import Context, Stage, main
from tatsnet.method.checkpoint import load_masked
from tatsnet.pruned.extraction import ExtractionReport, NotEqual, extract
from tatsnet.pruned.folder import set_sliders
from tatsnet.quality.control import Control, measure_control
from tatsnet.quality.sliders import even_sliders
from tatsnet.restorer import Restorer

REFUSED = "refused.json"
"""In `models/pruned`: picks that are not handed out, by name, with the reason."""


def work(context: Context) -> None:
    """Write `models/pruned/NAME` for every pick that still obeys; picks of one trial are one network.

    Raises:
        UserError: a network differs from its masked twin, or no pick obeys.
    """
    root = context.root
    picks = read_json(root / SELECTED_FILE, "run the stage again: dvc repro --force select")["picks"]
    limits = ControlLimits(**read_json(root / TRIALS_FILE)["control"])
    dense = Control.from_json(read_json(root / TUNED / FIGURES)[DENSE])
    valid = load_eval_photos(root / EVAL / "valid")
    refused: dict[str, str] = {}
    first: dict[int, str] = {}
    with fresh_folder(root / PRUNED) as folder:
        for pick in picks:
            name, trial = pick["name"], pick["trial"]
            if trial in first:
                _again(folder, name, first[trial], refused)
                continue
            first[trial] = name
            report = _extract(context, name, trial, folder / name)
            network = Extracted(Restorer.load(folder / name, CPU, "torch"))
            sliders = even_sliders(network.restore, valid, CPU)
            set_sliders(folder / name, sliders)
            found = measure_control(network.restore, valid, CPU, sliders).beside(dense)
            context.run.metrics({f"difference_{name}": report.difference, f"weakest_{name}": found["weakest_slider"]})
            said = (
                f"{len(report.architecture.patterns)} patterns, {report.architecture.shared_percent:.0f} % shared; "
                f"largest difference to the masked network {report.difference:.1e}; "
                f"weakest slider {found['weakest_slider']:.0%} of dense"
            )
            say(f"extract  {name}: {said}")
            if reason := disobedience(found, limits):
                refused[name] = reason
                shutil.rmtree(folder / name)
                say(f"extract  WARNING {name} is not handed out: after fine-tuning {reason}")
        if len(refused) == len(picks):
            raise UserError(
                "no pick obeys its sliders after fine-tuning: "
                + "; ".join(f"{name}: {reason}" for name, reason in refused.items())
                + ". Fine-tune longer (finetune.iterations), pick others, or lower search.control in params.yaml"
            )
        atomic_write_json(folder / REFUSED, refused)


def _extract(context: Context, name: str, trial: int, folder: Path) -> ExtractionReport:
    model = load_masked(context.root / TUNED / f"{trial:04d}" / WEIGHTS)
    try:
        return extract(model, folder)
    except (NotEqual, ValueError) as error:
        raise UserError(f"{name} (trial {trial}) was not written: {error}") from error


def _again(folder: Path, name: str, first: str, refused: dict[str, str]) -> None:
    if first in refused:
        refused[name] = refused[first]
    else:
        shutil.copytree(folder / first, folder / name)
    say(f"extract  {name} is the same network as {first}")


STAGE = Stage(
    name="extract",
    summary="writes the picks as physically small networks",
    upstream=("degrade", "search", "select", "finetune"),
    sections=lambda params: {},
    work=work,
)

if __name__ == "__main__":
    raise SystemExit(main(STAGE))
