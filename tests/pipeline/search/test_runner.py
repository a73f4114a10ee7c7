"""What Tune is given and what the ledger is told, without a cluster; tests/slow/test_search.py has a real one."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest
import ray
from ray.tune.search import Searcher

from pipeline.errors import UserError
from pipeline.search.ledger import Ledger
from pipeline.search.runner import FAILURES_PER_TRIAL, Asked, LedgerSearcher, require_answer, run_search
from pipeline.search.space import Point
from pipeline.search.trial import trial_key
from tests.pipeline.search.jobs import make_job
from tests.pipeline.search.spaces import search_config, space

CONFIG = search_config(space=space(), suggestions=())


def record(psnr_db: float = 25.0) -> dict[str, Any]:
    return {"psnr_db": psnr_db, "flops_ratio_m27": 0.1}


def text(psnr_db: float = 25.0) -> str:
    """As a worker sends it."""
    return json.dumps(record(psnr_db))


class Witness:
    """Writes down what an observer is told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, int, Any]] = []

    def started(self, asked: Asked) -> None:
        self.told.append(("started", asked.number, asked.key))

    def reached(self, asked: Asked, result: dict[str, Any]) -> None:
        self.told.append(("reached", asked.number, result))

    def ended(self, asked: Asked, record: dict[str, Any], failed: str | None) -> None:
        self.told.append(("ended", asked.number, failed))


@pytest.fixture
def ledger() -> Ledger:
    return Ledger(optuna.storages.InMemoryStorage(), "study", CONFIG)


@pytest.fixture
def witness() -> Witness:
    return Witness()


def searcher(ledger: Ledger, witness: Witness, wanted: int = 3) -> LedgerSearcher:
    return LedgerSearcher(ledger, "study", "store", wanted, 7, witness)


def test_a_trial_s_config_is_all_that_a_worker_needs(ledger: Ledger, witness: Witness) -> None:
    config = searcher(ledger, witness).suggest("t")
    assert isinstance(config, dict)
    assert set(config) == {"number", "key", "seed", "point", "store"}
    assert config["key"] == trial_key("study", Point(**config["point"]), 7)
    assert (config["number"], config["seed"], config["store"]) == (0, 7, "store")


def test_no_more_run_than_may_still_count(ledger: Ledger, witness: Witness) -> None:
    search = searcher(ledger, witness, wanted=2)
    assert isinstance(search.suggest("a"), dict)
    assert isinstance(search.suggest("b"), dict)
    assert search.suggest("c") is None
    search.on_trial_complete("a", {"record": text()})
    assert search.suggest("c") is None
    search.on_trial_complete("b", {"record": text()})
    assert search.suggest("c") == Searcher.FINISHED
    assert ledger.finished == 2


@pytest.mark.parametrize(
    ("result", "error", "reason"),
    [
        ({"failed": "diverged: the loss became nan"}, False, "diverged: the loss became nan"),
        ({"failed": "dead slider: denoise", "record": text()}, False, "dead slider: denoise"),
        ({"reached": 30, "loss": 0.1}, True, "the worker died or raised"),
        (None, True, "the worker died or raised"),
        (None, False, "the worker died or raised"),
        ({"reached": 30}, False, "the worker died or raised"),
    ],
    ids=["diverged", "dead", "died late", "died early", "no result", "no record"],
)
def test_a_failed_trial_is_told_with_its_reason_and_replaced(
    ledger: Ledger, witness: Witness, result: dict[str, Any] | None, error: bool, reason: str
) -> None:
    search = searcher(ledger, witness, wanted=1)
    search.suggest("a")
    search.on_trial_complete("a", result, error)
    assert (ledger.finished, ledger.failed) == (0, 1)
    (row,) = ledger.records()
    assert row["reason"].startswith(reason)
    assert ("psnr_db" in row["metrics"]) is ("record" in (result or {}))
    assert witness.told[-1] == ("ended", 0, row["reason"])
    assert isinstance(search.suggest("b"), dict)
    search.on_trial_complete("b", {"record": text()})
    assert search.suggest("c") == Searcher.FINISHED


def test_a_finished_trial_keeps_its_key_with_its_figures(ledger: Ledger, witness: Witness) -> None:
    search = searcher(ledger, witness)
    config = search.suggest("a")
    assert isinstance(config, dict)
    search.on_trial_complete("a", {"record": text(26.0), "done": True})
    (row,) = ledger.records()
    assert row["metrics"] == record(26.0) | {"key": config["key"]}


def test_the_observer_is_told_in_order(ledger: Ledger, witness: Witness) -> None:
    search = searcher(ledger, witness)
    search.suggest("a")
    search.suggest("b")
    search.on_trial_result("b", {"reached": 3})
    search.on_trial_complete("b", {"record": text()})
    search.on_trial_complete("a", {"failed": "why"})
    assert [(kind, number) for kind, number, _ in witness.told] == [
        ("started", 0),
        ("started", 1),
        ("reached", 1),
        ("ended", 1),
        ("ended", 0),
    ]
    assert [what for kind, _, what in witness.told if kind == "ended"] == [None, "why"]


def fail_all(search: LedgerSearcher, most: int) -> int:
    for count in range(most):
        if search.suggest(f"t{count}") == Searcher.FINISHED:
            return count
        search.on_trial_complete(f"t{count}", {"failed": "why"})
    return most


def test_it_gives_up_when_too_many_fail(ledger: Ledger, witness: Witness) -> None:
    search = searcher(ledger, witness, wanted=2)
    assert fail_all(search, 50) == 2 * FAILURES_PER_TRIAL + 1
    assert search.gave_up


def test_a_new_start_gets_its_own_chances(ledger: Ledger, witness: Witness) -> None:
    fail_all(searcher(ledger, witness, wanted=2), 50)
    again = searcher(ledger, witness, wanted=2)
    assert not again.gave_up, "what made them fail, as a full disk, may be mended"
    assert isinstance(again.suggest("t"), dict)


def test_a_search_that_has_all_its_trials_starts_no_cluster(ledger: Ledger, witness: Witness, tmp_path: Path) -> None:
    for _ in range(CONFIG.trials):
        ledger.finish(ledger.ask()[0], record())
    run_search(CONFIG, make_job(), ledger, "study", tmp_path, str(tmp_path), witness)
    assert not ray.is_initialized()
    assert not witness.told


@pytest.fixture
def listening() -> Iterator[int]:
    """A port where somebody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.mark.parametrize("form", ["127.0.0.1:{port}", "ray://127.0.0.1:{port}", "localhost:{port}"])
def test_a_cluster_that_answers_is_let_through(listening: int, form: str) -> None:
    require_answer(form.format(port=listening))


@pytest.mark.parametrize("form", ["127.0.0.1:{port}", "ray://127.0.0.1:{port}", "[::1]:{port}", "127.0.0.1:99999"])
def test_a_cluster_that_is_away_is_told_at_once_with_what_to_do(listening: int, form: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        free = server.getsockname()[1]
    address = form.format(port=free)
    with pytest.raises(UserError, match="RAY_ADDRESS") as caught:
        require_answer(address, patience_s=2.0)
    assert address in str(caught.value)
    assert "unset" in str(caught.value)


@pytest.mark.parametrize("address", ["auto", "local"])
def test_an_address_without_a_port_is_left_to_ray(address: str) -> None:
    require_answer(address)
