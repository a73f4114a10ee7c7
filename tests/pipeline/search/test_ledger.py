"""Laws of the ledger, on real SQLite files: nothing asked for is lost, nothing counts twice, a study goes on."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import Trial

from pipeline.common.errors import UserError
from pipeline.config import Space
from pipeline.search.study.ledger import Ledger, sqlite
from pipeline.search.study.space import Point, sample
from tests.pipeline.search.spaces import obeys, search_config, space, suggestion

SUGGESTIONS = (
    suggestion(lambda1=1e-3),
    suggestion("TSNet", lambda1=2e-3),
    suggestion(lambda1=3e-3, lambda2=0.1, gamma=0.85),
)
CONFIG = search_config(space=space(), suggestions=SUGGESTIONS)
OPEN_AT = """
import sys, time
from pathlib import Path
from pipeline.search.study.ledger import sqlite
time.sleep(max(0.0, float(sys.argv[2]) - time.time()))
sqlite(Path(sys.argv[1]))
"""


def record(psnr_db: float = 25.0, flops: float = 0.1) -> dict[str, Any]:
    return {"psnr_db": psnr_db, "flops_ratio_m27": flops, **obeys()}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "study.db"


def open_ledger(path: Path, name: str = "study", **changes: Any) -> Ledger:
    return Ledger(sqlite(path), name, search_config(space=space(), **({"suggestions": SUGGESTIONS} | changes)))


def test_suggestions_are_asked_first_and_in_order(path: Path) -> None:
    ledger = open_ledger(path)
    asked = [ledger.ask() for _ in range(4)]
    assert [number for number, _ in asked] == [0, 1, 2, 3]
    assert [point.lambda1 for _, point in asked[:3]] == [1e-3, 2e-3, 3e-3]
    assert [point.variant for _, point in asked[:3]] == ["TA+TSNet", "TSNet", "TA+TSNet"]
    assert asked[3][1].lambda1 not in (1e-3, 2e-3, 3e-3)


def test_counts_follow_what_is_told(path: Path) -> None:
    ledger = open_ledger(path)
    numbers = [ledger.ask()[0] for _ in range(4)]
    assert (ledger.finished, ledger.running, ledger.failed) == (0, 4, 0)
    ledger.finish(numbers[0], record())
    ledger.fail(numbers[1], "diverged: the loss became nan")
    ledger.finish(numbers[3], record())
    assert (ledger.finished, ledger.running, ledger.failed) == (2, 1, 1)


def test_records_hold_every_ended_trial_with_its_point_reason_and_figures(path: Path) -> None:
    ledger = open_ledger(path)
    for _ in range(3):
        ledger.ask()
    ledger.finish(1, record(26.0))
    ledger.fail(0, "dead slider: denoise", record(20.0))
    rows = ledger.records()
    assert [(row["number"], row["state"], row["reason"]) for row in rows] == [
        (0, "failed", "dead slider: denoise"),
        (1, "finished", None),
    ]
    assert rows[0]["metrics"] == record(20.0)
    assert rows[1]["metrics"] == record(26.0)
    assert Point(**{name: rows[1][name] for name in ("variant", "lambda1", "lambda2", "gamma")}).lambda1 == 2e-3


def test_a_failed_trial_needs_no_figures(path: Path) -> None:
    ledger = open_ledger(path)
    ledger.fail(ledger.ask()[0], "the worker died or raised")
    assert ledger.records()[0]["metrics"] == {}


def test_what_was_running_is_handed_out_again_under_its_number(path: Path) -> None:
    before = open_ledger(path)
    asked = [before.ask() for _ in range(5)]
    before.finish(asked[0][0], record())

    after = open_ledger(path)
    assert (after.finished, after.running, after.failed) == (1, 0, 0)
    assert [after.ask() for _ in range(4)] == asked[1:]
    assert after.running == 4
    assert after.ask()[0] == 5


def study(path: Path) -> optuna.Study:
    """What stands in the file."""
    return optuna.load_study(study_name="study", storage=sqlite(path))


def drawn(path: Path) -> list[dict[str, Any]]:
    return [{"number": trial.number, "params": trial.params} for trial in study(path).trials]


def die_before_drawing(trial: Trial, space: Space, variants: Sequence[str]) -> Point:
    raise KeyboardInterrupt


def die_while_drawing(trial: Trial, space: Space, variants: Sequence[str]) -> Point:
    trial.suggest_categorical("variant", list(variants))
    raise KeyboardInterrupt


def die_after_drawing(trial: Trial, space: Space, variants: Sequence[str]) -> Point:
    sample(trial, space, variants)
    raise KeyboardInterrupt


@pytest.mark.parametrize("die", [die_before_drawing, die_while_drawing, die_after_drawing])
def test_an_interrupted_study_asks_for_what_an_uninterrupted_one_does(
    tmp_path: Path, die: Callable[..., Point], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sampler of each trial is made anew from its number: nothing of it lives in the process."""

    def search(name: str, interrupted_at: tuple[int, ...]) -> list[dict[str, Any]]:
        for index in range(8):
            ledger = open_ledger(tmp_path / name, suggestions=SUGGESTIONS[:1])
            if index in interrupted_at:
                with monkeypatch.context() as patch:
                    patch.setattr("pipeline.search.study.sampler.sample", die)
                    with pytest.raises(KeyboardInterrupt):
                        ledger.ask()
                ledger = open_ledger(tmp_path / name, suggestions=SUGGESTIONS[:1])
            number, _ = ledger.ask()
            ledger.finish(number, record(20 + index % 3, 0.1 + 0.01 * index))
        return drawn(tmp_path / name)

    assert search("cut", (0, 3, 6)) == search("whole", ())


