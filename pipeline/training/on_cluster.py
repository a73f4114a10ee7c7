"""Trainings as tasks of a Ray cluster: photos in the object store, checkpoints and networks in the store."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from ray import tune
from ray.tune.experiment import Trial as TuneTrial

from pipeline.cluster.photos import TravellingPack
from pipeline.cluster.ray_cluster import connect
from pipeline.cluster.report import Report
from pipeline.cluster.store import Store, place_of_all
from pipeline.cluster.stretches import Stretches, train
from pipeline.cluster.tuning import InOrder, fit, idle, last_words, make_tuner
from pipeline.cluster.watch import Watch
from pipeline.common.datasets import load_eval_photos
from pipeline.common.errors import UserError
from pipeline.common.layout import EVAL, TRAIN, TRAININGS, home
from pipeline.common.progress import say
from pipeline.config import Resources
from pipeline.tracking import Run, open_tracker
from pipeline.training.work import Job, Trained, Work
from tatsnet.data.pairs import PhotoPack
from tatsnet.method.training import ITERATION, Diverged
from tatsnet.quality.evaluation import EvalPhoto
from tatsnet.system.files import pack, unpack
from tatsnet.system.progress import Ticker
from tatsnet.train.kept import Curve

STRETCH_S, STRETCHES = 60.0, 20
"""Between two checkpoints lie at most so many seconds, and at most the iterations of one of so many stretches."""

SECONDS, CURVE = "seconds", "curve"


@dataclass(frozen=True, kw_only=True)
class Shared:
    """What all trainings of a stage share; travels to the workers once."""

    jobs: Sequence[Job]
    photos: PhotoPack
    valid: Sequence[EvalPhoto]
    cpus: float


class StoredWork(Work):
    """Work whose checkpoints are whole files, its curve among them.

    Raises:
        ValueError: a checkpoint that is damaged.
    """

    def __init__(self, job: Job, shared: Shared, checkpoint: bytes | None) -> None:
        state = unpack(checkpoint, Path("the checkpoint"), "the training begins anew") if checkpoint else None
        self.curve: Curve = json.loads(bytes(state.pop(CURVE).tolist())) if state else []
        super().__init__(job, shared.photos, shared.valid, state, int(state[ITERATION]) if state else 0)

    def checkpoint(self) -> bytes:
        """All that it takes to go on from here, as a safetensors file."""
        curve = torch.frombuffer(bytearray(json.dumps(self.curve).encode()), dtype=torch.uint8)
        return pack({**self.training.state(), CURVE: curve})

    def spent(self) -> dict[str, float]:
        """Nothing that anybody asks of a training."""
        return {}


class TrainingTrainable(Stretches[StoredWork], tune.Trainable):
    """Runs a job; its config holds the job's `number`, the place of the `store`, and the `study` in it."""

    def setup(self, config: dict[str, Any], shared: Shared | None = None) -> None:
        """Take a job; Tune passes what they share from the object store."""
        if shared is not None:
            self._shared = shared
        self._job = self._shared.jobs[config["number"]]
        torch.set_num_threads(self._job.config.threads or max(1, int(self._shared.cpus)))
        super().setup({**config, "key": self._job.key})

    def begin(self, checkpoint: bytes | None) -> StoredWork:
        """The training from its beginning, or from a checkpoint."""
        return StoredWork(self._job, self._shared, checkpoint)

    def next(self, work: StoredWork) -> Report:
        """Train a stretch; after the last one measure."""
        until = work.iteration + -(-self._job.iterations // STRETCHES)
        try:
            last = train(work, min(until, self._job.iterations), STRETCH_S)
        except Diverged as error:
            return Report(failed=f"{error}; lower train.lr or train.clip in params.yaml", done=True)
        work.curve += [{**point, "phase": last.phase} for point in last.curve]
        if work.iteration < self._job.iterations:
            return replace(last, kept=True)
        for _ in iter(work.advance, None):
            pass
        return replace(last, record=work.trained(work.curve).to_json(), done=True)


class _Shown(tune.Callback):
    """Lines, curves, and the cause of an end, as the trainings report."""

    def __init__(self, jobs: Sequence[Job], placed: Callable[[], None]) -> None:
        self._jobs, self._placed = jobs, placed
        self._tickers: dict[int, Ticker] = {}
        self._runs: dict[int, Run] = {}
        self.failed: dict[int, str] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Nothing, for the copies that Tune pickles and nobody reads."""
        return {}

    def on_trial_start(self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: Any) -> None:
        """A worker has taken it, for the first time or again."""
        index = trial.config["number"]
        self._placed()
        self._tickers.pop(index, None)
        say(f"{self._jobs[index].label}  {'resumes on another worker' if trial.num_failures else 'has a worker'}")

    def on_trial_result(
        self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, result: dict[str, Any], **info: Any
    ) -> None:
        """Show it."""
        index, report = trial.config["number"], Report.from_result(result)
        job = self._jobs[index]
        if report.away:
            say(f"{job.label}  waits: {report.away}")
        if report.failed:
            self.failed[index] = report.failed
        if report.reached is None:
            return
        if index not in self._tickers:
            self._tickers[index] = Ticker(job.label, job.iterations, say, start=report.reached)
        self._tickers[index].at(report.reached, f"loss {report.loss:.4f}")
        if job.shown is not None:
            if index not in self._runs:
                self._runs[index] = open_tracker(job.shown.experiment, job.shown.root).run(job.shown.run_id)
            for point in report.curve:
                figures = {f"{job.shown.name}_{name}": value for name, value in point.items() if name != "iteration"}
                self._runs[index].metrics(figures, int(point["iteration"]))

    def on_trial_error(self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: Any) -> None:
        """Its worker died, or could not go on, too often."""
        self.failed[trial.config["number"]] = last_words(trial) or "its worker died"


def run_on_cluster(
    root: Path,
    stage: str,
    jobs: Mapping[Path, Job],
    resources: Resources,
    placed: Callable[[], None] = lambda: None,
) -> list[Trained]:
    """See `run_jobs`.

    Args:
        placed: called each time that a training has been given a worker.

    Raises:
        UserError: no usable cluster or store, or a training failed.
    """
    place = place_of_all()
    if not place:
        raise UserError(
            f"{stage} trains on the cluster that RAY_ADDRESS names and needs a store that this machine and every node "
            "reach: set TATSNET_STORE=s3://bucket/prefix, or unset RAY_ADDRESS to train here"
        )
    store = Store(place, stage)
    store.check()
    whole = replace(resources, gpus_per_trial=float(math.ceil(resources.gpus_per_trial)))
    shared = Shared(
        jobs=list(jobs.values()),
        photos=TravellingPack.at(root / TRAIN, place),
        valid=load_eval_photos(root / EVAL / "valid"),
        cpus=whole.cpus_per_trial,
    )
    shown = _Shown(shared.jobs, placed)
    watch = Watch(lambda: None, idle(f"{stage}  no training", whole))
    space = {"number": tune.grid_search([*range(len(jobs))]), "store": place, "study": stage}
    end = connect(whole)
    try:
        trainable = tune.with_parameters(TrainingTrainable, shared=shared)
        records = home(root) / TRAININGS
        what = f"{stage}  training"
        fit(make_tuner(trainable, whole, records, InOrder(watch), watch, what, space=space, callbacks=[shown]))
    finally:
        end()
    return [_fetched(store, job, folder, shown.failed.get(index)) for index, (folder, job) in enumerate(jobs.items())]


def _fetched(store: Store, job: Job, folder: Path, failed: str | None) -> Trained:
    record = store.record(job.key)
    if record is None:
        raise UserError(f"{job.label}: {failed or 'it has not ended'}; the same command resumes it")
    store.get(job.key, folder)
    return Trained.from_json(Report.from_result(record).record or {})
