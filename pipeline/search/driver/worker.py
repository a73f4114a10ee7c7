"""Trains trials of a study that other workers share: no Ray, no head, a database and a store.

A trial is held by one worker, by a lock that lives no longer than it; whoever looks for work next takes the trial up
from its last checkpoint. To ask and to tell, a worker holds the whole study for a moment.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pipeline.cluster.store import Store, StoreAway
from pipeline.common.errors import UserError
from pipeline.common.progress import say
from pipeline.config import SearchConfig
from pipeline.search.driver.budget import Spending, spent_usd
from pipeline.search.driver.desk import Desk
from pipeline.search.driver.reporter import Reporter
from pipeline.search.study.lock import Busy, Lock
from pipeline.search.study.opening import Opened
from pipeline.search.trial.rungs import Rungs
from pipeline.search.trial.trial import Job
from pipeline.tracking import Run, Tracker

PAUSE_S = 5.0
"""Between two looks for work, where others train all that is wanted: one of them may die."""

PATIENCE_S = 120.0
"""For a study that another holds."""

_ONLY = "trial"
"""What the desk knows the one trial by that a worker trains."""


class Worker:
    """Trains one trial after another.

    Args:
        opened: the study.
        store: that all workers reach.
        job: what all trials share.
        spending: with the limits; what others spend counts too.
        run: of this worker, under which its trials' runs lie.
    """

    def __init__(
        self,
        opened: Opened,
        store: Store,
        config: SearchConfig,
        job: Job,
        spending: Spending,
        tracker: Tracker,
        run: Run,
    ) -> None:
        self._opened, self._config, self._job, self._spending = opened, config, job, spending
        with opened.ledger(config, PATIENCE_S) as ledger:
            self._reporter = Reporter(tracker, run, config, opened.name, ledger, spending, store=store, places=0)
            self._desk = Desk(config, ledger, store, spending, self._reporter)
        self._rungs = Rungs()

    def work(self) -> str:
        """Train until the study has what it is asked for, or a limit is reached; how the study stands then.

        Raises:
            UserError: the study or the store stays away, too many trials fail, or a search holds the study.
        """
        while True:
            with self._study() as desk:
                asked = desk.suggest(_ONLY)
                held = self._hold(asked) if isinstance(asked, dict) else None
            if isinstance(asked, dict) and held:
                self._train(asked, held)
            elif asked == Desk.FINISHED:
                return self._reporter.status()
            else:
                time.sleep(PAUSE_S)

    @contextmanager
    def _study(self) -> Iterator[Desk]:
        """The desk, while nobody else asks or tells."""
        with self._opened.ledger(self._config, PATIENCE_S) as ledger:
            self._spending.recount(
                spent_usd(ledger.records()), {number: cost.get("usd", 0.0) for number, cost in ledger.under_way.items()}
            )
            self._desk.renew(ledger)
            self._reporter.renew(ledger)
            yield self._desk
        if self._desk.trouble:
            raise UserError(self._desk.trouble)

    def _hold(self, asked: dict[str, Any]) -> Lock:
        lock = self._opened.lock(asked["number"])
        lock.take()
        return lock

    def _train(self, asked: dict[str, Any], held: Lock) -> None:
        try:
            tries = self._config.resources.max_failures
            self._rungs.setup(asked, self._job)
            while True:
                try:
                    result, cause = self._rungs.step(), ""
                except Exception as error:  # whatever a training may raise is the trial's end, not the worker's
                    cause = f"{type(error).__name__}: {error}"
                    if tries > 0 and not isinstance(error, StoreAway):
                        tries -= 1
                        say(f"search  trial {asked['number']} failed and resumes from its last checkpoint: {cause}")
                        self._rungs.setup(asked, self._job)
                        continue
                    result = {}
                if self._told(result, cause, held):
                    return
        except KeyboardInterrupt:
            with self._study() as desk:
                desk.put_down_all()
            raise
        finally:
            held.leave()

    def _told(self, result: dict[str, Any], cause: str, held: Lock) -> bool:
        """Tell of a step; whether the trial has ended."""
        try:
            held.keep()
        except Busy as error:
            raise UserError(
                "another worker has taken this trial: the study's database was away for too long"
            ) from error
        with self._study() as desk:
            if cause:
                desk.died(_ONLY, cause)
            elif desk.judge(_ONLY, result) and not result.get("done"):
                return False
            desk.on_trial_complete(_ONLY, result, error=bool(cause))
            return True
