"""Work done stretch by stretch, so that progress shows and another worker can take it up. Knows nothing of Ray.

A checkpoint lies in the store after every stretch. A training whose worker, node or driver died goes on from there; one
that had ended says so at once. One whose store is away holds what it has and waits, and says that it does.
"""

from __future__ import annotations

import tempfile
import time
from abc import abstractmethod
from dataclasses import replace
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from pipeline.cluster.report import Report
from pipeline.cluster.store import Store, StoreAway
from tatsnet.method.training import Progress
from tatsnet.system.allocator import keep_freed_memory

PAUSE_S, PATIENCE_S = 5.0, 600.0
"""Seconds between two tries of a store that is away, and until the worker gives up: another may reach it."""

CURVE_POINTS = 10
"""Of a stretch, at the most."""


class Work(Protocol):
    """What is trained; its state is in its checkpoints."""

    @property
    def iteration(self) -> int:
        """Finished iterations."""

    def advance(self) -> Progress | None:
        """Train up to the next report; None when the training has ended."""

    def checkpoint(self) -> bytes:
        """All that it takes to go on from here."""

    def spent(self) -> dict[str, float]:
        """Iterations, seconds and hours so far."""

    def save(self, folder: Path) -> None:
        """Write what was trained."""


W = TypeVar("W", bound=Work)


class Stretches(Generic[W]):
    """Does a piece of work, stretch by stretch; what a stretch is, a subclass says. With `tune.Trainable` it is Ray's.

    Its config holds the `key` of the work, the place of the `store`, and the `study` in it.
    """

    config: dict[str, Any]

    def setup(self, config: dict[str, Any]) -> None:
        """Take a piece of work; it is looked up in the store at the first step."""
        keep_freed_memory()
        self.config = config
        self._store, self._key = Store(config["store"], config["study"]), str(config["key"])
        self._work: W | None = None
        self._ended: Report | None = None
        self._told: Report | None = None
        self._away_since: float | None = None

    @abstractmethod
    def begin(self, checkpoint: bytes | None) -> W:
        """The work from its beginning, or from a checkpoint.

        Raises:
            ValueError: the checkpoint is damaged, or of other work.
        """

    @abstractmethod
    def next(self, work: W) -> Report:
        """Train a stretch; what to tell of it. The store has none of it yet."""

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take another piece of work without a new process."""
        self.config = new_config
        self.setup(new_config)
        return True

    def step(self) -> dict[str, Any]:
        """Train a stretch and leave a checkpoint; after the last one, hand over what was made.

        Returns:
            A `Report` as a result.

        Raises:
            StoreAway: the store is away for longer than PATIENCE_S.
        """
        try:
            if self._work is None and self._ended is None:
                self._work = self._take_up()
            if self._told is None:
                self._told = self.next(self._work) if self._work else self._ended or Report(done=True)
            if self._work:
                self._leave(self._work, self._told)
        except StoreAway as error:
            return self._wait(error)
        told, self._told, self._away_since = self._told, None, None
        return told.to_result()

    def _take_up(self) -> W | None:
        """The work as the store has it; None if it has ended."""
        ended = self._store.record(self._key)
        if ended is not None:
            self._ended = Report.from_result({**ended, "done": True})
            self._store.forget(self._key)
            return None
        for checkpoint in self._store.checkpoints(self._key):
            try:
                return self.begin(checkpoint)
            except ValueError as error:
                print(f"{self.config['key']}: {error}")
        return self.begin(None)

    def _wait(self, error: StoreAway) -> dict[str, Any]:
        now = time.monotonic()
        self._away_since = now if self._away_since is None else self._away_since
        if now - self._away_since >= PATIENCE_S:
            raise error
        time.sleep(PAUSE_S)
        return Report(away=str(error), spent=self._work.spent() if self._work else None).to_result()

    def _leave(self, work: W, told: Report) -> None:
        """Put into the store what is told to be there."""
        if told.kept:
            self._store.keep(self._key, work.iteration, work.checkpoint())
        elif told.record is not None:
            with tempfile.TemporaryDirectory() as folder:
                work.save(Path(folder))
                ended = Report(record=told.record, failed=told.failed)
                self._store.put(self._key, Path(folder), ended.to_result())


def train(work: Work, until: int, seconds: float = float("inf")) -> Report:
    """Train up to an iteration, or for so many seconds; reached, phase, loss, and the curve, thinned.

    Raises:
        Diverged: the loss is not finite.
    """
    report, began = Report(), time.monotonic()
    curve: list[dict[str, float]] = []
    while work.iteration < until and time.monotonic() - began < seconds and (progress := work.advance()) is not None:
        report = Report(reached=progress.iteration, phase=progress.phase, loss=progress.loss)
        curve.append({"iteration": progress.iteration, "loss": progress.loss, "lr": progress.lr, **progress.terms})
    return replace(report, curve=tuple(thinned(curve)))


def thinned(curve: list[dict[str, float]]) -> list[dict[str, float]]:
    """Evenly chosen points of a curve, its last among them."""
    every = -(-len(curve) // CURVE_POINTS)
    return curve[::-1][::every][::-1] if curve else []
