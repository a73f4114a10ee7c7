"""A trial as Ray Tune sees it: one rung per step, so that progress shows and a worker can be used again.

A checkpoint lies in the store after every rung. A trial whose worker, node or driver died goes on from there; one that
had ended says so at once.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import torch
from ray import tune

from pipeline.search.space import Point
from pipeline.search.store import Store
from pipeline.search.trial import Job, Trial, dead_slider
from tatsnet.allocator import keep_freed_memory
from tatsnet.training import Diverged

RUNGS = 10
"""Reports of one trial."""


class SearchTrainable(tune.Trainable):
    """Runs `Trial`.

    Its config holds `number`, `key`, `seed`, `point`, the place of the `store`, the `study`, `scored`: the rungs at
    which the trial is scored, so that it can be compared with others, and `owed`: those of them that nobody knows yet.
    """

    def setup(self, config: dict[str, Any], job: Job | None = None) -> None:
        """Start a trial or go on with it; Tune passes the job from the object store."""
        if job is not None:
            self._job = job
        keep_freed_memory()
        torch.set_num_threads(max(1, int(self._job.cpus)))
        self._store = Store(config["store"], config["study"])
        self._ended = self._store.record(config["key"])
        if self._ended is None:
            self._trial = self._begin()
            self._rung = sum(self._until(rung) <= self._trial.iteration for rung in range(1, RUNGS))
            self._owes = self._rung in config["owed"]  # it died between its checkpoint and its report
        else:
            self._store.forget(config["key"])

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
        """Train one rung; after the last one measure, and hand the network to the store.

        Returns:
            `reached` iterations, `phase`, `loss` (not where a report covers several rungs), `rung`, `spent`, at a
            scored rung `score`, `kept` once there is a checkpoint; with `done`, either `record` (figures) or `failed`
            (a reason), or both. What is nested is JSON text: Tune flattens results.
        """
        if self._ended is not None:
            return {"done": True, **self._ended}
        if self._owes:
            self._owes = False
            return self._report()
        self._rung += 1
        try:
            last = self._train(self._until(self._rung))
        except Diverged as error:
            return {"done": True, "failed": f"diverged: {error}", "spent": json.dumps(self._trial.spent())}
        if self._rung == RUNGS:
            return last | {"done": True} | self._end()
        last |= self._report()
        self._store.keep(self.config["key"], self._trial.iteration, self._trial.checkpoint())
        return last | {"kept": True}

    def _report(self) -> dict[str, Any]:
        told: dict[str, Any] = {"rung": self._rung, "spent": json.dumps(self._trial.spent())}
        if self._rung in self.config["scored"]:
            told["score"] = json.dumps(self._trial.score())
        return told

    def _train(self, until: int) -> dict[str, Any]:
        shown: dict[str, Any] = {}
        while self._trial.iteration < until and (progress := self._trial.advance()) is not None:
            shown = {"reached": progress.iteration, "phase": progress.phase, "loss": progress.loss}
        return shown

    def _end(self) -> dict[str, str]:
        for _ in iter(self._trial.advance, None):
            pass
        record = self._trial.measure()
        ended = {"record": json.dumps(record, allow_nan=False)}
        if reason := dead_slider(record["response"], self._job.dense_response):
            ended["failed"] = reason
        with tempfile.TemporaryDirectory() as folder:
            self._trial.save(Path(folder))
            self._store.put(self.config["key"], Path(folder), ended)
        return ended
