"""Workers without Ray that share a study, one of which dies: each trial is held by one, and the count stays exact."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.profiles.tiny import tiny_profile
from tests.slow.searches import FOLDER, TOLD, Search, kept, kill, searching, staging, trials

pytestmark = [pytest.mark.slow, pytest.mark.long, pytest.mark.timeout(300)]


def rungs(worker: Search) -> list[tuple[str, str]]:
    """Trial and iteration of every rung that it told."""
    return [(match[1], match[2]) for match in map(TOLD.match, worker.lines) if match]


def test_a_killed_workers_trial_goes_on_with_another_and_the_search_takes_up_the_study(
    project: Path, root: Path
) -> None:
    tiny_profile(project / "params.yaml", FOLDER | {"search.trials": 3, "search.schedule.iterations": 1500})
    with staging("worker", project, root) as first, staging("worker", project, root) as second:
        first.until(r"trial \d  300/1500")
        second.until(r"trial \d  150/1500")
        with searching(project, root) as search:
            assert search.end() == 2
            assert "workers (`python -m pipeline worker`) train 2 trials of this study" in search.errors()
        kill(first)
        assert second.end(200) == 0, second.told()
        assert "3 of 3 trials done, 0 running, 0 failed" in second.told()
        assert not second.errors()
        told = rungs(first) + rungs(second)
        assert len(told) - len(set(told)) <= 1, "no rung is trained twice but the one that was cut"
        assert {number for number, _ in told} == {"0", "1", "2"}
        assert any("goes on from iteration" in line for line in second.lines)
    with searching(project, root) as search:
        assert search.end() == 0, search.told()
        assert not rungs(search), "nothing is trained again"
    assert [(row["number"], row["state"]) for row in trials(project)] == [(n, "finished") for n in range(3)]
    assert not kept(project, "checkpoints/*/*/*")


def test_a_worker_that_is_asked_to_end_leaves_its_trial_for_another(project: Path, root: Path) -> None:
    tiny_profile(project / "params.yaml", FOLDER | {"search.trials": 1, "search.schedule.iterations": 1500})
    with staging("worker", project, root) as first:
        first.until(r"trial 0  300/1500")
        first.process.send_signal(signal.SIGTERM)
        assert first.end() == 130, first.told()
    with staging("worker", project, root) as second:
        assert second.end() == 0, second.told()
        assert any("trial 0 goes on from iteration" in line for line in second.lines)
    assert not set(rungs(first)) & set(rungs(second))
