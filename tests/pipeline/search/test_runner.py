"""What Tune is given and what the ledger is told, without a cluster; tests/slow/test_search.py has a real one."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import optuna
import pytest
import ray
from fsspec.implementations.memory import MemoryFileSystem  # type: ignore[import-untyped]
from optuna.trial import TrialState
from ray.tune.search import Searcher
from sqlalchemy.exc import OperationalError

from pipeline.cluster.report import Report
from pipeline.cluster.store import Store
from pipeline.common.errors import UserError
from pipeline.config import Limits, Stopping
from pipeline.search.driver.budget import Rates, Spending
from pipeline.search.driver.desk import FAILURES_PER_TRIAL
from pipeline.search.driver.observer import Asked, End
from pipeline.search.driver.runner import Judged, LedgerSearcher, run_search
from pipeline.search.study.ledger import Ledger, sqlite
from pipeline.search.study.retry import Patience
from pipeline.search.study.space import Point
from pipeline.search.trial.trial import trial_key
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

    def reached(self, asked: Asked, report: Report) -> None:
        self.told.append(("reached", asked.number, report))

    def ended(self, asked: Asked, record: dict[str, Any], end: End, reason: str | None) -> None:
        self.told.append((end, asked.number, reason))


@pytest.fixture
def ledger() -> Ledger:
    return Ledger(optuna.storages.InMemoryStorage(), "study", CONFIG)


@pytest.fixture(autouse=True)
def empty_store() -> Iterator[None]:
    """What is in memory stays there from test to test."""
    yield
    MemoryFileSystem.store.clear()


@pytest.fixture
def witness() -> Witness:
    return Witness()


def spending(before_usd: float = 0.0, under_way_usd: Mapping[int, float] | None = None, **limits: float) -> Spending:
    rates = Rates(cpu_hour_usd=3.6, gpu_hour_usd=36.0)
    return Spending(rates, Limits(**({"hours": None, "usd": None} | limits)), before_usd, under_way_usd=under_way_usd)


def searcher(ledger: Ledger, witness: Witness, wanted: int = 3, **changes: Any) -> LedgerSearcher:
    spent = changes.pop("spending", spending())
    config = replace(CONFIG, trials=wanted, seed=7, **changes)
    return LedgerSearcher(config, ledger, Store("memory://store", "study"), spent, witness)


class AllAsked(Witness):
    """Keeps the trials that were handed out."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[Asked] = []

    def started(self, asked: Asked) -> None:
        self.asked.append(asked)


@pytest.mark.parametrize("had_ended", [True, False])
def test_a_trial_whose_end_a_killed_driver_did_not_hear_of_is_known_as_ended(had_ended: bool, tmp_path: Path) -> None:
    storage, witness = optuna.storages.InMemoryStorage(), AllAsked()
    number, point = Ledger(storage, "study", CONFIG).ask()
    store = Store("memory://store", "study")
    key = trial_key("study", number, point, 7)
    if had_ended:
        store.put(key, tmp_path, {"record": text()})
    else:
        store.keep(key, 30, b"checkpoint")
    search = searcher(Ledger(storage, "study", CONFIG), witness)
    search.suggest("again")
    search.suggest("new")
    assert [(asked.had_ended, asked.reached) for asked in witness.asked] == [
        (had_ended, 0 if had_ended else 30),
        (False, 0),
    ]


def test_a_trial_s_config_is_all_that_a_worker_needs(ledger: Ledger, witness: Witness) -> None:
    config = searcher(ledger, witness).suggest("t")
    assert isinstance(config, dict)
    assert set(config) == {"number", "key", "seed", "point", "store", "study", "scored"}
    assert config["key"] == trial_key("study", 0, Point(**config["point"]), 7)
    assert (config["number"], config["seed"], config["store"]) == (0, 7, "memory://store")


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
    assert witness.told[-1] == ("failed", 0, row["reason"])
    blamed = not reason.startswith("the worker died")
    assert ledger._sampler.seen()[0].state == (TrialState.PRUNED if blamed else TrialState.FAIL)
    assert isinstance(search.suggest("b"), dict)
    search.on_trial_complete("b", {"record": text()})
    assert search.suggest("c") == Searcher.FINISHED