def test_what_a_trial_had_cost_is_kept_for_whoever_goes_on(path: Path) -> None:
    first = open_ledger(path)
    for _ in range(3):
        first.ask()
    first.put_down(0, {"usd": 2.0})
    first.put_down(2, {"usd": 3.0})
    assert first.under_way == {0: {"usd": 2.0}, 2: {"usd": 3.0}}
    ledger = open_ledger(path)
    assert ledger.under_way == {0: {"usd": 2.0}, 1: {}, 2: {"usd": 3.0}}
    assert [number for number, _ in ledger.left()] == [0, 1, 2]
    ledger.finish(0, record())
    assert (ledger.under_way, ledger.left()) == ({1: {}, 2: {"usd": 3.0}}, [])


def test_a_stopped_trial_counts_and_stands_for_no_network(path: Path) -> None:
    ledger = open_ledger(path)
    number, _ = ledger.ask()
    ledger.stop(number, record(24.0))
    assert (ledger.finished, ledger.stopped, ledger.done, ledger.failed) == (0, 1, 1, 0)
    assert [(row["state"], row["metrics"]) for row in ledger.records()] == [("stopped", record(24.0))]
    assert not study(path).best_trials
    for _ in range(8):  # the sampler bears with it
        number, _ = ledger.ask()
        ledger.finish(number, record())


def test_scores_of_a_rung_are_those_of_all_that_reached_it(path: Path) -> None:
    ledger = open_ledger(path)
    for number in range(3):
        ledger.ask()
        assert len(ledger.score(number, 3, [-20.0 - number, 0.1])) == number + 1
    assert ledger.score(1, 6, [-25.0, 0.2]) == {1: [-25.0, 0.2]}
    assert open_ledger(path).score(2, 3, [-30.0, 0.3]) == {0: [-20.0, 0.1], 1: [-21.0, 0.1], 2: [-30.0, 0.3]}


def test_failed_trials_are_no_rivals(path: Path) -> None:
    ledger = open_ledger(path)
    for number in range(3):
        ledger.ask()
        ledger.score(number, 3, [-20.0 - number, 0.1])
    ledger.fail(0, "dead slider: denoise")
    assert set(ledger.score(2, 3, [-22.0, 0.1])) == set(open_ledger(path).score(2, 3, [-22.0, 0.1])) == {1, 2}


