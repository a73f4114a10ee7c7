from __future__ import annotations

import pytest

from pipeline.config import Limits
from pipeline.search.driver.budget import Rates, Spending

RATES = Rates(cpu_hour_usd=0.5, gpu_hour_usd=2.0)
HOUR = {"cpu_seconds": 3600.0 * 4, "gpu_seconds": 3600.0}


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_dollars_are_hours_times_rates() -> None:
    assert RATES.usd(HOUR) == pytest.approx(4 * 0.5 + 2.0)
    assert RATES.usd({}) == 0


def test_a_running_trial_counts_by_its_last_report_and_an_ended_one_once() -> None:
    spending = Spending(RATES, Limits(hours=None, usd=None), before_usd=1.0)
    spending.running(0, HOUR)
    spending.running(0, HOUR)
    spending.running(1, HOUR)
    assert spending.usd == pytest.approx(9.0)
    spending.ended(0, 4.5)
    assert spending.usd == pytest.approx(9.5)
    assert spending.reached is None


def test_a_bound_on_money_is_named_when_it_is_reached() -> None:
    spending = Spending(RATES, Limits(hours=None, usd=5.0), before_usd=1.5)
    spending.running(0, {"gpu_seconds": 6000.0})
    assert spending.reached is None
    spending.running(0, {"gpu_seconds": 6300.0})
    assert spending.reached == "search.limits.usd: 5 of 5 dollars"


def test_a_bound_on_time_runs_from_the_start() -> None:
    clock = Clock()
    spending = Spending(RATES, Limits(hours=0.5, usd=None), 0.0, clock)
    clock.now += 1799
    assert spending.reached is None
    clock.now += 1
    assert spending.reached == "search.limits.hours: 0.5 of 0.5 hours"


def test_a_trial_that_was_put_down_before_counts_once_when_it_goes_on() -> None:
    spending = Spending(RATES, Limits(hours=None, usd=6.0), before_usd=1.0, under_way_usd={0: 4.0, 1: 0.5})
    assert spending.usd == pytest.approx(5.5)
    spending.running(0, {name: 1.1 * value for name, value in HOUR.items()})
    assert spending.usd == pytest.approx(5.9)
    spending.ended(0, 4.6)
    assert spending.reached == "search.limits.usd: 6.1 of 6 dollars"


def test_a_trial_that_is_put_down_has_cost_what_it_reported_and_the_limit_stays_reached() -> None:
    spending = Spending(RATES, Limits(hours=None, usd=4.0), before_usd=0.0)
    spending.running(0, HOUR)
    assert spending.reached
    spending.ended(0)
    assert spending.usd == pytest.approx(4.0)
    assert spending.reached
