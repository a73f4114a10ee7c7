"""Studies of the same parameters and other code: none is dropped in silence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline.common.errors import UserError
from pipeline.search.study.identity import searches
from pipeline.search.study.kept import StudyKey, keep, others
from pipeline.search.study.ledger import Ledger, sqlite
from pipeline.search.study.opening import Opened
from tests.pipeline.search.spaces import obeys, search_config

PARTS = {"seed": 0, "photos": "abc"}
OLD, NEW = StudyKey.of(PARTS, "old code"), StudyKey.of(PARTS, "new code")


def begin(state: Path, key: StudyKey, finished: int) -> str:
    storage = sqlite(state / key.own / "study.db")
    ledger = Ledger(storage, key.own, search_config())
    for _ in range(finished):
        ledger.finish(ledger.ask()[0], {"psnr_db": 25.0, "flops_ratio_m27": 0.1, **obeys()})
    key.mark(storage, key.own)
    return key.own


def test_parameters_and_code_both_name_a_study() -> None:
    assert len({OLD.own, NEW.own, StudyKey.of(PARTS | {"seed": 1}, "old code").own}) == 3
    assert OLD.own == StudyKey.of(dict(PARTS), "old code").own


def test_a_study_of_other_code_is_found_and_one_of_other_parameters_is_not(tmp_path: Path) -> None:
    old = begin(tmp_path, OLD, 2)
    begin(tmp_path, StudyKey.of(PARTS | {"seed": 1}, "old code"), 3)
    begin(tmp_path, StudyKey.of(PARTS, "older code"), 1)
    found = others(NEW, tmp_path, None)
    assert [(other.finished, other.code) for other in found] == [(2, "old code"), (1, "older code")]
    assert found[0].name == old
    assert others(OLD, tmp_path, None)[0].code == "older code"


def test_what_is_kept_is_gone_on_with_until_the_code_changes_again(tmp_path: Path) -> None:
    old = begin(tmp_path, OLD, 1)
    assert NEW.name(tmp_path) == NEW.own
    keep(NEW, others(NEW, tmp_path, None)[0], tmp_path)
    assert NEW.name(tmp_path) == old
    assert StudyKey.of(PARTS, "newer code").name(tmp_path) != old
    assert OLD.name(tmp_path) == old


def test_a_study_says_what_it_was_and_keeps_saying_it(tmp_path: Path) -> None:
    old = begin(tmp_path, OLD, 1)
    storage = sqlite(tmp_path / old / "study.db")
    NEW.mark(storage, old)
    assert others(OLD, tmp_path, None) == []
    assert others(NEW, tmp_path, None)[0].code == "old code"


def test_it_is_told_before_another_begins(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old = begin(tmp_path, OLD, 3)
    Opened(NEW, tmp_path).tell_others()
    said = capsys.readouterr().out
    assert f"Study {old[:8]} has the same parameters and 3 finished trials" in said
    assert "python -m pipeline keep-study" in said
    Opened(StudyKey.of({"seed": 1}, "new code"), tmp_path).tell_others()
    assert capsys.readouterr().out == ""


def test_the_command_keeps_the_study_that_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pipeline.commands import keep_study as command

    state = searches(tmp_path)
    old, older = begin(state, OLD, 2), begin(state, StudyKey.of(PARTS, "older code"), 1)

    def now(*_: Any) -> StudyKey:
        return NEW

    monkeypatch.setattr(command, "study_key", now)
    monkeypatch.setattr(command, "load", lambda _: None)
    assert f"study {old[:8]} is kept: `dvc repro search` goes on with its 2 finished trials" in command.keep_study(
        tmp_path
    )
    assert NEW.name(state) == old
    assert f"study {older[:8]} is kept" in command.keep_study(tmp_path, older[:6])
    assert NEW.name(state) == older
    with pytest.raises(UserError, match="no study whose name begins with 'zzz'"):
        command.keep_study(tmp_path, "zzz")


def test_a_comment_in_what_only_tells_makes_no_other_study() -> None:
    from pipeline.common.keys import RESULT_FOLDERS

    told = ("pipeline/search/driver/reporter.py", "pipeline/tracking/view.py", "pipeline/report/page.py")
    assert not [path for path in told if path.startswith(RESULT_FOLDERS)]
