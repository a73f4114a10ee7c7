"""The search's single source of truth: an Optuna study that outlives every process.

A trial that was running when a process died is failed as interrupted and its point is queued again, so that the study
ends with exactly the wanted number of finished trials. Not thread-safe: one ledger, in the driver.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import BaseStorage, RDBStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from pipeline.config import SearchConfig
from pipeline.search.pareto import COSTS
from pipeline.search.space import Point, first_points, sample

INTERRUPTED = "interrupted"
_POINT, _REASON, _RECORD, _REPLACES = "point", "reason", "record", "replaces"


def sqlite(path: Path) -> BaseStorage:
    """Optuna's storage in one file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return RDBStorage(f"sqlite:///{path.resolve()}")


class Ledger:
    """Asks for points and keeps what became of them.

    Args:
        storage: where the study lives.
        name: of the study: the same name goes on with the same study.
        config: space, variants, suggestions, objectives, seed.
    """

    def __init__(self, storage: BaseStorage, name: str, config: SearchConfig) -> None:
        self._config = config
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
        directions = [StudyDirection.MAXIMIZE, *(StudyDirection.MINIMIZE for _ in config.objectives)]
        self._study = optuna.create_study(storage=storage, study_name=name, directions=directions, load_if_exists=True)
        self._recover()
        done = len(self._study.trials)
        self._study.sampler = optuna.samplers.TPESampler(
            seed=config.seed + done,
            n_startup_trials=max(4, len(config.suggestions)),
            multivariate=True,
            group=True,
            constant_liar=True,
        )

    def _recover(self) -> None:
        """Queue what is missing of the suggestions and of the interrupted points; a kill in here costs nothing."""
        for point in first_points(self._config):
            self._study.enqueue_trial(point, skip_if_exists=True)
        for trial in self._trials(TrialState.RUNNING):
            self.fail(trial.number, INTERRUPTED)
        replaced = {trial.user_attrs.get(_REPLACES) for trial in self._study.trials}
        for trial in self._trials(TrialState.FAIL):
            if trial.user_attrs.get(_REASON) == INTERRUPTED and trial.number not in replaced:
                wanted = trial.system_attrs.get("fixed_params", {}) | trial.params
                self._study.enqueue_trial(wanted, user_attrs={_REPLACES: trial.number})

    def ask(self) -> tuple[int, Point]:
        """The next trial's number and point; it is RUNNING from now on."""
        trial = self._study.ask()
        point = sample(trial, self._config.space, self._config.variants)
        trial.set_user_attr(_POINT, point.to_json())
        return trial.number, point

    def finish(self, number: int, record: dict[str, Any]) -> None:
        """A healthy end: `record` holds `psnr_db` (maximised) and the objectives' `COSTS` (minimised)."""
        self._set(number, _RECORD, record)
        self._study.tell(number, [record["psnr_db"], *(record[COSTS[cost]] for cost in self._config.objectives)])

    def fail(self, number: int, reason: str, record: dict[str, Any] | None = None) -> None:
        """An end that does not count, with its reason."""
        self._set(number, _REASON, reason)
        self._set(number, _RECORD, record or {})
        self._study.tell(number, state=TrialState.FAIL)

    def _set(self, number: int, key: str, value: Any) -> None:
        trial_id = self._study.trials[number]._trial_id
        self._study._storage.set_trial_user_attr(trial_id, key, value)

    def _trials(self, *states: TrialState) -> list[FrozenTrial]:
        return self._study.get_trials(deepcopy=False, states=states)

    @property
    def finished(self) -> int:
        """Trials that count."""
        return len(self._trials(TrialState.COMPLETE))

    @property
    def running(self) -> int:
        """Trials asked for and not told."""
        return len(self._trials(TrialState.RUNNING))

    @property
    def failed(self) -> int:
        """Trials that failed by themselves, not by an interruption."""
        return sum(trial.user_attrs.get(_REASON) != INTERRUPTED for trial in self._trials(TrialState.FAIL))

    def records(self) -> list[dict[str, Any]]:
        """Every ended trial, for `search/trials.json`; interrupted ones are left out, their point ran again."""
        rows = []
        for trial in self._trials(TrialState.COMPLETE, TrialState.FAIL):
            reason = trial.user_attrs.get(_REASON)
            if reason == INTERRUPTED:
                continue
            rows.append(
                {
                    "number": trial.number,
                    "state": "finished" if trial.state is TrialState.COMPLETE else "failed",
                    "reason": reason,
                    **trial.user_attrs[_POINT],
                    "metrics": trial.user_attrs.get(_RECORD, {}),
                }
            )
        return rows
