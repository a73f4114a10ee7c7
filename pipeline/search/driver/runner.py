"""Runs a search: Ray Tune for the trials, the ledger for what is asked and what became of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ray import tune
from ray.tune.experiment import Trial as TuneTrial
from ray.tune.search import Searcher

from pipeline.cluster.ray_cluster import connect
from pipeline.cluster.store import Store
from pipeline.cluster.tuning import InOrder, fit, idle, last_words, make_tuner
from pipeline.cluster.watch import Watch
from pipeline.common.errors import UserError
from pipeline.common.progress import count
from pipeline.config import Resources, SearchConfig
from pipeline.search.driver.budget import Spending
from pipeline.search.driver.desk import Desk
from pipeline.search.driver.observer import Observer
from pipeline.search.study.ledger import Ledger
from pipeline.search.trial.rungs import Rungs
from pipeline.search.trial.trial import Job

if TYPE_CHECKING:
    from ray.tune.execution.tune_controller import TuneController


class LedgerSearcher(Desk, Searcher):
    """The desk as Tune knows it."""

    def __init__(
        self, config: SearchConfig, ledger: Ledger, store: Store, spending: Spending, observer: Observer
    ) -> None:
        Searcher.__init__(self)
        Desk.__init__(self, config, ledger, store, spending, observer)

    def __getstate__(self) -> dict[str, Any]:
        """Nothing, for the copies that Tune pickles and nobody reads: the ledger is the state."""
        return {}

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the ledger is the state."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing: the ledger is the state."""


class SearchTrainable(Rungs, tune.Trainable):
    """A trial as Tune knows it; the job comes from the object store."""


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
    return make_tuner(trainable, resources, state, Judged(searcher, watch), watch, "search  trial", searcher=searcher)
