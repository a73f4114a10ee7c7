"""Runs a search: Ray Tune for the trials, the ledger for what is asked and what became of it."""

from __future__ import annotations

import json
import os
import re
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import ray
from ray import tune
from ray.exceptions import AuthenticationError
from ray.tune.search import Searcher

from pipeline.config import SearchConfig
from pipeline.errors import UserError
from pipeline.search.ledger import Ledger
from pipeline.search.space import Point
from pipeline.search.trainable import SearchTrainable
from pipeline.search.trial import Job, trial_key

FAILURES_PER_TRIAL = 2
"""The search gives up after so many failed trials per trial asked for."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A trial that was handed out."""

    number: int
    key: str
    point: Point


class Observer(Protocol):
    """Is told of the trials, in the driver."""

    def started(self, asked: Asked) -> None:
        """A trial was handed to a worker."""

    def reached(self, asked: Asked, result: dict[str, Any]) -> None:
        """A rung is done."""

    def ended(self, asked: Asked, record: dict[str, Any], failed: str | None) -> None:
        """A trial ended; `failed` is the reason why it does not count."""


class LedgerSearcher(Searcher):
    """Gives Tune what the ledger asks for until so many trials have finished.

    Args:
        wanted: finished trials to reach; failed ones are replaced, up to FAILURES_PER_TRIAL per wanted one.
    """

    def __init__(self, ledger: Ledger, study: str, store: str, wanted: int, seed: int, observer: Observer) -> None:
        super().__init__()
        self._ledger, self._study, self._store = ledger, study, store
        self._wanted, self._seed, self._observer = wanted, seed, observer
        self._failed_before = ledger.failed
        self._asked: dict[str, Asked] = {}

    @property
    def gave_up(self) -> bool:
        """Too many trials failed since the start."""
        return self._ledger.failed - self._failed_before > FAILURES_PER_TRIAL * self._wanted

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """The next trial's config; None while the running ones may be enough."""
        if self._ledger.finished >= self._wanted or self.gave_up:
            return Searcher.FINISHED
        if self._ledger.finished + self._ledger.running >= self._wanted:
            return None
        number, point = self._ledger.ask()
        asked = Asked(number=number, key=trial_key(self._study, point, self._seed), point=point)
        self._asked[trial_id] = asked
        self._observer.started(asked)
        return {
            "number": number,
            "key": asked.key,
            "seed": self._seed,
            "point": point.to_json(),
            "store": self._store,
        }

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Pass a rung on."""
        self._observer.reached(self._asked[trial_id], result)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Write a trial's end into the ledger, then tell."""
        asked = self._asked.pop(trial_id)
        record = json.loads((result or {}).get("record", "{}"))
        failed = (result or {}).get("failed") or (None if record and not error else "the worker died or raised")
        if failed:
            self._ledger.fail(asked.number, failed, record | {"key": asked.key})
        else:
            self._ledger.finish(asked.number, record | {"key": asked.key})
        self._observer.ended(asked, record, failed)

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the ledger is the state."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing: the ledger is the state."""


def require_answer(address: str, patience_s: float = 5.0) -> None:
    """Refuse at once a cluster address where nobody listens: Ray itself would try for minutes.

    Args:
        address: as RAY_ADDRESS holds it; one without a port (`auto`, `local`) is left to Ray.

    Raises:
        UserError: nobody listens there.
    """
    place = re.fullmatch(r"(?:\w+://)?\[?([^/\[\]]+)\]?:(\d{1,5})", address)
    if place is None:
        return
    try:
        socket.create_connection((place[1], int(place[2])), timeout=patience_s).close()
    except (OSError, OverflowError) as error:
        raise UserError(
            f"no Ray cluster answers at RAY_ADDRESS={address} ({error}): start it, or unset RAY_ADDRESS to search here"
        ) from error


def connect(config: SearchConfig) -> Callable[[], None]:
    """Join the cluster that RAY_ADDRESS names, or start one here with the dashboard off; returns what ends it.

    Raises:
        UserError: no cluster answers there, or one trial needs more than this machine has.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    os.environ.setdefault("TUNE_DISABLE_SIGINT_HANDLER", "1")
    address = os.environ.get("RAY_ADDRESS")
    if address:
        require_answer(address)
    quiet = {"log_to_driver": False, "configure_logging": True, "logging_level": "ERROR"}
    try:
        if address:
            ray.init(address=address, **quiet)
        else:
            ray.init(address="local", include_dashboard=False, **quiet)
    except (ConnectionError, ValueError, RuntimeError, AuthenticationError) as error:
        if not address:
            raise UserError(f"cannot start a local Ray: {error}") from error
        raise UserError(
            f"cannot use the Ray cluster at RAY_ADDRESS={address}: {error}; if it asks for a token, set "
            "RAY_AUTH_MODE=token and RAY_AUTH_TOKEN to what `ray get-auth-token` prints on its head; it must run Ray "
            f"{ray.__version__} as here; or unset RAY_ADDRESS to search here"
        ) from error
    have = ray.cluster_resources()
    need = {"CPU": config.resources.cpus_per_trial, "GPU": config.resources.gpus_per_trial}
    for kind, amount in need.items():
        if amount > have.get(kind, 0.0) and not address:
            ray.shutdown()
            raise UserError(
                f"search.resources: a trial asks for {amount:g} {kind}, this machine has {have.get(kind, 0.0):g}: "
                f"lower {kind.lower()}s_per_trial, or set RAY_ADDRESS to a cluster that has them"
            )
    return ray.shutdown


def run_search(
    config: SearchConfig, job: Job, ledger: Ledger, study: str, state: Path, store: str, observer: Observer
) -> None:
    """Search until `config.trials` trials have finished.

    Raises:
        UserError: no usable Ray, or too many trials failed.
    """
    searcher = LedgerSearcher(ledger, study, store, config.trials, config.seed, observer)
    if ledger.finished >= config.trials:
        return
    end = connect(config)
    try:
        trainable = tune.with_resources(
            tune.with_parameters(SearchTrainable, job=job),
            {"cpu": config.resources.cpus_per_trial, "gpu": config.resources.gpus_per_trial},
        )
        tune.Tuner(
            trainable,
            tune_config=tune.TuneConfig(
                search_alg=tune.search.ConcurrencyLimiter(searcher, max_concurrent=config.resources.concurrent),
                num_samples=-1,
                reuse_actors=True,
            ),
            run_config=tune.RunConfig(
                name="tune",
                storage_path=str(state.resolve()),
                verbose=0,
                failure_config=tune.FailureConfig(max_failures=config.resources.max_failures),
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
                log_to_file=False,
            ),
        ).fit()
    finally:
        end()
    if ledger.finished < config.trials:
        raise UserError(
            f"the search ended early: {ledger.failed} trials failed and only {ledger.finished} of {config.trials} "
            f"finished; the reasons stand in MLflow and above. Lower search.space.lambda1, or train longer"
        )
