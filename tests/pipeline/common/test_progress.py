from __future__ import annotations

import os
import pty
import sys
import termios

import pytest

from pipeline.common.progress import StayingLine, count, say
from tatsnet.system.progress import Ticker, duration


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (0.4, "0 s"),
        (48.4, "48 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (60, "1 min 00 s"),
        (200, "3 min 20 s"),
        (3599.4, "59 min 59 s"),
        (3599.6, "1 h 00 min"),
        (7500, "2 h 05 min"),
        (360_000, "100 h 00 min"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


class Bench:
    """A ticker with a clock that is set by hand."""

    def __init__(self, total: int, every: float = 5.0) -> None:
        self.now, self.lines = 100.0, list[str]()
        self.ticker = Ticker("search", total, self.lines.append, every, clock=lambda: self.now)

    def at(self, now: float, done: int, note: str = "") -> None:
        self.now = 100.0 + now
        self.ticker.at(done, note)


def test_lines_say_what_how_far_and_how_long_still() -> None:
    bench = Bench(400)
    bench.at(10, 100, "loss 0.1")
    assert bench.lines == ["search  100/400  loss 0.1  30 s left"]


def test_at_most_one_line_every_few_seconds() -> None:
    bench = Bench(1000)
    for step in range(1, 1000):
        bench.at(step / 10, step)
    assert len(bench.lines) == 19
    assert bench.lines[0].startswith("search  50/1000  ")


def test_the_end_is_always_told_with_the_time_it_took() -> None:
    bench = Bench(3)
    bench.at(1, 1)
    bench.at(2, 3)
    assert bench.lines == ["search  3/3  2 s"]


def test_nothing_done_yet_has_no_forecast() -> None:
    bench = Bench(3)
    bench.at(6, 0)
    assert bench.lines == ["search  0/3"]


def test_without_an_interval_every_step_is_told() -> None:
    bench = Bench(3, every=0)
    for step in (1, 2, 3):
        bench.at(0, step)
    assert len(bench.lines) == 3


def test_a_line_is_out_at_once(capfd: pytest.CaptureFixture[str]) -> None:
    say("a line")
    assert capfd.readouterr().out == "a line\n"


@pytest.mark.parametrize(("number", "text"), [(0, "0 photos"), (1, "1 photo"), (2, "2 photos")])
def test_one_is_singular(number: int, text: str) -> None:
    assert count(number, "photo") == text


def test_what_was_done_before_is_not_taken_for_speed() -> None:
    lines = list[str]()
    now = 0.0
    ticker = Ticker("pretrain", 1000, every=0, out=lines.append, clock=lambda: now, start=900)
    ticker.at(900)
    now = 10.0
    ticker.at(950)
    now = 20.0
    ticker.at(1000)
    assert lines == ["pretrain  900/1000", "pretrain  950/1000  10 s left", "pretrain  1000/1000  20 s"]


def test_steps_of_different_work_do_not_make_the_time_left_run_backwards() -> None:
    work, lines, now = [1.0] * 5 + [4.0] * 5, list[str](), 0.0
    ticker = Ticker("latency", len(work), every=0, out=lines.append, clock=lambda: now, work=work)
    for done, seconds in enumerate(work, 1):
        now += seconds
        ticker.at(done)
    left = [line.split("  ")[-1] for line in lines]
    assert left == [f"{second} s left" for second in (24, 23, 22, 21, 20, 16, 12, 8, 4)] + ["25 s"]


STAYING = """
from pipeline.common.progress import StayingLine, say
with StayingLine() as line:
    for n in range(3):
        line.show(f"{n} of 3 done, " + "x" * 200)
        say(f"trial {n}")
say("end")
"""


def run_in_terminal(code: str) -> str:
    """What a program writes to a terminal of 80 columns, as the terminal shows it in the end."""
    pid, master = pty.fork()
    if pid == 0:
        termios.tcsetwinsize(0, (24, 80))
        os.execv(sys.executable, [sys.executable, "-c", code])
    written = b""
    while True:
        try:
            part = os.read(master, 65536)
        except OSError:
            break
        if not part:
            break
        written += part
    os.waitpid(pid, 0)
    return written.decode()


def test_a_line_stays_below_the_others_on_a_terminal() -> None:
    written = run_in_terminal(STAYING)
    assert "2 of 3 done" in written
    lines = [line.rstrip().split("\r")[-1] for line in written.split("\n")]
    assert [line for line in lines if line.startswith(("trial", "end"))] == ["trial 0", "trial 1", "trial 2", "end"]
    assert max(len(part) for part in written.replace("\n", "\r").split("\r")) < 80, "it never wraps"


def test_in_a_log_nothing_stays(capsys: pytest.CaptureFixture[str]) -> None:
    with StayingLine() as line:
        line.show("1 of 3 done")
        say("trial 1")
    assert capsys.readouterr().out == "trial 1\n"
