"""Laws of the sampler: it sees what is worth it, no more of a long study, and the same after a new start."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import optuna
import pytest
from optuna.storages import InMemoryStorage
from optuna.trial import TrialState

from pipeline.config.searching import SamplerName
from pipeline.search.study.ledger import Ledger
from pipeline.search.study.sampler import Sampler, optuna_sampler
from pipeline.search.study.space import sample
from tests.pipeline.search.spaces import obeys, search_config, space, suggestion

CONFIG = search_config(space=space(), suggestions=(suggestion(lambda1=1e-3),))


@pytest.fixture(autouse=True)
def short_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.search.study.ledger.Sampler", partial(Sampler, memory=5))


def on(storage: InMemoryStorage) -> Ledger:
    return Ledger(storage, "study", CONFIG)


def end(ledger: Ledger, number: int, psnr_db: float, flops: float) -> None:
    ledger.finish(number, {"psnr_db": psnr_db, "flops_ratio_m27": flops, **obeys()})


def search(storage: InMemoryStorage, trials: int, reopen: bool = False) -> Ledger:
    """Trials one after another; every seventh fails, by turns for its point; every ninth is stopped."""
    ledger = on(storage)
    for index in range(trials):
        if reopen:
            ledger = on(storage)
        number, point = ledger.ask()
        assert number == index
        if index % 7 == 6:
            ledger.fail(number, "failed", infeasible=index % 2 == 0)
        elif index % 9 == 8:
            ledger.stop(number, {})
        else:
            end(ledger, number, 20 + point.lambda1 * 1e3 - index % 3, point.lambda1 * 50)
    return ledger


def study(storage: InMemoryStorage) -> optuna.Study:
    return optuna.load_study(study_name="study", storage=storage)


def points(storage: InMemoryStorage) -> list[dict[str, Any]]:
    return [trial.params for trial in study(storage).trials]


def test_a_search_begun_anew_before_every_trial_draws_what_one_in_one_piece_does() -> None:
    whole, pieces = InMemoryStorage(), InMemoryStorage()
    search(whole, 34)
    search(pieces, 34, reopen=True)
    assert points(whole) == points(pieces)
    assert len({str(point) for point in points(whole)}) == 34


@pytest.mark.parametrize("trials", [4, 5, 9, 10, 23, 30])
def test_it_sees_the_last_trials_and_the_pareto_set_of_those_before(trials: int) -> None:
    ledger = search(storage := InMemoryStorage(), trials)
    ledger.ask()
    seen = ledger._sampler.seen()
    recent = max(0, (trials // 5 - 1) * 5)
    before = optuna.create_study(directions=study(storage).directions)
    before.add_trials(t for t in study(storage).trials[:recent] if t.state == TrialState.COMPLETE)
    front = [tuple(trial.values) for trial in before.best_trials]
    assert sorted(tuple(seen[n].values) for n in seen if n < recent) == sorted(front)
    assert [n for n in seen if n >= recent] == list(range(recent, trials + 1))
    assert all(seen[n].params == study(storage).trials[n].params for n in seen)


def test_a_trial_that_runs_for_long_is_seen_until_it_ends() -> None:
    ledger = on(InMemoryStorage())
    slow, _ = ledger.ask()
    for index in range(40):
        end(ledger, ledger.ask()[0], 20.0 - index, 0.5)  # the first dominates the others
    assert ledger._sampler.seen()[slow].state == TrialState.RUNNING
    end(ledger, slow, 10.0, 0.9)
    assert ledger._sampler.seen()[slow].state == TrialState.COMPLETE
    for _ in range(10):
        end(ledger, ledger.ask()[0], 1.0, 0.9)
    assert slow not in ledger._sampler.seen()


def test_what_it_sees_does_not_grow() -> None:
    ledger = on(InMemoryStorage())
    sizes = []
    for index in range(60):
        end(ledger, ledger.ask()[0], 20.0 - index, 0.5)
        sizes.append(len(ledger._sampler.seen()))
    assert max(sizes) <= 2 * 5 + 1


def test_a_suggestion_is_not_drawn_again_when_its_trial_is_out_of_sight() -> None:
    storage = InMemoryStorage()
    ledger = on(storage)
    number, point = ledger.ask()
    assert point.lambda1 == 1e-3
    end(ledger, number, 1.0, 0.9)
    for _ in range(15):
        end(ledger, ledger.ask()[0], 20.0, 0.5)
    again = on(storage)
    assert 0 not in again._sampler.seen()
    assert again.ask()[1].lambda1 != 1e-3


@pytest.mark.parametrize("reopened", [False, True])
def test_it_keeps_away_from_infeasible_points(reopened: bool) -> None:
    def drawn(blamed: bool) -> list[float]:
        """lambda1 of what comes after a dozen trials of which those in the upper half of its range fail."""
        storage = InMemoryStorage()
        ledger = on(storage)
        low, high = CONFIG.space.lambda1.low, CONFIG.space.lambda1.high
        middle, after = (low * high) ** 0.5, []
        for index in range(40):
            if reopened:
                ledger = on(storage)
            number, point = ledger.ask()
            if point.lambda1 > middle:
                ledger.fail(number, "failed", infeasible=blamed)
            else:
                end(ledger, number, 20 + point.lambda1 * 1e3, 0.5)  # the best is where it begins to fail
            if index >= 12:
                after.append(point.lambda1)
        return [value for value in after if value > middle]

    assert len(drawn(blamed=True)) < len(drawn(blamed=False))


def test_a_failed_trial_stays_failed_in_the_study_whoever_is_to_blame() -> None:
    ledger = on(storage := InMemoryStorage())
    for infeasible in (True, False):
        ledger.fail(ledger.ask()[0], "failed", infeasible=infeasible)
    again = on(storage)
    assert [trial.state for trial in study(storage).trials] == [TrialState.FAIL] * 2
    assert (again.failed, again.stopped) == (2, 0)
    for seen in (ledger._sampler.seen(), again._sampler.seen()):
        assert [trial.state for trial in seen.values()] == [TrialState.PRUNED, TrialState.FAIL]


def test_while_nothing_but_failures_is_known_it_draws_at_random() -> None:
    """TPE would take the first infeasible points as the best that it knows, and stay with them."""
    storage = InMemoryStorage()
    ledger = on(storage)
    for _ in range(30):
        ledger.fail(ledger.ask()[0], "failed", infeasible=True)
    drawn = optuna.create_study(directions=study(storage).directions)
    for number, point in enumerate(points(storage)[1:], start=1):  # the first was suggested
        drawn.sampler = optuna.samplers.RandomSampler(seed=CONFIG.seed + number)
        trial = drawn.ask()
        sample(trial, CONFIG.space, CONFIG.variants)
        assert trial.params == point


def test_a_driver_that_died_while_it_wrote_down_an_infeasible_point_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    storage = InMemoryStorage()
    with monkeypatch.context() as patch:

        def dies(*arguments: Any) -> None:
            raise KeyboardInterrupt

        patch.setattr(storage, "set_trial_state_values", dies)
        ledger = on(storage)
        number, point = ledger.ask()
        with pytest.raises(KeyboardInterrupt):
            ledger.fail(number, "failed", infeasible=True)
    again = on(storage)
    assert again.ask() == (number, point)
    assert again._sampler.seen()[number].state == TrialState.RUNNING
    end(again, number, 20.0, 0.5)
    assert again.finished == 1


@pytest.mark.parametrize("name", ["auto", "tpe", "gp", "random"])
def test_what_every_sampler_draws_depends_on_the_study_alone(
    name: SamplerName, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"{__name__}.CONFIG", replace(CONFIG, sampler=name))
    whole, pieces, other = InMemoryStorage(), InMemoryStorage(), InMemoryStorage()
    search(whole, 9)
    search(pieces, 9, reopen=True)
    assert points(whole) == points(pieces)
    monkeypatch.setattr(f"{__name__}.CONFIG", replace(CONFIG, sampler=name, seed=1))
    search(other, 9)
    assert points(other) != points(whole)


def test_tpe_is_what_auto_is() -> None:
    assert type(optuna_sampler("auto", 0, 4)) is type(optuna_sampler("tpe", 0, 4))
    kinds = {type(optuna_sampler(name, 0, 4)) for name in ("tpe", "gp", "random")}
    assert len(kinds) == 3
