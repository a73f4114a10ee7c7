from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import pytest

from pipeline.search.study.pareto import (
    RULES,
    Candidate,
    best,
    budget_name,
    hypervolume,
    knee,
    pareto_set,
    under_budget,
)


def candidates(*pairs: tuple[float, float]) -> list[Candidate]:
    """(PSNR in dB, FLOPs ratio), numbered from 10 on."""
    return [Candidate(number=10 + i, psnr_db=psnr, costs=(flops,)) for i, (psnr, flops) in enumerate(pairs)]


def with_two_costs(*triples: tuple[float, float, float]) -> list[Candidate]:
    """(PSNR in dB, FLOPs ratio, time ratio), numbered from 10 on."""
    return [Candidate(number=10 + i, psnr_db=psnr, costs=tuple(costs)) for i, (psnr, *costs) in enumerate(triples)]


def drawn(seed: int, count: int, digits: int) -> list[Candidate]:
    rng = random.Random(seed)
    return candidates(
        *((round(rng.uniform(20, 28), digits), round(rng.uniform(0.01, 1), digits)) for _ in range(count))
    )


def dominates(a: Candidate, b: Candidate) -> bool:
    no_worse = a.psnr_db >= b.psnr_db and a.cost <= b.cost
    return no_worse and (a.psnr_db, a.cost) != (b.psnr_db, b.cost)


@pytest.mark.parametrize("digits", [6, 1], ids=["apart", "with ties"])
@pytest.mark.parametrize(("seed", "count"), [(0, 1), (1, 2), (2, 10), (3, 60)])
def test_the_front_is_what_nobody_dominates(seed: int, count: int, digits: int) -> None:
    points = drawn(seed, count, digits)
    front = pareto_set(points)
    expected = {p.number for p in points if not any(dominates(q, p) for q in points)}
    assert {p.number for p in front} == expected
    assert [p.cost for p in front] == sorted(p.cost for p in front)


def test_equal_trials_are_both_on_the_front() -> None:
    assert len(pareto_set(candidates((25, 0.1), (25, 0.1), (24, 0.2)))) == 2


@pytest.mark.parametrize("reversed_", [False, True])
def test_the_order_of_the_trials_does_not_matter(reversed_: bool) -> None:
    points = drawn(5, 30, 1)
    assert pareto_set(points[::-1] if reversed_ else points) == pareto_set(points)


