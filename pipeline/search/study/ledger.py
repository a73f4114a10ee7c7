"""The search's single source of truth: an Optuna study that outlives every process.

A trial that was running when a process died is handed out again, under its number, so that the study looks as if
nothing had happened. Not thread-safe: one ledger, in the driver, which remembers what it has written.
"""

from __future__ import annotations

import time
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import BaseStorage, RDBStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.exc import IntegrityError, OperationalError, ProgrammingError, SQLAlchemyError

from pipeline.common.errors import UserError
from pipeline.common.sqlite import sqlite_uri
from pipeline.config import SearchConfig
from pipeline.search.study.pareto import COSTS, constraint_key, violations
from pipeline.search.study.retry import Patience
from pipeline.search.study.sampler import INFEASIBLE, POINT, Sampler
from pipeline.search.study.space import Point

_UNUSABLE = (SQLAlchemyError, OSError, ImportError, ValueError, TypeError, RuntimeError)
"""What opening a database raises: a driver that is missing, an address that is none, a file of another version."""
_PAUSES_S = (0.2, 1.0)
"""Before a database is opened again."""
_REASON, _RECORD, _SCORES = "reason", "record", "scores"
_STATES = {TrialState.COMPLETE: "finished", TrialState.PRUNED: "stopped", TrialState.FAIL: "failed"}


