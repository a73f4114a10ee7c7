"""A trial as Ray Tune sees it: one rung per step, so that progress shows and a worker can be used again.

A checkpoint lies in the store after every rung. A trial whose worker, node or driver died goes on from there; one that
had ended says so at once. A trial whose store is away holds what it has and waits, and says that it does.
"""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from ray import tune

from pipeline.search.study.space import Point
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
        self._ended: dict[str, Any] | None = None
        self._told: dict[str, Any] | None = None
        self._away_since: float | None = None

    def _take_up(self) -> Trial | None:
        """The trial as the store has it; None if it has ended."""
        self._ended = self._store.record(self.config["key"])
        if self._ended is not None:
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
            `reached` iterations, `phase`, `loss` and `curve` (not where a report covers several rungs), `rung`,
            `spent`, at a scored rung `score`, `kept` once there is a checkpoint; with `done`, either `record`
            (figures) or `failed` (a reason), or both. What is nested is JSON text: Tune flattens results. Where the
            store is away, `away` in place of all that: why.

        Raises:
            StoreAway: the store is away for longer than PATIENCE_S.
        """
        try:
            if self._trial is None and self._ended is None:
                self._trial = self._take_up()
            if self._told is None:
                self._told = self._next(self._trial) if self._trial else {"done": True, **(self._ended or {})}
            if self._trial:
                self._leave(self._trial, self._told)
        except StoreAway as error:
            return self._wait(error)
        told, self._told, self._away_since = self._told, None, None
        return told

    def _wait(self, error: StoreAway) -> dict[str, Any]:
        now = time.monotonic()
        self._away_since = now if self._away_since is None else self._away_since
        if now - self._away_since >= PATIENCE_S:
            raise error
        time.sleep(PAUSE_S)
        spent = {"spent": json.dumps(self._trial.spent())} if self._trial else {}
        return {"away": str(error), **spent}

    def _next(self, trial: Trial) -> dict[str, Any]:
        """What the next step is to tell; the store has none of it yet."""
        if self._owes:
            self._owes = False
            return self._report(trial)
        self._rung += 1
        try:
            last = self._train(trial, self._until(self._rung))
        except Diverged as error:
            return {"done": True, "failed": f"diverged: {error}", "spent": json.dumps(trial.spent())}
        if self._rung == RUNGS:
            return last | {"done": True} | self._end(trial)
        return last | self._report(trial) | {"kept": True}

    def _leave(self, trial: Trial, told: dict[str, Any]) -> None:
        """Put into the store what is told to be there."""
        if "kept" in told:
            self._store.keep(self.config["key"], trial.iteration, trial.checkpoint())
        elif "record" in told:
            with tempfile.TemporaryDirectory() as folder:
                trial.save(Path(folder))
                ended = {name: value for name, value in told.items() if name in ("record", "failed")}
                self._store.put(self.config["key"], Path(folder), ended)

    def _report(self, trial: Trial) -> dict[str, Any]:
        told: dict[str, Any] = {"rung": self._rung, "spent": json.dumps(trial.spent())}
        if self._rung in self.config["scored"]:
            told["score"] = json.dumps(trial.score())
        return told

    def _train(self, trial: Trial, until: int) -> dict[str, Any]:
        shown: dict[str, Any] = {}
        curve: list[dict[str, float]] = []
        while trial.iteration < until and (progress := trial.advance()) is not None:
            shown = {"reached": progress.iteration, "phase": progress.phase, "loss": progress.loss}
            curve.append({"iteration": progress.iteration, "loss": progress.loss, "lr": progress.lr, **progress.terms})
        return shown | ({"curve": json.dumps(thinned(curve))} if shown else {})

    def _end(self, trial: Trial) -> dict[str, str]:
        for _ in iter(trial.advance, None):
            pass
        record = trial.measure()
        ended = {"record": json.dumps(record, allow_nan=False)}
        return ended