def test_a_finished_trial_keeps_its_key_with_its_figures(ledger: Ledger, witness: Witness) -> None:
    search = searcher(ledger, witness)
    config = search.suggest("a")
    assert isinstance(config, dict)
    search.on_trial_complete("a", {"record": text(26.0), "done": True})
    (row,) = ledger.records()
    assert row["metrics"] == record(26.0) | {"key": config["key"], "usd": 0.0}


def test_the_observer_is_told_in_order(ledger: Ledger, witness: Witness) -> None:
    search = searcher(ledger, witness)
    search.suggest("a")
    search.suggest("b")
    assert search.judge("b", {"reached": 3})
    search.on_trial_complete("b", {"record": text()})
    search.on_trial_complete("a", {"failed": "why"})
    assert [(kind, number) for kind, number, _ in witness.told] == [
        ("started", 0),
        ("started", 1),
        ("reached", 1),
        ("finished", 1),
        ("failed", 0),
    ]
    assert [reason for _, _, reason in witness.told[-2:]] == [None, "why"]


def rung(psnr_db: float, flops: float, seconds: float = 1.0) -> dict[str, Any]:
    """A scored rung as a worker sends it."""
    score = {"psnr_db": psnr_db, "flops_ratio_m27": flops}
    spent = {"cpu_seconds": seconds, "gpu_seconds": 0.0}
    return {"reached": 30, "rung": 3, "score": json.dumps(score), "spent": json.dumps(spent)}


def test_a_trial_that_others_dominate_is_stopped_and_counts(ledger: Ledger, witness: Witness) -> None:
    search = searcher(ledger, witness, wanted=3, stopping=Stopping(rungs=(0.3,), keep=0.5))
    for name in "abc":
        search.suggest(name)
    assert search.judge("a", rung(25.0, 0.1))
    assert not search.judge("b", rung(24.0, 0.2)), "worse in both"
    search.on_trial_complete("b", rung(24.0, 0.2))
    assert search.judge("c", rung(24.0, 0.05)), "cheaper"
    assert witness.told[-2][:2] == ("stopped", 1)
    assert (ledger.stopped, ledger.running, ledger.done) == (1, 2, 1)
    (row,) = ledger.records()
    assert (row["metrics"]["psnr_db"], row["metrics"]["usd"]) == (24.0, pytest.approx(1e-3))
    for name in "ac":
        search.on_trial_complete(name, {"record": text()})
    assert search.suggest("d") == Searcher.FINISHED


