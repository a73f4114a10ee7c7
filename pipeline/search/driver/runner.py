"""Runs a search: Ray Tune for the trials, the ledger for what is asked and what became of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ray import tune
from ray.tune.experiment import Trial as TuneTrial
from ray.tune.search import Searcher

from pipeline.cluster.ray_cluster import connect
from pipeline.cluster.report import Report
from pipeline.cluster.store import Store, StoreAway
from pipeline.cluster.tuning import InOrder, fit, idle, last_words, make_tuner
from pipeline.cluster.watch import Watch
from pipeline.common.errors import UserError
from pipeline.common.progress import count
from pipeline.config import Resources, SearchConfig
from pipeline.search.driver.budget import Spending
from pipeline.search.driver.observer import Asked, End, Observer
from pipeline.search.study.ledger import Ledger
from pipeline.search.study.mo_asha import goes_on
from pipeline.search.study.pareto import COSTS
from pipeline.search.study.retry import StudyAway
from pipeline.search.trial.trainable import RUNGS, SearchTrainable
from pipeline.search.trial.trial import Job, trial_key

if TYPE_CHECKING:
    from ray.tune.execution.tune_controller import TuneController

FAILURES_PER_TRIAL = 2
"""The search gives up after so many failed trials per trial asked for."""

RIVALS = 500
"""A trial is judged among the last so many that reached its rung, so that judging takes no longer as trials grow."""


_UNWANTED = "not wanted any more"


class LedgerSearcher(Searcher):
    """Gives Tune what the ledger asks for until so many trials count, and judges them at their rungs.

    Failed trials are replaced, up to FAILURES_PER_TRIAL per wanted one.
    """

    def __init__(
        self, config: SearchConfig, ledger: Ledger, store: Store, spending: Spending, observer: Observer
    ) -> None:
        super().__init__()
        self._config, self._ledger, self._store = config, ledger, store
        self._spending, self._observer = spending, observer
        self._failed_before = ledger.failed
        self._asked: dict[str, Asked] = {}
        self._spent: dict[str, dict[str, float]] = {}
        self._deaths: dict[str, str] = {}
        self._judged: dict[str, tuple[dict[str, Any], End, str]] = {}
        self._store_seen = False
        self.trouble: str | None = None

    @property
    def gave_up(self) -> bool:
        """Too many trials failed since the start."""
        return self._ledger.failed - self._failed_before > FAILURES_PER_TRIAL * self._config.trials

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """The next trial's config; None while the running ones may be enough."""
        if self._ledger.done >= self._config.trials or self.gave_up or self._spending.reached or self.trouble:
            return Searcher.FINISHED
        if self._ledger.done + self._ledger.running >= self._config.trials:
            return None
        try:
            number, point = self._ledger.ask()
        except UserError as error:  # Tune would make a traceback of it
            self.trouble = str(error)
            return Searcher.FINISHED
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
        """Put down what has no place to run, when Tune has ended."""
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

    def __getstate__(self) -> dict[str, Any]:
        """Nothing, for the copies that Tune pickles and nobody reads: the ledger is the state."""
        return {}

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the ledger is the state."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing: the ledger is the state."""


def _end_of(report: Report, error: bool, cause: str) -> tuple[dict[str, Any], End, str]:
    """Figures, end and reason by a trial's last result."""
    found = report.record or {}
    if StoreAway.__name__ in cause:
        return {}, "suspended", cause.partition(": ")[2]
    died = "the worker died or raised" + (f": {cause}" if cause else "")
    reason = report.failed or ("" if found and not error else died)
    return (report.spent or {}) | found, "failed" if reason else "finished", reason


class Judged(InOrder):
    """Trials in order; each goes on as long as the searcher finds it good."""

    def __init__(self, searcher: LedgerSearcher, watch: Watch | None = None) -> None:
        super().__init__(watch)
        self._searcher = searcher

    def on_trial_result(self, tune_controller: TuneController, trial: TuneTrial, result: dict[str, Any]) -> str:
        """Ask the searcher."""
        verdict: str = self.CONTINUE if self._searcher.judge(trial.trial_id, result) else self.STOP
        return verdict

    def on_trial_error(self, tune_controller: TuneController, trial: TuneTrial) -> None:
        """Hand on what it died of."""
        self._searcher.died(trial.trial_id, last_words(trial))


def run_search(
    config: SearchConfig,
    job: Job,
    ledger: Ledger,
    state: Path,
    store: Store,
    spending: Spending,
    observer: Observer,
) -> None:
    """Search until `config.trials` trials have finished or were stopped, or a limit is reached.

    Raises:
        UserError: no usable Ray, too many trials failed, or a limit was reached before any trial finished.
    """
    searcher = LedgerSearcher(config, ledger, store, spending, observer)
    if ledger.done < config.trials:
        store.check()
        _tune(config, job, searcher, state)
    if searcher.trouble:
        raise UserError(searcher.trouble)
    if ledger.done >= config.trials:
        searcher.close()
        if not ledger.finished:
            raise UserError(
                "every trial that counts was stopped early, so that there is no network: "
                "raise search.stopping.keep or search.trials"
            )
    elif limit := spending.reached:
        if not ledger.finished:
            raise UserError(f"the search reached {limit} before any trial finished: raise it and run again")
    else:
        raise UserError(
            f"the search ended early: {count(ledger.failed, 'trial')} failed and only {ledger.done} of {config.trials} "
            "finished; the reasons stand in MLflow and above. Where losses diverged or sliders died, lower "
            "search.space.lambda1, or train longer; where workers died, mend that; the same command goes on"
        )


def _tune(config: SearchConfig, job: Job, searcher: LedgerSearcher, state: Path) -> None:
    end = connect(config.resources)
    try:
        fit(tuner_of(tune.with_parameters(SearchTrainable, job=job), searcher, config.resources, state))
    except UserError as error:
        searcher.trouble = str(error)
    finally:
        end()
    searcher.put_down_all()


def tuner_of(trainable: Any, searcher: LedgerSearcher, resources: Resources, state: Path) -> tune.Tuner:
    """Tune with the trials that the searcher gives, and judges."""
    watch = Watch(searcher.ends_for, idle("search  no trial", resources))
    return make_tuner(trainable, resources, state, Judged(searcher, watch), watch, searcher=searcher)
