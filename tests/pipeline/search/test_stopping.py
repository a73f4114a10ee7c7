"""Laws of the early stopping: what is dominated goes, the first stays, ends of the front come before its middle."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.search.study.mo_asha import goes_on, ranking


def test_fronts_come_one_after_the_other() -> None:
    """By hand: 0 and 2 dominate; 1 is dominated by 0 alone; 3 by all."""
    assert ranking([[1, 2], [1, 3], [2, 1], [4, 4]]) == [0, 2, 1, 3]


def test_within_a_front_the_ends_come_first_then_the_widest_gap() -> None:
    assert ranking([[0, 10], [1, 9], [5, 5], [10, 0]]) == [0, 3, 2, 1]


def test_scales_do_not_matter() -> None:
    scores = np.random.default_rng(0).random((20, 2))
    assert ranking(scores.tolist()) == ranking((scores * [1, 1000] + [5, -3]).tolist())


def test_no_row_is_before_one_that_dominates_it() -> None:
    scores = np.random.default_rng(1).random((60, 3))
    place = {row: index for index, row in enumerate(ranking(scores.tolist()))}
    assert sorted(place) == list(range(60))
    for a in range(60):
        for b in range(60):
            if (scores[a] <= scores[b]).all() and (scores[a] < scores[b]).any():
                assert place[a] < place[b]


@pytest.mark.parametrize(
    ("scores", "own", "keep", "expected"),
    [
        ([[1, 1]], 0, 0.1, True),
        ([[1, 1], [2, 2]], 1, 0.5, False),
        ([[1, 1], [2, 2]], 1, 0.51, True),
        ([[1, 1], [2, 2], [0, 3]], 1, 0.5, False),
        ([[1, 1], [2, 2], [0, 3]], 2, 0.5, True),
        ([[1, 1], [1, 1]], 1, 0.5, False),
    ],
    ids=["first", "dominated", "rounded up", "last of three", "another end", "equal to one before"],
)
def test_the_best_share_goes_on(scores: list[list[float]], own: int, keep: float, expected: bool) -> None:
    assert goes_on(scores, own, keep) is expected
