"""A trial as Ray Tune sees it: one rung per step, so that progress shows and a worker can be used again."""

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
    """Runs `Trial`; its config holds `number`, `key`, `seed`, `point` and the `store`'s place."""

    def setup(self, config: dict[str, Any], job: Job | None = None) -> None:
        """Start a trial; Tune passes the job from the object store."""
        if job is not None:
            self._job = job
        keep_freed_memory()
        torch.set_num_threads(max(1, int(self._job.cpus)))
        self._store = Store(config["store"])
        self._trial = Trial(self._job, Point(**config["point"]), config["seed"])
        self._rung = 0

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take another trial without a new process."""
        self.setup(new_config)
        return True

    def step(self) -> dict[str, Any]:
        """Train one rung; after the last one measure, and hand the network to the store.

        Returns:
            `reached` iterations, `phase`, `loss`; with `done`, either `record` (figures, as JSON text: Tune flattens
            nested results) or `failed` (a reason), or both.
        """
        self._rung += 1
        until = round(self._rung * self._job.schedule.iterations / RUNGS)
        try:
            last = self._train(until)
        except Diverged as error:
            return {"done": True, "failed": f"diverged: {error}"}
        if self._rung < RUNGS:
            return last
        return last | self._end()

    def _train(self, until: int) -> dict[str, Any]:
        shown: dict[str, Any] = {}
        while (progress := self._trial.advance()) is not None:
            shown = {"reached": progress.iteration, "phase": progress.phase, "loss": progress.loss}
            if progress.iteration >= until:
                break
        return shown

    def _end(self) -> dict[str, Any]:
        for _ in iter(self._trial.advance, None):
            pass
        record = self._trial.measure()
        with tempfile.TemporaryDirectory() as folder:
            self._trial.save(Path(folder))
            self._store.put(self.config["key"], Path(folder))
        ended: dict[str, Any] = {"done": True, "record": json.dumps(record, allow_nan=False)}
        if reason := dead_slider(record["response"], self._job.dense_response):
            ended["failed"] = reason
        return ended
