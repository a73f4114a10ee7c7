from __future__ import annotations

import math
from collections.abc import Sequence

import optuna
import pytest

from pipeline.config import Space
from pipeline.search.study.space import NO_CONSENSUS_GAMMA, Point, first_points, sample
from tatsnet.method.objective import Variant
from tests.pipeline.search.spaces import search_config, space, suggestion

VARIANTS = [variant.value for variant in Variant]
NAMES = ("lambda1", "lambda2", "gamma")


def draw(count: int, where: Space, variants: Sequence[str], first: Sequence[dict[str, object]] = ()) -> list[Point]:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for point in first:
        study.enqueue_trial(point)
    return [sample(study.ask(), where, variants) for _ in range(count)]


@pytest.fixture(scope="module")
def points() -> list[Point]:
    return draw(400, space(), VARIANTS)


def test_every_point_lies_in_its_ranges(points: list[Point]) -> None:
    for point in points:
        assert 1e-4 <= point.lambda1 <= 1e-2
        if Variant(point.variant).shares:
            assert 1e-3 <= point.lambda2 <= 10
            assert 0.8 <= point.gamma <= 0.95


def test_every_variant_is_drawn_about_as_often(points: list[Point]) -> None:
    counts = [sum(point.variant == variant for point in points) for variant in VARIANTS]
    assert min(counts) > 60


@pytest.mark.parametrize(("name", "low", "high"), [("lambda1", 1e-4, 1e-2), ("lambda2", 1e-3, 10.0)])
def test_a_range_is_drawn_by_its_logarithm(points: list[Point], name: str, low: float, high: float) -> None:
    values = [getattr(point, name) for point in points if Variant(point.variant).shares]
    assert 0.4 < sum(value < math.sqrt(low * high) for value in values) / len(values) < 0.6


def test_what_shares_nothing_has_no_lambda2(points: list[Point]) -> None:
    alone = [point for point in points if not Variant(point.variant).shares]
    assert alone
    assert all((point.lambda2, point.gamma) == (0.0, NO_CONSENSUS_GAMMA) for point in alone)


@pytest.mark.parametrize("name", NAMES)
def test_equal_ends_fix_a_value_and_leave_the_others_free(name: str) -> None:
    drawn = draw(20, space(**{name: (0.9, 0.9)}), ["TA+TSNet"])
    assert {getattr(point, name) for point in drawn} == {0.9}
    for other in set(NAMES) - {name}:
        assert len({getattr(point, other) for point in drawn}) == 20


def test_a_weight_fixed_at_zero_switches_its_term_off() -> None:
    assert {point.lambda2 for point in draw(5, space(lambda2=(0, 0)), ["TA+TSNet"])} == {0.0}


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_single_variant_is_always_taken(variant: str) -> None:
    assert {point.variant for point in draw(10, space(), [variant])} == {variant}


@pytest.mark.parametrize("variants", [VARIANTS, ["TA+TSNet"]], ids=["all", "one"])
@pytest.mark.parametrize("fixed", [{}, {"gamma": (0.9, 0.9)}, dict.fromkeys(NAMES, (0.9, 0.9))], ids=["0", "1", "3"])
def test_suggestions_come_first_in_their_order(variants: list[str], fixed: dict[str, tuple[float, float]]) -> None:
    wanted = [suggestion(variants[i % len(variants)], lambda1=(i + 1) * 1e-3, gamma=0.8 + 0.02 * i) for i in range(4)]
    where = space(**fixed)
    config = search_config(variants=tuple(variants), suggestions=tuple(wanted), space=where)
    drawn = draw(6, where, variants, first_points(config))
    for got, asked in zip(drawn, wanted, strict=False):
        assert got.variant == asked.variant
        for name in NAMES:
            if name == "lambda1" or Variant(asked.variant).shares:
                bounds = getattr(where, name)
                assert getattr(got, name) == (bounds.low if bounds.low == bounds.high else getattr(asked, name))


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_point_becomes_an_objective_and_plain_values(variant: str) -> None:
    point = Point(variant=variant, lambda1=1e-3, lambda2=0.0 if variant.startswith("TSNet") else 0.5, gamma=0.9)
    objective = point.objective()
    assert (objective.variant.value, objective.lambda1, objective.lambda2) == (variant, 1e-3, point.lambda2)
    assert Point(**point.to_json()) == point
