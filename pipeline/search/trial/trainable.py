"""A trial as Ray Tune sees it: one rung per step, so that progress shows and a worker can be used again.

A checkpoint lies in the store after every rung. A trial whose worker, node or driver died goes on from there; one that
had ended says so at once. A trial whose store is away holds what it has and waits, and says that it does.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from ray import tune

from pipeline.search.study.space import Point
from pipeline.search.trial.rung_report import RungReport
from pipeline.search.trial.store import Store, StoreAway
from pipeline.search.trial.trial import Job, Trial
from tatsnet.method.training import Diverged
from tatsnet.system.allocator import keep_freed_memory

RUNGS = 10
"""Reports of one trial."""

PAUSE_S, PATIENCE_S = 5.0, 600.0
"""Seconds between two tries of a store that is away, and until the worker gives up: another may reach it."""


CURVE_POINTS = 10
"""Of a rung, at the most: a hundred of a trial."""


def thinned(curve: list[dict[str, float]]) -> list[dict[str, float]]:
    """Evenly chosen points of a curve, its last among them."""
    every = -(-len(curve) // CURVE_POINTS)
    return curve[::-1][::every][::-1] if curve else []


class SearchTrainable(tune.Trainable):
    """Runs `Trial`.

    Its config holds `number`, `key`, `seed`, `point`, the place of the `store`, the `study`, and `scored`: the rungs at
    which the trial is scored, so that it can be compared with others.
    """

    def setup(self, config: dict[str, Any], job: Job | None = None) -> None:
        """Start a trial or go on with it; Tune passes the job from the object store."""
        if job is not None:
            self._job = job
        keep_freed_memory()
        torch.set_num_threads(max(1, int(self._job.cpus)))
        self._store = Store(config["store"], config["study"])
        self._trial: Trial | None = None
        self._ended: RungReport | None = None
        self._told: RungReport | None = None
        self._away_since: float | None = None

    def _take_up(self) -> Trial | None:
        """The trial as the store has it; None if it has ended."""
        ended = self._store.record(self.config["key"])
        if ended is not None:
            self._ended = RungReport.from_result({**ended, "done": True})
            self._store.forget(self.config["key"])
            return None
        trial = self._begin()
        self._rung = sum(self._until(rung) <= trial.iteration for rung in range(1, RUNGS))
        self._owes = self._rung in self.config["scored"]  # nobody may have heard of it, or not of the verdict
        return trial

    def _begin(self) -> Trial:
        point, seed = Point(**self.config["point"]), self.config["seed"]
        for checkpoint in self._store.checkpoints(self.config["key"]):
            try:
                return Trial(self._job, point, seed, checkpoint)
            except ValueError as error:
                print(f"trial {self.config['number']}: {error}")
        return Trial(self._job, point, seed)

    def _until(self, rung: int) -> int:
        return round(rung * self._job.schedule.iterations / RUNGS)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take another trial without a new process."""
        self.config = new_config
        self.setup(new_config)
        return True

    def step(self) -> dict[str, Any]:
        """Train one rung and leave a checkpoint; after the last one measure, and hand the network to the store.

        Returns:
            A `RungReport` as a result.

        Raises:
            StoreAway: the store is away for longer than PATIENCE_S.
        """
        try:
            if self._trial is None and self._ended is None:
                self._trial = self._take_up()
            if self._told is None:
                self._told = self._next(self._trial) if self._trial else self._ended or RungReport(done=True)
            if self._trial:
                self._leave(self._trial, self._told)
        except StoreAway as error:
            return self._wait(error)
        told, self._told, self._away_since = self._told, None, None
        return told.to_result()

    def _wait(self, error: StoreAway) -> dict[str, Any]:
        now = time.monotonic()
        self._away_since = now if self._away_since is None else self._away_since
        if now - self._away_since >= PATIENCE_S:
            raise error
        time.sleep(PAUSE_S)
        spent = self._trial.spent() if self._trial else None
        return RungReport(away=str(error), spent=spent).to_result()

    def _next(self, trial: Trial) -> RungReport:
        """What the next step is to tell; the store has none of it yet."""
        if self._owes:
            self._owes = False
            return RungReport(**self._standing(trial))
        self._rung += 1
        try:
            last = self._train(trial, self._until(self._rung))
        except Diverged as error:
            return RungReport(failed=f"diverged: {error}", spent=trial.spent(), done=True)
        if self._rung == RUNGS:
            return replace(last, record=self._measured(trial), done=True)
        return replace(last, kept=True, **self._standing(trial))

    def _leave(self, trial: Trial, told: RungReport) -> None:
        """Put into the store what is told to be there."""
        if told.kept:
            self._store.keep(self.config["key"], trial.iteration, trial.checkpoint())
        elif told.record is not None:
            with tempfile.TemporaryDirectory() as folder:
                trial.save(Path(folder))
                ended = RungReport(record=told.record, failed=told.failed)
                self._store.put(self.config["key"], Path(folder), ended.to_result())

    def _standing(self, trial: Trial) -> dict[str, Any]:
        """The fields of a report that say where a trial stands."""
        score = trial.score() if self._rung in self.config["scored"] else None
        return {"rung": self._rung, "spent": trial.spent(), "score": score}

    def _train(self, trial: Trial, until: int) -> RungReport:
        report = RungReport()
        curve: list[dict[str, float]] = []
        while trial.iteration < until and (progress := trial.advance()) is not None:
            report = RungReport(reached=progress.iteration, phase=progress.phase, loss=progress.loss)
            curve.append({"iteration": progress.iteration, "loss": progress.loss, "lr": progress.lr, **progress.terms})
        return replace(report, curve=tuple(thinned(curve)))

    def _measured(self, trial: Trial) -> dict[str, Any]:
        for _ in iter(trial.advance, None):
            pass
        return trial.measure()