def test_a_trial_is_judged_among_the_last_that_reached_its_rung(
    ledger: Ledger, witness: Witness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.search.driver.desk.RIVALS", 2)
    search = searcher(ledger, witness, wanted=9, stopping=Stopping(rungs=(0.3,), keep=0.5))
    for name, psnr_db, good in (("a", 25.0, True), ("b", 24.0, False), ("c", 23.0, False), ("d", 24.5, True)):
        search.suggest(name)
        assert search.judge(name, rung(psnr_db, 0.1)) is good, name


def test_the_trial_that_was_asked_for_first_begins_first(ledger: Ledger, witness: Witness) -> None:
    """Of those that wait, whatever order Tune holds them in."""

    def trial(number: int, status: str) -> Any:
        return SimpleNamespace(config={"number": number}, status=status)

    live = [trial(4, "PENDING"), trial(0, "RUNNING"), trial(3, "PENDING")]
    judged = Judged(searcher(ledger, witness))
    tune: Any = SimpleNamespace(get_live_trials=lambda: live)
    assert judged.choose_trial_to_run(tune) is live[2]
    live.clear()
    assert judged.choose_trial_to_run(tune) is None


def test_a_limit_puts_the_running_down_and_asks_for_no_more(ledger: Ledger, witness: Witness) -> None:
    spent = spending(before_usd=0.5, usd=1.0)
    search = searcher(ledger, witness, spending=spent)
    search.suggest("a")
    search.suggest("b")
    assert search.judge("a", {"reached": 3, "spent": json.dumps({"cpu_seconds": 400.0})})
    assert not search.judge("b", {"reached": 3, "spent": json.dumps({"cpu_seconds": 100.0})})
    search.on_trial_complete("b", {})
    assert witness.told[-1][0] == "suspended"
    assert search.suggest("c") == Searcher.FINISHED
    assert (ledger.running, ledger.done) == (2, 0), "it can be taken up again"


def test_what_put_down_trials_cost_counts_in_the_next_search_once(witness: Witness, tmp_path: Path) -> None:
    def begin(usd: float) -> tuple[LedgerSearcher, Ledger, Spending]:
        ledger = Ledger(sqlite(tmp_path / "study.db"), "study", CONFIG)
        spent = spending(usd=usd, under_way_usd={n: cost["usd"] for n, cost in ledger.under_way.items()})
        return searcher(ledger, witness, spending=spent), ledger, spent

    search, _, _ = begin(1.0)
    for name in "ab":
        search.suggest(name)
        search.judge(name, {"reached": 3, "spent": json.dumps({"cpu_seconds": 600.0})})
    for name in "ab":
        assert not search.judge(name, {"reached": 6, "spent": json.dumps({"cpu_seconds": 600.0})})
        search.on_trial_complete(name, {})
    search, _, spent = begin(1.0)
    assert spent.usd == pytest.approx(1.2)
    assert search.suggest("a") == Searcher.FINISHED, "the same limit trains nothing more"
    search, ledger, spent = begin(2.0)
    search.suggest("a")
    assert search.judge("a", {"reached": 6, "spent": json.dumps({"cpu_seconds": 700.0})})
    assert spent.usd == pytest.approx(1.3)
    search.suggest("b")
    search.on_trial_complete("b", None, error=True)
    (row,) = ledger.records()
    assert (row["state"], row["metrics"]["usd"]) == ("failed", pytest.approx(0.6))
    assert spent.usd == pytest.approx(1.3)


def test_what_nobody_wants_any_more_ends_for_the_study_the_tracker_and_the_store(
    witness: Witness, tmp_path: Path
) -> None:
    first = Ledger(sqlite(tmp_path / "study.db"), "study", CONFIG)
    first.finish(first.ask()[0], record())
    config = searcher(first, witness, wanted=2).suggest("a")
    assert isinstance(config, dict)
    first.put_down(1, {"cpu_seconds": 600.0, "usd": 0.6})
    store = Store("memory://store", "study")
    store.keep(config["key"], 30, b"checkpoint")
    ledger = Ledger(sqlite(tmp_path / "study.db"), "study", CONFIG)
    run_search(replace(CONFIG, trials=1, seed=7), make_job(), ledger, tmp_path, store, spending(), witness)
    assert (ledger.running, ledger.failed, store.reached(config["key"])) == (0, 1, 0)
    assert witness.told[-1] == ("failed", 1, "not wanted any more")
    assert ledger.records()[1]["metrics"]["usd"] == pytest.approx(0.6)


def test_a_limit_reached_before_the_start_asks_for_nothing(ledger: Ledger, witness: Witness) -> None:
    search = searcher(ledger, witness, spending=spending(before_usd=2.0, usd=1.0))
    assert search.suggest("a") == Searcher.FINISHED


def died(search: LedgerSearcher, ledger: Ledger) -> dict[str, Any]:
    """A trial whose worker died after a report: its row."""
    search.suggest("a")
    search.judge("a", {"reached": 3, "spent": json.dumps({"cpu_seconds": 500.0})})
    search.died("a", "RuntimeError: CUDA out of memory")
    search.on_trial_complete("a", None, error=True)
    (row,) = ledger.records()
    return row


def test_what_a_dead_trial_cost_counts_and_what_it_died_of_is_told(ledger: Ledger, witness: Witness) -> None:
    spent = spending(usd=0.6)
    row = died(searcher(ledger, witness, spending=spent), ledger)
    assert row["reason"] == "the worker died or raised: RuntimeError: CUDA out of memory"
    assert (row["metrics"]["usd"], spent.usd) == (pytest.approx(0.5), pytest.approx(0.5))


@pytest.mark.parametrize(
    ("text", "cause"),
    [("Traceback\n  File x\nRuntimeError: no memory\n\n", ": RuntimeError: no memory"), ("", ""), (None, "")],
)
def test_what_tune_wrote_of_an_error_is_handed_on(
    ledger: Ledger, witness: Witness, tmp_path: Path, text: str | None, cause: str
) -> None:
    if text is not None:
        (tmp_path / "error.txt").write_text(text)
    search = searcher(ledger, witness)
    search.suggest("a")
    trial: Any = SimpleNamespace(trial_id="a", error_file=str(tmp_path / "error.txt"))
    Judged(search).on_trial_error(None, trial)
    search.on_trial_complete("a", None, error=True)
    assert witness.told[-1] == ("failed", 0, f"the worker died or raised{cause}")


def test_a_trial_whose_workers_never_reached_the_store_goes_on_another_time(ledger: Ledger, witness: Witness) -> None:
    spent = spending()
    search = searcher(ledger, witness, spending=spent)
    for name in "ab":
        search.suggest(name)
    costs = {"spent": json.dumps({"cpu_seconds": 500.0})}
    assert search.judge("a", {"reached": 3, **costs})
    assert search.judge("a", {"away": "no bucket", **costs})
    assert witness.told[-1][0] == "reached"
    search.died("a", "pipeline.cluster.store.StoreAway: cannot use the store s3://b: check it")
    search.on_trial_complete("a", None, error=True)
    assert witness.told[-1] == ("suspended", 0, "cannot use the store s3://b: check it")
    assert (ledger.failed, spent.usd) == (0, pytest.approx(0.5))
    assert search.trouble == (
        "cannot use the store s3://b: check it; what is trained lies there, and the same command goes on"
    )
    assert not search.judge("b", {"reached": 3}), "the others are suspended too"
    assert search.suggest("c") == Searcher.FINISHED


def test_a_report_that_says_nothing_of_costs_takes_none_away(ledger: Ledger, witness: Witness) -> None:
    spent = spending()
    search = searcher(ledger, witness, spending=spent)
    search.suggest("a")
    search.judge("a", {"reached": 3, "spent": json.dumps({"cpu_seconds": 500.0})})
    search.judge("a", {"away": "its next worker cannot reach the store"})
    assert spent.usd == pytest.approx(0.5)


def test_the_driver_asks_on_while_it_cannot_see_the_store_itself(
    ledger: Ledger, witness: Witness, tmp_path: Path
) -> None:
    (tmp_path / "store").write_text("no folder")
    away = Store(str(tmp_path / "store"), "study")
    search = LedgerSearcher(replace(CONFIG, trials=1), ledger, away, spending(), witness)
    assert isinstance(search.suggest("a"), dict)
    assert search.judge("a", {"reached": 3, "kept": True}), "it may be seen at the next rung"
    search.on_trial_complete("a", {"failed": "dead slider"})
    assert (ledger.failed, search.trouble) == (1, None)


@pytest.mark.parametrize("when", ["asked", "judged", "told"])
def test_a_study_that_is_away_puts_the_trials_down(ledger: Ledger, witness: Witness, when: str) -> None:
    search = searcher(ledger, witness, stopping=Stopping(rungs=(0.3,), keep=0.5))
    search.suggest("a")
    search.suggest("b")

    def away(again: bool) -> None:
        raise OperationalError("COMMIT", {}, Exception("connection refused"))

    def patience(call: Any) -> Any:
        return Patience(0.0, 0.0)(away)

    ledger._patience = patience  # type: ignore[assignment]
    if when == "asked":
        assert search.suggest("c") == Searcher.FINISHED
    elif when == "judged":
        assert not search.judge("a", rung(25.0, 0.1))
    else:
        search.on_trial_complete("a", {"record": text()})
    assert search.trouble is not None
    assert "the study's database cannot be used (connection refused)" in search.trouble
    assert not search.judge("b", {"reached": 3})
    assert search.suggest("d") == Searcher.FINISHED


@pytest.mark.parametrize("end", ["failed", "stopped"])
def test_an_end_without_a_network_leaves_no_checkpoint(ledger: Ledger, witness: Witness, end: str) -> None:
    search = searcher(ledger, witness, stopping=Stopping(rungs=(0.3,), keep=0.5))
    store = Store("memory://store", "study")
    keys: dict[str, str] = {}
    for name in "ab":
        config = search.suggest(name)
        assert isinstance(config, dict)
        store.keep(keys.setdefault(name, config["key"]), 30, b"checkpoint")
    if end == "stopped":
        assert search.judge("a", rung(25.0, 0.1))
        assert not search.judge("b", rung(24.0, 0.2))
    search.on_trial_complete("b", rung(24.0, 0.2), error=end == "failed")
    assert witness.told[-1][0] == end
    assert [store.reached(keys[name]) for name in "ab"] == [30, 0]


def test_the_observer_knows_of_an_end_before_the_ledger(ledger: Ledger) -> None:
    """So a driver that is killed between the two tells it again, in place of never."""

    class Killed(Witness):
        def ended(self, *told: Any) -> None:
            raise KeyboardInterrupt

    search = searcher(ledger, Killed())
    search.suggest("a")
    with pytest.raises(KeyboardInterrupt):
        search.on_trial_complete("a", {"record": text()})
    assert (ledger.done, ledger.running) == (0, 1)


def test_a_trial_whose_driver_died_between_its_score_and_its_end_is_stopped_by_the_next(
    witness: Witness, tmp_path: Path
) -> None:
    def begin() -> tuple[LedgerSearcher, Ledger]:
        ledger = Ledger(sqlite(tmp_path / "study.db"), "study", CONFIG)
        return searcher(ledger, witness, stopping=Stopping(rungs=(0.3,), keep=0.5)), ledger

    search, ledger = begin()
    search.suggest("a")
    assert search.judge("a", rung(25.0, 0.1))
    search.on_trial_complete("a", {"record": text()})
    config = search.suggest("b")
    assert isinstance(config, dict)
    assert not search.judge("b", rung(24.0, 0.2)), "this is in the study, and what follows is not"
    search, ledger = begin()
    assert search.suggest("b") == config, "the worker tells its score again"
    assert not search.judge("b", rung(24.0, 0.2))
    search.on_trial_complete("b", rung(24.0, 0.2))
    assert (ledger.finished, ledger.stopped) == (1, 1)


def test_checkpoints_that_the_driver_cannot_see_end_the_search(ledger: Ledger, witness: Witness) -> None:
    search = searcher(ledger, witness)
    config = search.suggest("a")
    assert isinstance(config, dict)
    assert not search.judge("a", {"reached": 3, "kept": True})
    search.on_trial_complete("a", {})
    assert witness.told[-1][0] == "suspended"
    assert search.suggest("b") == Searcher.FINISHED
    assert "TATSNET_STORE" in str(search.trouble)


def test_one_checkpoint_that_the_driver_sees_is_enough(ledger: Ledger, witness: Witness) -> None:
    search = searcher(ledger, witness)
    config = search.suggest("a")
    assert isinstance(config, dict)
    Store("memory://store", "study").keep(config["key"], 3, b"checkpoint")
    assert search.judge("a", {"reached": 3, "kept": True})
    Store("memory://store", "study").forget(config["key"])
    assert search.judge("a", {"reached": 6, "kept": True})


def test_a_search_without_any_network_says_so(ledger: Ledger, witness: Witness, tmp_path: Path) -> None:
    for _ in range(CONFIG.trials):
        ledger.stop(ledger.ask()[0], record())
    with pytest.raises(UserError, match="stopped early, so that there is no network"):
        run_search(CONFIG, make_job(), ledger, tmp_path, Store(str(tmp_path), "study"), spending(), witness)


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
    run_search(CONFIG, make_job(), ledger, tmp_path, Store(str(tmp_path), "study"), spending(), witness)
    assert not ray.is_initialized()
    assert not witness.told