@pytest.mark.parametrize(
    ("pairs", "area"),
    [
        ([], 0.0),
        ([(25, 0.25)], 5 * 0.75),
        ([(25, 0.25), (22, 0.1)], 5 * 0.75 + 2 * 0.15),
        ([(22, 0.1), (25, 0.25), (26, 0.5)], 6 * 0.5 + 5 * 0.25 + 2 * 0.15),
        ([(25, 0.25), (25, 0.25)], 5 * 0.75),
        ([(25, 0.25), (24, 0.3)], 5 * 0.75),
        ([(20, 0.1), (19, 0.05)], 0.0),
        ([(25, 1.0), (26, 1.2)], 0.0),
    ],
    ids=["none", "one", "two", "three", "twice", "dominated", "worse than the input", "dearer than dense"],
)
def test_the_hypervolume_by_hand(pairs: list[tuple[float, float]], area: float) -> None:
    assert hypervolume(candidates(*pairs), 20.0) == pytest.approx(area, abs=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_the_hypervolume_agrees_with_counting_points(seed: int) -> None:
    points = drawn(seed, 6, 6)
    rng = random.Random(seed)
    places = [(rng.uniform(20, 28), rng.uniform(0, 1)) for _ in range(20_000)]
    inside = sum(any(p.psnr_db >= psnr and p.cost <= flops for p in points) for psnr, flops in places)
    assert hypervolume(points, 20.0) == pytest.approx(8 * inside / len(places), abs=0.12)


@pytest.mark.parametrize("seed", range(5))
def test_another_trial_never_makes_the_hypervolume_smaller(seed: int) -> None:
    points = drawn(seed, 20, 3)
    areas = [hypervolume(points[:count], 21.0) for count in range(1, 21)]
    assert areas == sorted(areas)
    assert hypervolume(pareto_set(points), 21.0) == pytest.approx(areas[-1])


class TestTwoCosts:
    TRIPLES = ((25, 0.2, 0.5), (25, 0.4, 0.25), (24, 0.4, 0.3), (22, 0.1, 0.75))

    def test_a_trial_that_is_best_in_one_cost_is_on_the_front(self) -> None:
        front = pareto_set(with_two_costs(*self.TRIPLES))
        assert [point.costs for point in front] == [(0.1, 0.75), (0.2, 0.5), (0.4, 0.25)]

    @pytest.mark.parametrize(
        ("triples", "volume"),
        [
            ([], 0.0),
            ([(25, 0.25, 0.5)], 5 * 0.75 * 0.5),
            ([(25, 0.25, 0.5), (25, 0.25, 0.5)], 5 * 0.75 * 0.5),
            ([(25, 0.2, 0.5), (25, 0.4, 0.25)], 5 * (0.8 * 0.5 + 0.6 * 0.25)),
            ([(25, 0.2, 0.5), (22, 0.1, 0.25)], 5 * 0.8 * 0.5 + 2 * (0.1 * 0.5 + 0.9 * 0.25)),
            ([(25, 0.2, 1.0), (25, 1.0, 0.2), (20, 0.1, 0.1)], 0.0),
        ],
        ids=["none", "one", "twice", "same PSNR", "another PSNR", "no better than dense or the input"],
    )
    def test_the_hypervolume_by_hand(self, triples: list[tuple[float, float, float]], volume: float) -> None:
        assert hypervolume(with_two_costs(*triples), 20.0) == pytest.approx(volume, abs=1e-12)

    def test_a_dominated_trial_changes_nothing(self) -> None:
        every = with_two_costs(*self.TRIPLES)
        assert hypervolume(every, 20.0) == pytest.approx(hypervolume(pareto_set(every), 20.0))

    @pytest.mark.parametrize("seed", range(3))
    def test_the_hypervolume_agrees_with_counting_points(self, seed: int) -> None:
        rng = random.Random(seed)

        def place() -> tuple[float, float, float]:
            return rng.uniform(20, 28), rng.uniform(0, 1), rng.uniform(0, 1)

        points, places = [place() for _ in range(6)], [place() for _ in range(20_000)]
        inside = sum(any(p[0] >= q[0] and p[1] <= q[1] and p[2] <= q[2] for p in points) for q in places)
        assert hypervolume(with_two_costs(*points), 20.0) == pytest.approx(8 * inside / len(places), abs=0.12)

    def test_two_equal_costs_are_as_one(self) -> None:
        one = [(22.0, 0.1), (25.0, 0.25), (26.0, 0.5)]
        twice = with_two_costs(*((psnr, cost, cost) for psnr, cost in one))
        assert [point.number for point in pareto_set(twice)] == [point.number for point in pareto_set(candidates(*one))]
        assert knee(twice).number == knee(candidates(*one)).number

    def test_the_rules_act_on_the_first_cost(self) -> None:
        points = with_two_costs((25, 0.1, 0.9), (26, 0.5, 0.05))
        assert under_budget(points, 0.1) == points[0]


LINE = candidates((22, 0.01), (25, 0.02), (25.5, 0.1), (26, 1.0))


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_one_point_is_every_pick(rule: Callable[[Sequence[Candidate]], Candidate]) -> None:
    (only,) = candidates((25, 0.5))
    assert rule([only]) == only
    assert under_budget([only], 0.05) == only


def test_the_knee_bulges_farthest_above_the_chord() -> None:
    """Over plain FLOPs: 0.875 - 0.09 for the third point, 0.75 - 0.01 for the second."""
    assert knee(LINE) == LINE[2]
    assert knee(LINE[::-1]) == LINE[2]


@pytest.mark.parametrize("scale", [(1, 1), (3, 1), (1, 0.1)])
def test_the_knee_does_not_depend_on_units(scale: tuple[float, float]) -> None:
    scaled = candidates(*((c.psnr_db * scale[0], c.cost * scale[1]) for c in LINE))
    assert knee(scaled).number == LINE[2].number


@pytest.mark.parametrize("pairs", [[(25, 0.1), (25, 0.1)], [(25, 0.1), (26, 0.2)]], ids=["equal", "two"])
def test_a_knee_of_no_bulge_is_the_cheapest(pairs: list[tuple[float, float]]) -> None:
    assert knee(candidates(*pairs)).cost == 0.1


def test_best_is_the_highest_psnr() -> None:
    assert best(LINE) == LINE[3]


@pytest.mark.parametrize(
    ("budget", "index"), [(1.0, 3), (0.1, 2), (0.099, 1), (0.02, 1), (0.015, 0), (0.01, 0), (0.001, 0)]
)
def test_the_budget_takes_the_best_within_it_or_else_the_cheapest(budget: float, index: int) -> None:
    assert under_budget(LINE, budget) == LINE[index]


@pytest.mark.parametrize(
    ("budget", "name"),
    [
        (0.05, "under-5"),
        (0.15, "under-15"),
        (0.025, "under-2_5"),
        (1.0, "under-100"),
        (0.07, "under-7"),
        (0.29, "under-29"),
    ],
)
def test_a_budget_s_name_is_its_percentage(budget: float, name: str) -> None:
    assert budget_name(budget) == name
