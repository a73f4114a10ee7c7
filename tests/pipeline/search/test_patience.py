"""A study whose database is locked, forgets to answer, or stays away: nothing is doubled, and the end is a sentence."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial
from sqlalchemy.exc import OperationalError

from pipeline.search.study.ledger import Ledger
from pipeline.search.study.retry import Patience, StudyAway
from tests.pipeline.search.test_ledger import CONFIG, record


def open_storage(path: Path, kind: type[RDBStorage] = RDBStorage) -> RDBStorage:
    return kind(f"sqlite:///{path}", engine_kwargs={"connect_args": {"timeout": 0.05}})


@contextmanager
def locked(path: Path, seconds: float = 60.0) -> Iterator[None]:
    """Nobody else may read or write for so long, or until the block ends."""
    over, holds = threading.Event(), threading.Event()

    def hold() -> None:
        with closing(sqlite3.connect(path)) as other:
            other.execute("BEGIN EXCLUSIVE")
            holds.set()
            over.wait(seconds)

    holder = threading.Thread(target=hold)
    holder.start()
    assert holds.wait(10)
    yield
    over.set()
    holder.join()


class Forgetful(RDBStorage):
    """Does what it is asked, and then says that it did not, each kind of thing once."""

    said: set[str]

    def forget(self, what: str) -> None:
        self.said = getattr(self, "said", set())
        if what not in self.said:
            self.said.add(what)
            raise OperationalError("COMMIT", {}, Exception("server closed the connection unexpectedly"))

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        made = super().create_new_trial(study_id, template_trial)
        self.forget("create")
        return made

    def set_trial_state_values(self, *arguments: Any) -> bool:
        done = super().set_trial_state_values(*arguments)
        self.forget("end")
        return done

    def set_trial_user_attr(self, *arguments: Any) -> None:
        super().set_trial_user_attr(*arguments)
        self.forget("attribute")


def test_a_database_that_is_away_for_a_while_is_waited_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "study.db"
    ledger = Ledger(open_storage(path), "study", CONFIG, patience=Patience(20.0, 0.05))
    with locked(path, 0.5):
        number, _ = ledger.ask()
    with locked(path, 1.0):
        ledger.finish(number, record())
    assert "waits for the study's database, 20 s at most: database is locked" in capsys.readouterr().out
    (row,) = Ledger(open_storage(path), "study", CONFIG).records()
    assert (row["number"], row["state"]) == (0, "finished")


def test_what_was_done_and_not_said_is_not_done_twice(tmp_path: Path) -> None:
    path = tmp_path / "study.db"
    ledger = Ledger(open_storage(path, Forgetful), "study", CONFIG, patience=Patience(20.0, 0.0))
    assert ledger.ask()[0] == 0
    ledger.finish(0, record())
    assert ledger.ask()[0] == 1
    again = Ledger(open_storage(path), "study", CONFIG)
    assert [row["state"] for row in again.records()] == ["finished"]
    assert again.ask()[0] == 1


def test_one_that_stays_away_is_told_in_a_sentence_and_not_waited_for_again(tmp_path: Path) -> None:
    path = tmp_path / "study.db"
    ledger = Ledger(open_storage(path), "study", CONFIG, patience=Patience(0.2, 0.05))
    number, _ = ledger.ask()
    with locked(path):
        for _ in range(2):
            with pytest.raises(StudyAway, match=r"cannot be used \(database is locked\): .* the same command goes on"):
                ledger.finish(number, record())
    assert Ledger(open_storage(path), "study", CONFIG).ask()[0] == number


def test_other_errors_are_not_its_business() -> None:
    def broken(again: bool) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        Patience()(broken)