def sqlite(path: Path) -> RDBStorage:
    """Optuna's storage in one file.

    Raises:
        UserError: it cannot be opened.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        return _opened(sqlite_uri(path))
    except _UNUSABLE as error:
        raise UserError(
            f"the study {path} cannot be opened ({_brief(error)}): see that it may be written and the disk has room; "
            "moved away, the search begins a new one"
        ) from error


def database(url: str) -> RDBStorage:
    """Optuna's storage at a database's URL, as `postgresql+psycopg2://host/name`.

    Raises:
        UserError: it cannot be opened.
    """
    try:
        return _opened(url, engine_kwargs={"pool_pre_ping": True})
    except _UNUSABLE as error:
        where = url.split("@")[-1].split("?")[0]  # the rest may hold a password
        raise UserError(
            f"cannot open the study's database {where} ({type(error).__name__}): see TATSNET_STUDY"
        ) from error


def _opened(url: str, **options: Any) -> RDBStorage:
    """The storage; tried again where another process makes the tables of a new one at the same moment."""
    for pause_s in _PAUSES_S:
        try:
            return RDBStorage(url, **options)
        except (IntegrityError, ProgrammingError, OperationalError):
            time.sleep(pause_s)
    return RDBStorage(url, **options)


def _brief(error: BaseException) -> str:
    return " ".join(str(error).split("\n(Background")[0].split())[:200]


class Ledger:
    """Asks for points and keeps what became of them.

    The sampler looks at a copy of its own: a point costs one writing of the database and no reading. Whatever is asked
    or told raises StudyAway when the database stays away; a process that begins anew then goes on.

    Args:
        storage: where the study lives.
        name: of the study: the same name goes on with the same study.
        config: space, variants, suggestions, objectives, seed.
        still_alone: raises when the study is no longer held by this process.
        patience: with a database that is away.
        is_held: whether a live process trains a RUNNING trial of this number; by default none does.

    Attributes:
        held: numbers of the trials that other live processes trained when this was opened.
    """

    def __init__(
        self,
        storage: BaseStorage,
        name: str,
        config: SearchConfig,
        still_alone: Callable[[], None] = lambda: None,
        patience: Patience | None = None,
        is_held: Callable[[int], bool] = lambda number: False,
    ) -> None:
        self._config, self._storage, self._still_alone = config, storage, still_alone
        self._patience = patience or Patience()
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
        directions = [StudyDirection.MAXIMIZE, *(StudyDirection.MINIMIZE for _ in config.objectives)]
        study = optuna.create_study(storage=storage, study_name=name, directions=directions, load_if_exists=True)
        study.set_metric_names(["psnr_db", *(COSTS[cost] for cost in config.objectives)])  # for Optuna Dashboard
        self._study_id = storage.get_study_id_from_name(name)
        self._ids: dict[int, int] = {}
        self._states: dict[int, TrialState] = {}
        self._counts = Counter[TrialState]()
        self._scores: defaultdict[int, dict[int, list[float]]] = defaultdict(dict)
        trials = self._trials()
        for trial in trials:
            self._remember(trial)
        running = [trial for trial in trials if trial.state == TrialState.RUNNING]
        self.held = [trial.number for trial in running if is_held(trial.number)]
        self._left = [trial for trial in running if trial.number not in self.held]
        self._costs = {trial.number: trial.user_attrs.get(_RECORD, {}) for trial in running}
        self._sampler = Sampler(config, directions, trials)

    def _remember(self, trial: FrozenTrial) -> None:
        self._ids[trial.number] = trial._trial_id
        self._become(trial.number, trial.state)
        if trial.state != TrialState.FAIL:
            for rung, values in trial.user_attrs.get(_SCORES, {}).items():
                self._scores[int(rung)][trial.number] = values

    def _become(self, number: int, state: TrialState) -> None:
        if number in self._states:
            self._counts[self._states[number]] -= 1
        self._states[number] = state
        self._counts[state] += 1

    def ask(self) -> tuple[int, Point]:
        """The next trial's number and point: one that a dead process left, or a new one; it is RUNNING from now on.

        Raises:
            UserError: somebody else writes into the same study.
        """
        self._patience(lambda _: self._still_alone())
        if self._left:
            left = self._left.pop(0)
            return left.number, Point(**left.user_attrs[POINT])
        number = len(self._states)
        point, drawn = self._sampler.draw(number)
        self._ids[number] = self._patience(lambda again: self._create(number, point, drawn, again))
        if self._patience(lambda _: self._storage.get_trial_number_from_id(self._ids[number])) != number:
            raise UserError(
                f"trial {number} is in the study already: another search writes into it; end one of the two"
            )
        self._become(number, TrialState.RUNNING)
        return number, point

    def _create(self, number: int, point: Point, drawn: FrozenTrial, again: bool) -> int:
        """The id of the study's next trial, written once however often it is tried."""
        if again:
            with suppress(KeyError):
                made = self._storage.get_trial_id_from_study_id_trial_number(self._study_id, number)
                if self._storage.get_trial(made).user_attrs.get(POINT) == point.to_json():
                    return made
        return self._storage.create_new_trial(self._study_id, template_trial=drawn)

    def score(self, number: int, rung: int, values: list[float]) -> dict[int, list[float]]:
        """Write down what a trial is worth at a rung; all trials' values at that rung, by number.

        Failed trials are no rivals: what they show may be what they failed for.
        """
        self._scores[rung][number] = values
        own = {str(rung): scores[number] for rung, scores in self._scores.items() if number in scores}
        self._set(number, _SCORES, own)
        return self._scores[rung]

    def finish(self, number: int, record: dict[str, Any]) -> None:
        """A healthy end: `record` holds its control, `psnr_db` (maximised) and the objectives' `COSTS` (minimised)."""
        self._set(number, _RECORD, record)
        missed = violations(record, self._config.control)
        for name, violation in missed.items():
            self._constrain(number, name, violation)
        self._sampler.constrain(number, missed)
        self._tell(
            number, TrialState.COMPLETE, [record["psnr_db"], *(record[COSTS[c]] for c in self._config.objectives)]
        )

    def _constrain(self, number: int, name: str, violation: float) -> None:
        """What `Trial.set_constraint` does: the storage has no other way to a trial that it handed out."""
        key = constraint_key(name)
        self._patience(lambda _: self._storage.set_trial_system_attr(self._ids[number], key, violation))

    def put_down(self, number: int, record: dict[str, Any]) -> None:
        """No end: what a trial has cost that goes on another time."""
        self._set(number, _RECORD, record)
        self._costs[number] = record

    def stop(self, number: int, record: dict[str, Any]) -> None:
        """An early end: it counts, and stands for no network."""
        self._set(number, _RECORD, record)
        self._tell(number, TrialState.PRUNED)

    def fail(self, number: int, reason: str, record: dict[str, Any] | None = None, *, infeasible: bool = False) -> None:
        """An end that does not count, with its reason.

        Args:
            infeasible: whether the point is to blame; the sampler keeps away from such.
        """
        self._set(number, _REASON, reason)
        self._set(number, _RECORD, record or {})
        if infeasible:
            self._set(number, INFEASIBLE, True)
        self._tell(number, TrialState.FAIL, infeasible=infeasible)

    def _tell(
        self, number: int, state: TrialState, values: list[float] | None = None, infeasible: bool = False
    ) -> None:
        self._sampler.tell(number, state, values, infeasible)

        def end(again: bool) -> None:
            with suppress(*[UpdateFinishedTrialError] * again):
                self._storage.set_trial_state_values(self._ids[number], state, values)

        self._patience(end)
        self._become(number, state)
        if state == TrialState.FAIL:
            for scores in self._scores.values():
                scores.pop(number, None)

    def _set(self, number: int, key: str, value: Any) -> None:
        self._patience(lambda _: self._storage.set_trial_user_attr(self._ids[number], key, value))

    def _trials(self, *states: TrialState) -> list[FrozenTrial]:
        wanted = states or None
        return self._patience(lambda _: self._storage.get_all_trials(self._study_id, deepcopy=False, states=wanted))

    def left(self) -> list[tuple[int, Point]]:
        """What a dead process left and nobody has asked for yet; asked for by this."""
        return [self.ask() for _ in range(len(self._left))]

    @property
    def under_way(self) -> dict[int, dict[str, Any]]:
        """By number, what trials that have not ended had cost when they were suspended; empty where nobody knows."""
        return {number: cost for number, cost in self._costs.items() if self._states[number] == TrialState.RUNNING}

    @property
    def finished(self) -> int:
        """Trials trained to their end that count."""
        return self._counts[TrialState.COMPLETE]

    @property
    def stopped(self) -> int:
        """Trials that were stopped early."""
        return self._counts[TrialState.PRUNED]

    @property
    def done(self) -> int:
        """Trials that count: finished or stopped."""
        return self.finished + self.stopped

    @property
    def running(self) -> int:
        """Trials that this process handed out, or another holds, and that were not told."""
        return self._counts[TrialState.RUNNING] - len(self._left)

    @property
    def failed(self) -> int:
        """Trials that failed."""
        return self._counts[TrialState.FAIL]

    def records(self) -> list[dict[str, Any]]:
        """Every ended trial, for `search/trials.json`."""
        return [record_of(trial) for trial in self._trials(*_STATES)]


def record_of(trial: FrozenTrial) -> dict[str, Any]:
    """An ended trial as a row of `search/trials.json`."""
    return {
        "number": trial.number,
        "state": _STATES[trial.state],
        "reason": trial.user_attrs.get(_REASON),
        **trial.user_attrs.get(POINT, {}),
        "metrics": trial.user_attrs.get(_RECORD, {}),
    }


def ended_records(storage: BaseStorage, name: str) -> list[dict[str, Any]]:
    """Every ended trial of a study that somebody else may be writing."""
    study_id = storage.get_study_id_from_name(name)
    return [record_of(trial) for trial in storage.get_all_trials(study_id, deepcopy=False, states=tuple(_STATES))]
