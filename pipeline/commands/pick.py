"""`python -m pipeline pick N`: the network of one finished trial, from a point of the front to a registered model."""

from __future__ import annotations

import dataclasses
import shutil
import tempfile
from pathlib import Path

from pipeline.common.datasets import pack_digest
from pipeline.common.errors import UserError
from pipeline.common.files import atomic_write_json, atomic_write_text, fresh_folder, read_json, sha256_file
from pipeline.common.layout import (
    ARCHITECTURE,
    CLEAN,
    DENSE,
    PICKED,
    STATE,
    SUPERNET,
    TRAIN,
    TUNED,
    WEIGHTS,
)
from pipeline.common.progress import say
from pipeline.config import PARAMS_FILE, Params, load
from pipeline.report.card import Origin, model_card
from pipeline.report.contact import sheet_jpeg
from pipeline.report.measuring import CPU, Dense, oracle_quality
from pipeline.report.networks import (
    Subject,
    figures_of,
    load_extracted,
    load_test_photos,
    pictures_of,
    time_networks,
)
from pipeline.report.registration import register_network
from pipeline.report.schema import NetworkFigures
from pipeline.search.study.earlier import SHOWN, FinishedTrial, finished_trial
from pipeline.tracking import Run, Tracker, open_tracker, stage_run
from pipeline.training.curves import Shown
from pipeline.training.follow import training_key
from pipeline.training.jobs import run_jobs
from pipeline.training.work import Job
from tatsnet.method.checkpoint import load_dense, load_masked
from tatsnet.method.objective import Variant
from tatsnet.network.architecture import Architecture, NetworkConfig
from tatsnet.network.supernet import SuperNetwork
from tatsnet.pruned.extraction import NotEqual, extract
from tatsnet.quality.control import measure_control

STAGE, CARD, SHEET = "pick", "card.md", "contact_sheet.jpg"


def pick(root: Path, number: int, study: str = "") -> str:
    """Make the network of a finished trial ready for use, whatever was made of others.

    The dense baseline is not trained again: the present one of `models/tuned` (or `models/supernet`) is compared with.
    An interrupted training goes on when the same command is given again.

    Args:
        root: the project folder, with params.yaml and the degraded photos.
        number: of the trial.
        study: beginning of its study's key; empty is the last search.

    Returns:
        What was made, and what to type next.

    Raises:
        UserError: no such trial, a stage has not run, or the extracted network is not equal to the masked one.
    """
    params = load(root / PARAMS_FILE)
    found = finished_trial(root, number, study)
    data = read_json(root / CLEAN / "manifest.json", "run the stages before: dvc repro degrade")["dataset_sha256"]
    tracker = open_tracker(params.tracking.experiment, root)
    recorded = {"trial": number, "study": found.study, "finetune": params.finetune, "train": params.train}
    tags = {"number": str(number), "study": found.study}
    say(f"pick  trial {number} of study {found.study[:SHOWN]}: {found.row['variant']}")
    (root / STATE).mkdir(exist_ok=True)
    with (
        stage_run(
            tracker, STAGE, recorded, root=root, upstream=("degrade", "search"), dataset_sha256=data, tags=tags
        ) as record,
        tempfile.TemporaryDirectory(dir=root / STATE, prefix="pick-") as scratch,
    ):
        dense = _dense(root)
        subject, difference = _make(root, params, found, dense.config, record.id, Path(scratch))
        return _measured(root, params, found, dense, subject, difference, data, tracker, record)


def _dense(root: Path) -> SuperNetwork:
    """The dense network to compare with: as long trained as a pick, if there is one."""
    for place in (TUNED / DENSE, SUPERNET):
        if (root / place / WEIGHTS).is_file():
            return load_dense(root / place / WEIGHTS)
    raise UserError(f"{SUPERNET} holds no dense network to compare with: dvc repro pretrain")


