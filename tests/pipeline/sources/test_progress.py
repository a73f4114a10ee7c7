"""Progress lines are rare, true and readable."""

from __future__ import annotations

import pytest

from pipeline.sources.progress import Progress, duration


def test_lines_come_every_few_seconds_with_the_time_left() -> None:
    now, lines = [100.0], []
    progress = Progress("file", 4_000_000, lines.append, every=3.0, clock=lambda: now[0])
    for second in range(10):
        now[0] = 100.0 + second
        progress.at(1_000_000 + second * 100_000)
    assert lines == [
        "file: 32 %, 1.3 MB of 4.0 MB, 27 s left",
        "file: 40 %, 1.6 MB of 4.0 MB, 24 s left",
        "file: 48 %, 1.9 MB of 4.0 MB, 21 s left",
    ]


def test_a_standstill_promises_nothing() -> None:
    now, lines = [0.0], []
    progress = Progress("file", 1000, lines.append, every=1.0, clock=lambda: now[0])
    progress.at(500)
    now[0] = 60.0
    progress.at(500)
    assert lines == ["file: 50 %, 0.0 MB of 0.0 MB"]


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.2, "0 s"), (89, "89 s"), (90, "2 min"), (5399, "90 min"), (5400, "1.5 h"), (1e5, "27.8 h")]
)
def test_duration(seconds: float, text: str) -> None:
    assert duration(seconds) == text
