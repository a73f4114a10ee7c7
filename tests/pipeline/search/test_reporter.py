"""What the terminal and the tracker are told of a search's trials."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import optuna
import pytest

from pipeline.cluster.report import Report
from pipeline.config import Limits
from pipeline.search.driver.budget import Rates, Spending
from pipeline.search.driver.observer import Asked
from pipeline.search.driver.reporter import Reporter
from pipeline.search.study.ledger import Ledger
from pipeline.tracking import NullRun, NullTracker, Run
from pipeline.tracking.keys import NOTE
from tatsnet.network.tasks import AXES
from tests.pipeline.search.spaces import search_config

FIGURE = {"flops_ratio_m1": 0.25, "flops_ratio_m27": 0.125, "shared_layers_pct": 50.0}


class Kept(NullRun):
    """A run that keeps what it is told."""

    def __init__(self) -> None:
        self.figures: list[tuple[int, dict[str, float]]] = []
        self.told: dict[str, str] = {}

    def metrics(self, values: Mapping[str, float], step: int = 0) -> None:
        self.figures.append((step, dict(values)))

    def tags(self, values: Mapping[str, str]) -> None:
        self.told |= values


class Tracker(NullTracker):
    """Gives one such run."""

    def __init__(self) -> None:
        self.trial = Kept()

    def start(self, *arguments: Any, **named: Any) -> Run:
        return self.trial


def make_ledger() -> Ledger:
    return Ledger(optuna.storages.InMemoryStorage(), "study", search_config())


def reporter_of(ledger: Ledger, tracker: NullTracker | None = None) -> Reporter:
    spending = Spending(Rates(cpu_hour_usd=0.04, gpu_hour_usd=1.0), Limits(hours=None, usd=None), before_usd=0.0)
    return Reporter(tracker or NullTracker(), NullRun(), search_config(), "study", ledger, spending)


def record(psnr_db: float) -> dict[str, Any]:
    control = {
        "gain_db": dict.fromkeys(AXES, 1.5),
        "evenness": dict.fromkeys(AXES, 0.75),
        "control": dict.fromkeys(AXES, 0.5),
        "weakest_slider": 0.5,
        "off_rms": 0.1,
    }
    return {"psnr_db": psnr_db, "key": "k", **control, **FIGURE}


def asked_of(ledger: Ledger) -> Asked:
    number, point = ledger.ask()
    return Asked(number=number, key="k", point=point)


def test_every_turn_of_a_trial_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    ledger = make_ledger()
    reporter, asked = reporter_of(ledger), asked_of(ledger)
    reporter.started(asked)
    reporter.reached(asked, Report(reached=6, phase="open", loss=0.125))
    reporter.reached(asked, Report())
    for _ in range(3):
        reporter.reached(asked, Report(away="cannot use the store"))
    reporter.ended(asked, record(25.5), "finished", None)
    started, reached, waits, ended = capsys.readouterr().out.splitlines()
    assert f"trial 0 starts: {asked.point.variant}  lambda1 {asked.point.lambda1:.2g}" in started
    total = search_config().schedule.iterations
    assert f"trial 0  6/{total} open  loss 0.1250  [0/3 trials done, about " in reached
    assert waits.endswith("search  trial 0 waits: cannot use the store")
    assert "trial 0 finished  25.50 dB, FLOPs 25.0% (M = 1), FLOPs 12.5% (M = 27), 50 % shared" in ended
    assert "[1/3 trials done, about " in ended
    assert ended.endswith(" left]")


@pytest.mark.parametrize(
    ("reached", "had_ended", "said"),
    [(0, False, "trial 0 starts: "), (30, False, "goes on from iteration 30: "), (0, True, "had ended when")],
)
def test_what_is_said_of_a_trial_that_is_met_is_true(
    capsys: pytest.CaptureFixture[str], reached: int, had_ended: bool, said: str
) -> None:
    ledger = make_ledger()
    reporter_of(ledger).started(replace(asked_of(ledger), reached=reached, had_ended=had_ended))
    assert said in capsys.readouterr().out


@pytest.mark.parametrize("figures", [{}, record(19.0)], ids=["without figures", "with figures"])
def test_a_failure_is_told_with_its_reason(capsys: pytest.CaptureFixture[str], figures: dict[str, Any]) -> None:
    ledger = make_ledger()
    reporter, asked = reporter_of(ledger), asked_of(ledger)
    reporter.started(asked)
    reporter.ended(asked, figures, "failed", "dead slider: denoise")
    line = capsys.readouterr().out.splitlines()[-1]
    assert "FAILED: dead slider: denoise" in line
    assert ("19.00 dB" in line) is bool(figures)


def test_one_that_nobody_wants_any_more_is_told_without_a_start(capsys: pytest.CaptureFixture[str]) -> None:
    ledger = make_ledger()
    asked = asked_of(ledger)
    reporter_of(ledger).ended(asked, {"usd": 0.5}, "failed", "not wanted any more")
    (line,) = capsys.readouterr().out.splitlines()
    assert "trial 0 FAILED: not wanted any more" in line


def test_a_training_is_a_curve_with_its_iterations_and_a_rung_has_its_psnr() -> None:
    ledger, tracker = make_ledger(), Tracker()
    reporter, asked = reporter_of(ledger, tracker), asked_of(ledger)
    reporter.started(asked)
    curve = tuple({"iteration": n, "loss": 1 / n, "lr": 1e-3} for n in (25, 50))
    score = {"psnr_db": 24.0, "flops_ratio_m27": 0.5}
    reporter.reached(asked, Report(reached=50, phase="joint", loss=0.02, curve=curve, score=score))
    assert tracker.trial.figures == [
        (25, {"train_loss": 1 / 25, "train_lr": 1e-3}),
        (50, {"train_loss": 1 / 50, "train_lr": 1e-3}),
        (50, {"rung_psnr_db": 24.0, "rung_flops_ratio_m27": 0.5}),
    ]


@pytest.mark.parametrize(("end", "says_how"), [("finished", True), ("failed", False), ("stopped", False)])
def test_a_trials_card_has_its_figures_and_the_command_that_makes_a_model_of_it(end: Any, says_how: bool) -> None:
    ledger, tracker = make_ledger(), Tracker()
    reporter, asked = reporter_of(ledger, tracker), asked_of(ledger)
    reporter.started(asked)
    reporter.ended(asked, record(25.5), end, None)
    card = tracker.trial.told[NOTE]
    assert "**25.50 dB** at **12.5%**" in card
    assert "| dejpeg | 1.50 dB | 50% | 0.75 |" in card
    assert ("python -m pipeline pick 0 --study study" in card) is says_how
    assert dict(tracker.trial.figures[-1][1])["weakest_slider"] == 0.5