def _make(
    root: Path, params: Params, found: FinishedTrial, size: NetworkConfig, run_id: str, scratch: Path
) -> tuple[Subject, float]:
    """Fine-tune and extract in a scratch folder; with the largest difference between both networks."""
    number, variant = found.row["number"], Variant(found.row["variant"])
    begun, tuned = scratch / "found", scratch / "tuned"
    begun.mkdir()
    tuned.mkdir()
    found.fetch(begun)
    own = Architecture.from_json(read_json(begun / ARCHITECTURE)).network
    if own != size:
        raise UserError(
            f"trial {number} is of another size ({own}) than the dense network that is here ({size}): "
            "put back the params.yaml of its search, then dvc repro pretrain"
        )
    inputs = {
        "train": params.train,
        "iterations": params.finetune.iterations,
        "photos": pack_digest(root / TRAIN),
        "variant": variant.value,
        "weights": sha256_file(begun / WEIGHTS),
    }
    job = Job(
        label=f"pick {number}",
        key=training_key(inputs),
        begin=(begun / WEIGHTS).read_bytes(),
        variant=variant,
        iterations=params.finetune.iterations,
        config=params.train,
        shown=Shown(root=root, experiment=params.tracking.experiment, run_id=run_id, name="train"),
    )
    (made,) = run_jobs(root, STAGE, {tuned: job}, params.search.resources, processes=1)
    say(f"pick {number}  validation {made.psnr_db:.2f} dB")
    try:
        report = extract(load_masked(tuned / WEIGHTS), scratch / "network")
    except NotEqual as error:
        raise UserError(f"trial {number} was not extracted: {error}") from error
    say(f"pick {number}  extracted; largest difference to the masked network {report.difference:.1e}")
    subject = Subject(
        name=f"trial-{found.study[:SHOWN]}-{number}",
        variant=variant.value,
        trial=number,
        folder=scratch / "network",
        masked=tuned / WEIGHTS,
    )
    return subject, report.difference


def _measured(
    root: Path,
    params: Params,
    found: FinishedTrial,
    dense: SuperNetwork,
    subject: Subject,
    difference: float,
    data: str,
    tracker: Tracker,
    record: Run,
) -> str:
    """Measure, put in place, register."""
    photos, model = load_test_photos(root), params.tracking.model
    network, baseline = load_extracted(subject), Dense(dense)
    cells = time_networks(dense, [subject], params.benchmark)[subject.name]
    obeys = measure_control(baseline.restore, photos.crops, CPU)
    figures = figures_of(subject, network, params, photos, cells, dense=obeys)
    origin = Origin(
        study=found.study,
        trial=subject.trial,
        point=found.row,
        iterations=(int(found.row["metrics"].get("iterations", 0)), params.finetune.iterations),
        source=params.data.source,
        dataset_sha256=data,
        difference=difference,
        dense_psnr_db=oracle_quality(baseline.restore, photos.crops).psnr_db,
    )
    pictures = pictures_of(subject.name, network, photos.shown, params.eval.seed)
    place = root / PICKED / f"{found.study[:SHOWN]}-{subject.trial}"
    with fresh_folder(place) as folder:
        shutil.copytree(subject.folder, folder, dirs_exist_ok=True)
        (folder / SHEET).write_bytes(sheet_jpeg(pictures))
        atomic_write_json(folder / "figures.json", dataclasses.asdict(figures))
        atomic_write_text(folder / CARD, model_card(figures, origin, model, SHEET))
    record.metrics(_numbers(figures) | {"difference": difference})
    made = register_network(tracker, record, model, subject.folder, figures, origin, [subject.name], pictures)
    return "\n".join([_said(figures, origin), *made.said(model), *_next(place, model, made.version)])


def _numbers(figures: NetworkFigures) -> dict[str, float]:
    names = ("psnr_db", "ssim", "flops_ratio_m1", "flops_ratio_m27", "shared_layers_pct", "speedup_27")
    return {name: float(getattr(figures, name)) for name in names}


def _said(figures: NetworkFigures, origin: Origin) -> str:
    return (
        f"trial {origin.trial}: {figures.psnr_db:.2f} dB ({figures.psnr_db - origin.dense_psnr_db:+.2f} to dense), "
        f"{figures.flops_ratio_m27:.1%} of the dense FLOPs, {figures.speedup_27:.1f} times as fast, "
        f"weakest slider {min(figures.control.values()):.0%} of dense"
    )


def _next(place: Path, model: str, version: str) -> list[str]:
    lines = ["Next:", f"  tatsnet restore photo.jpg --model {place} --deblur 0.5 --denoise 0.3 -o out.png"]
    return [*lines, f"  python -m pipeline promote {model}/{version} champion"] if version else lines
