"""How many processors: as the system says, on any system."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest

from tatsnet.system.cpus import usable_cpus


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="this system binds no process to processors")
def test_the_processors_that_this_process_may_use() -> None:
    assert usable_cpus() == len(os.sched_getaffinity(0))


@pytest.mark.parametrize(("there", "expected"), [(8, 8), (None, 1)])
def test_where_the_system_cannot_say(there: int | None, expected: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: there)
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    assert usable_cpus() == expected


def test_where_the_system_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: int) -> NoReturn:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "sched_getaffinity", refuse, raising=False)
    assert usable_cpus() == (os.cpu_count() or 1)