def test_a_death_before_all_suggestions_were_asked_loses_none(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    enqueue, calls = optuna.Study.enqueue_trial, []

    def die(study: optuna.Study, *arguments: Any, **options: Any) -> None:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        enqueue(study, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(optuna.Study, "enqueue_trial", die)
        ledger = open_ledger(path)
        ledger.ask()
        with pytest.raises(KeyboardInterrupt):
            ledger.ask()
    ledger = open_ledger(path)
    assert [ledger.ask()[1].lambda1 for _ in range(3)] == [1e-3, 2e-3, 3e-3]


def test_what_the_sampler_sees_is_what_stands_in_the_study(path: Path) -> None:
    """Its copy in memory, kept while searching, equals the one that is made from the file."""
    ledger = open_ledger(path)
    for index in range(8):
        number, _ = ledger.ask()
        ends = (
            lambda number: ledger.finish(number, record(20.0 + number)),
            lambda number: ledger.stop(number, record()),
            lambda number: ledger.fail(number, "the worker died"),
        )
        if index < 7:
            ends[index % 3](number)

    def seen(ledger: Ledger) -> list[Any]:
        trials = ledger._sampler.seen().items()
        return [(number, t.state, t.params, t.distributions, t.values) for number, t in trials]

    assert seen(ledger) == seen(open_ledger(path))
    assert seen(ledger) == [(t.number, t.state, t.params, t.distributions, t.values) for t in study(path).trials]


def test_a_second_writer_of_the_same_study_is_refused(path: Path) -> None:
    one, other = open_ledger(path), open_ledger(path)
    one.ask()
    with pytest.raises(UserError, match="another search writes into it"):
        other.ask()
    again = open_ledger(path)
    assert [again.ask()[0] for _ in range(3)] == [0, 1, 2]  # and nothing is lost by it


def test_a_reopened_study_goes_on(path: Path) -> None:
    for expected in range(3):
        ledger = open_ledger(path)
        assert ledger.finished == expected
        number, point = ledger.ask()
        assert point.lambda1 == SUGGESTIONS[expected].lambda1
        ledger.finish(number, record())
    assert len(open_ledger(path).records()) == 3


def test_the_exact_number_is_reached_whatever_dies(path: Path) -> None:
    wanted, rounds = 6, 0
    while (ledger := open_ledger(path)).finished < wanted:
        rounds += 1
        numbers = [ledger.ask()[0] for _ in range(min(2, wanted - ledger.finished))]
        if rounds % 3:
            ledger.finish(numbers[0], record(20 + rounds))
    assert ledger.finished == len(ledger.records()) == wanted


def test_two_studies_in_one_file_know_nothing_of_each_other(path: Path) -> None:
    first, second = open_ledger(path, "a"), open_ledger(path, "b")
    first.finish(first.ask()[0], record())
    assert (first.finished, second.finished) == (1, 0)


@pytest.mark.parametrize("seed", [0, 7])
def test_the_same_seed_asks_for_the_same_points(tmp_path: Path, seed: int) -> None:
    def asked(name: str) -> list[Point]:
        ledger = open_ledger(tmp_path / name, seed=seed, suggestions=())
        points = []
        for index in range(6):
            number, point = ledger.ask()
            ledger.finish(number, record(20 + index, 0.1 + 0.01 * index))
            points.append(point)
        return points

    assert asked("a.db") == asked("b.db")


def test_another_seed_asks_for_others(tmp_path: Path) -> None:
    one, other = (open_ledger(tmp_path / f"{s}.db", seed=s, suggestions=()).ask()[1] for s in (0, 1))
    assert one != other


@pytest.mark.parametrize(
    ("objectives", "values"),
    [(("flops",), [25.0, 0.1]), (("latency",), [25.0, 0.3]), (("flops", "latency"), [25.0, 0.1, 0.3])],
    ids=["flops", "latency", "both"],
)
def test_the_study_has_one_value_per_objective_after_the_psnr(
    path: Path, objectives: tuple[str, ...], values: list[float]
) -> None:
    ledger = open_ledger(path, objectives=objectives)
    for _ in range(5):  # more than are drawn at random, so that the sampler sees the values
        number, _ = ledger.ask()
        ledger.finish(number, record() | {"latency_ratio_m27": 0.3})
    assert study(path).trials[0].values == values
    assert [direction.name for direction in study(path).directions] == ["MAXIMIZE"] + ["MINIMIZE"] * len(objectives)
    assert open_ledger(path, objectives=objectives).finished == 5


KILLED = """
import os, signal, sys
from contextlib import closing
from pathlib import Path
from pipeline.search.study.ledger import Ledger, sqlite
from tests.pipeline.search.test_ledger import CONFIG, record

ledger = Ledger(sqlite(Path(sys.argv[1])), "study", CONFIG)
for _ in range(3):
    ledger.ask()
ledger.finish(1, record())
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_process_leaves_a_study_that_goes_on(root: Path, path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(path)],
        cwd=root,
        env=os.environ | {"PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    ledger = open_ledger(path)
    assert (ledger.finished, ledger.running, ledger.failed) == (1, 0, 0)
    assert [ledger.ask()[1].lambda1 for _ in range(2)] == [1e-3, 3e-3]


@pytest.mark.parametrize("content", [b"no database" * 100, b""])
def test_a_study_that_is_none_is_one_message(tmp_path: Path, content: bytes) -> None:
    study = tmp_path / "study.db"
    study.write_bytes(content)
    if content:
        with pytest.raises(UserError, match=r"cannot be opened .*moved away, the search begins a new one"):
            sqlite(study)
    else:
        sqlite(study)


def test_a_study_of_another_version_of_optuna_is_one_message(tmp_path: Path) -> None:
    sqlite(tmp_path / "study.db")
    with closing(sqlite3.connect(tmp_path / "study.db")) as db, db:
        db.execute("UPDATE alembic_version SET version_num = 'v0'")
    with pytest.raises(UserError, match="cannot be opened"):
        sqlite(tmp_path / "study.db")


def test_processes_that_open_a_new_study_at_the_same_moment_all_get_it(tmp_path: Path) -> None:
    """Optuna makes its tables without a lock."""
    command = [sys.executable, "-c", OPEN_AT, str(tmp_path / "study.db"), str(time.time() + 6)]
    opening = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    assert [(process.communicate(timeout=120)[1], process.returncode) for process in opening] == [("", 0)] * 3


def test_a_trial_that_another_process_holds_is_not_handed_out_and_counts_as_running(path: Path) -> None:
    first = open_ledger(path)
    for _ in range(2):
        first.ask()
    second = Ledger(sqlite(path), "study", CONFIG, is_held=lambda number: number == 0)
    assert (second.held, second.running) == ([0], 1)
    assert [second.ask()[0] for _ in range(2)] == [1, 2], "the dead process's trial, then a new one"
    assert second.running == 3
