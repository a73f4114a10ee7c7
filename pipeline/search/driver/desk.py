"""Between the ledger and whoever trains: what is handed out, how it is judged, what is written down of its end."""

from __future__ import annotations

from typing import Any

from pipeline.cluster.report import Report
from pipeline.cluster.store import Store, StoreAway
from pipeline.common.errors import UserError
from pipeline.config import SearchConfig
from pipeline.search.driver.budget import Spending
from pipeline.search.driver.observer import Asked, End, Observer
from pipeline.search.study.ledger import Ledger
from pipeline.search.study.mo_asha import goes_on
from pipeline.search.study.pareto import COSTS
from pipeline.search.study.retry import StudyAway
from pipeline.search.trial.rungs import RUNGS
from pipeline.search.trial.trial import trial_key

FAILURES_PER_TRIAL = 2
"""The search gives up after so many failed trials per trial asked for."""

RIVALS = 500
"""A trial is judged among the last so many that reached its rung, so that judging takes no longer as trials grow."""

_UNWANTED = "not wanted any more"


class Desk:
    """Hands out what the ledger asks for until so many trials count, and judges them at their rungs. Knows no Ray.

    Failed trials are replaced, up to FAILURES_PER_TRIAL per wanted one.
    """

    FINISHED = "FINISHED"
    """Handed out where there is nothing more to do; Tune's word for it."""

    def __init__(
        self, config: SearchConfig, ledger: Ledger, store: Store, spending: Spending, observer: Observer
    ) -> None:
        self._config, self._ledger, self._store = config, ledger, store
        self._spending, self._observer = spending, observer
        self._failed_before = ledger.failed
        self._asked: dict[str, Asked] = {}
        self._spent: dict[str, dict[str, float]] = {}
        self._deaths: dict[str, str] = {}
        self._judged: dict[str, tuple[dict[str, Any], End, str]] = {}
        self._store_seen = False
        self.trouble: str | None = None

    def renew(self, ledger: Ledger) -> None:
        """Go on with the study as it is by now: others write into it, too."""
        self._ledger = ledger

    @property
    def gave_up(self) -> bool:
        """Too many trials failed since the start."""
        return self._ledger.failed - self._failed_before > FAILURES_PER_TRIAL * self._config.trials

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """The next trial's config; None while the running ones may be enough."""
        if self._ledger.done >= self._config.trials or self.gave_up or self._spending.reached or self.trouble:
            return self.FINISHED
        if self._ledger.done + self._ledger.running >= self._config.trials:
            return None
        try:
            number, point = self._ledger.ask()
        except UserError as error:  # Tune would make a traceback of it
            self.trouble = str(error)
            return self.FINISHED
        key = trial_key(self._store.study, number, point, self._config.seed)
        before = self._ledger.under_way.get(number)
        had_ended = before is not None and self._had_ended(key)
        asked = Asked(number=number, key=key, point=point, reached=self._reached(key), had_ended=had_ended)
        self._asked[trial_id], self._spent[trial_id] = asked, before or {}
        self._observer.started(asked)
        return {
            "number": number,
            "key": key,
            "seed": self._config.seed,
            "point": point.to_json(),
            "store": self._store.url,
            "study": self._store.study,
            "scored": [round(share * RUNGS) for share in self._config.stopping.rungs],
        }

    def judge(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Take a rung's result; whether the trial goes on."""
        asked, report = self._asked[trial_id], Report.from_result(result)
        if report.reached is not None or report.away is not None:
            self._observer.reached(asked, report)
        if report.spent is not None:
            self._spent[trial_id] = report.spent
            self._spending.running(asked.number, report.spent)
        if report.done:
            return True
        if report.score and report.rung is not None and not self._is_good(asked, report.rung, report.score):
            self._judged[trial_id] = report.score, "stopped", f"others were better at {report.rung} tenths"
        elif limit := self._spending.reached or self._strange_store(asked, report):
            self._judged[trial_id] = {}, "suspended", limit
        return trial_id not in self._judged

    def ends_for(self) -> str | None:
        """What the search is to end for before it has all its trials; None while it goes on."""
        return self.trouble or self._spending.reached

    def put_down_all(self) -> None:
        """Suspend every trial that has not ended."""
        for trial_id in list(self._asked):
            self._judged[trial_id] = {}, "suspended", self.ends_for() or "no place to run"
            self.on_trial_complete(trial_id)

    def died(self, trial_id: str, cause: str) -> None:
        """Take what a trial's worker died of, before its end is told."""
        self._deaths[trial_id] = cause

    def _reached(self, key: str) -> int:
        """For the eye alone: the worker looks for itself, and waits for a store that is away."""
        try:
            return self._store.reached(key)
        except StoreAway:
            return 0

    def _had_ended(self, key: str) -> bool:
        """For the eye alone, too."""
        try:
            return self._store.record(key) is not None
        except (StoreAway, ValueError):
            return False

    def _strange_store(self, asked: Asked, report: Report) -> str | None:
        """Why the first checkpoint of all cannot be seen from here."""
        if report.kept and not self._store_seen:
            try:
                self._store_seen = self._store.reached(asked.key) > 0
            except StoreAway:
                return self.trouble
            if not self._store_seen:
                self.trouble = (
                    f"trial {asked.number} left its checkpoint in {self._store.url}, and it is not there for this "
                    "machine: set TATSNET_STORE to a place that it and every worker reach, as s3://bucket/prefix"
                )
        return self.trouble

    def _is_good(self, asked: Asked, rung: int, score: dict[str, float]) -> bool:
        values = [-score["psnr_db"], *(score[COSTS[cost]] for cost in self._config.objectives)]
        try:
            scores = self._ledger.score(asked.number, rung, values)
        except StudyAway as error:
            self.trouble = str(error)
            return True
        rivals = [score for number, score in scores.items() if number != asked.number][-RIVALS:]
        return goes_on([*rivals, values], len(rivals), self._config.stopping.keep)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Tell of a trial's end, then write it into the ledger: one killed in between is told of again, by its key."""
        asked, spent = self._asked.pop(trial_id), self._spent.pop(trial_id, {})
        cause, judged = self._deaths.pop(trial_id, ""), self._judged.pop(trial_id, None)
        report = Report.from_result(result or {})
        found, end, reason = judged or _end_of(report, error, cause)
        if end == "suspended" and not judged:
            self.trouble = self.trouble or f"{reason}; what is trained lies there, and the same command goes on"
        record = self._priced(spent | found) | ({} if end == "suspended" else {"key": asked.key})
        self._observer.ended(asked, record, end, reason or None)
        try:
            self._write(asked, record, end, reason, infeasible=report.failed is not None)
        except StudyAway as error:
            self.trouble = str(error)
        self._spending.ended(asked.number, record["usd"])

    def _write(self, asked: Asked, record: dict[str, Any], end: End, reason: str, infeasible: bool) -> None:
        if end == "finished":
            self._ledger.finish(asked.number, record)
        elif end == "stopped":
            self._ledger.stop(asked.number, record)
        elif end == "suspended":
            self._ledger.put_down(asked.number, record)
        else:
            self._ledger.fail(asked.number, reason, record, infeasible=infeasible)
        if end in ("stopped", "failed"):
            self._store.forget(asked.key)

    def close(self) -> None:
        """Fail what a dead process left and nobody wants any more, so that no trial runs for ever."""
        for number, point in self._ledger.left():
            key = trial_key(self._store.study, number, point, self._config.seed)
            asked = Asked(number=number, key=key, point=point)
            record = self._priced(self._ledger.under_way.get(number, {})) | {"key": key}
            self._observer.ended(asked, record, "failed", _UNWANTED)
            self._write(asked, record, "failed", _UNWANTED, infeasible=False)

    def _priced(self, record: dict[str, Any]) -> dict[str, Any]:
        return record | {"usd": self._spending.rates.usd(record)}


def _end_of(report: Report, error: bool, cause: str) -> tuple[dict[str, Any], End, str]:
    """Figures, end and reason by a trial's last result."""
    found = report.record or {}
    if StoreAway.__name__ in cause:
        return {}, "suspended", cause.partition(": ")[2]
    died = "the worker died or raised" + (f": {cause}" if cause else "")
    reason = report.failed or ("" if found and not error else died)
    return (report.spent or {}) | found, "failed" if reason else "finished", reason
