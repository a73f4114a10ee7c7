"""A trial as its driver sees it: one rung per step."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from pipeline.cluster.report import Report
from pipeline.cluster.stretches import Stretches, train
from pipeline.search.study.space import Point
from pipeline.search.trial.trial import Job, Trial
from tatsnet.method.training import Diverged

RUNGS = 10
"""Reports of one trial."""


class Rungs(Stretches[Trial]):
    """Runs `Trial`.

    Beside what every work has, its config holds `number`, `seed`, `point`, and `scored`: the rungs at which the trial
    is scored, so that it can be compared with others.
    """

    def setup(self, config: dict[str, Any], job: Job | None = None) -> None:
        """Take a trial; the job only the first time."""
        if job is not None:
            self._job = job
        torch.set_num_threads(max(1, int(self._job.cpus)))
        super().setup(config)

    def begin(self, checkpoint: bytes | None) -> Trial:
        """The trial from its beginning, or from a checkpoint."""
        trial = Trial(self._job, Point(**self.config["point"]), self.config["seed"], checkpoint)
        self._rung = sum(self._until(rung) <= trial.iteration for rung in range(1, RUNGS))
        self._owes = self._rung in self.config["scored"]  # nobody may have heard of it, or not of the verdict
        return trial

    def next(self, work: Trial) -> Report:
        """Train a rung; after the last one measure."""
        if self._owes:
            self._owes = False
            return Report(**self._standing(work))
        self._rung += 1
        try:
            last = train(work, self._until(self._rung))
        except Diverged as error:
            return Report(failed=f"diverged: {error}", spent=work.spent(), done=True)
        if self._rung == RUNGS:
            return replace(last, record=self._measured(work), done=True)
        return replace(last, kept=True, **self._standing(work))

    def _until(self, rung: int) -> int:
        return round(rung * self._job.schedule.iterations / RUNGS)

    def _standing(self, trial: Trial) -> dict[str, Any]:
        """The fields of a report that say where a trial stands."""
        score = trial.score() if self._rung in self.config["scored"] else None
        return {"rung": self._rung, "spent": trial.spent(), "score": score}

    def _measured(self, trial: Trial) -> dict[str, Any]:
        for _ in iter(trial.advance, None):
            pass
        return trial.measure()
