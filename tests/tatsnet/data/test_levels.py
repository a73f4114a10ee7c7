"""Which degradations a training sees (paper section 3.3), and the mixture in their place."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import scipy.stats
import torch

from tatsnet.data.levels import ABSENT, FULL, REMOVED, UNTOUCHED, Sampling, draw_levels, draw_tasks
from tatsnet.network.tasks import LEVELS

Levels = npt.NDArray[np.int64]
TOP = np.array(LEVELS)
COUNT = 12_000


def drawn(sampling: Sampling, relative: bool, seed: int = 11) -> tuple[Levels, Levels]:
    generator = torch.Generator().manual_seed(seed)
    worse, better = draw_levels(COUNT, relative=relative, sampling=sampling, generator=generator)
    return worse.numpy(), better.numpy()


def likely(hits: int, of: int, chance: float) -> bool:
    return float(scipy.stats.binomtest(hits, of, chance).pvalue) > 1e-3


def is_uniform(values: Levels, least: int, top: int) -> bool:
    counts = np.bincount(values - least, minlength=top - least + 1)
    return len(counts) == top - least + 1 and float(scipy.stats.chisquare(counts).pvalue) > 1e-3


def test_mixed_draws_each_type_by_itself() -> None:
    worse, better = drawn("mixed", relative=False)
    assert not better.any()
    for axis, top in enumerate(LEVELS):
        levels = worse[:, axis]
        assert likely(int((levels == 0).sum()), COUNT, ABSENT)
        assert likely(int((levels == top).sum()), COUNT, FULL + (1 - ABSENT - FULL) / top)
        assert is_uniform(levels[(levels > 0) & (levels < top)], 1, top - 1)
    assert np.abs(np.corrcoef(worse.T) - np.eye(3)).max() < 0.04


def test_a_relative_mixture_removes_nothing_a_part_or_all_of_each_type() -> None:
    worse, better = drawn("mixed", relative=True)
    assert ((better >= 0) & (better <= worse)).all()
    for axis, top in enumerate(LEVELS):
        full = better[worse[:, axis] == top, axis]
        between = (1 - REMOVED - UNTOUCHED) / (top + 1)
        assert likely(int((full == 0).sum()), len(full), REMOVED + between)
        assert likely(int((full == top).sum()), len(full), UNTOUCHED + between)


def test_papers_three_distributions_have_a_third_each() -> None:
    worse, better = drawn("paper", relative=False)
    assert not better.any()
    types, is_binary = np.count_nonzero(worse, axis=1), ((worse == 0) | (worse == TOP)).all(axis=1)
    inside = np.prod([1 - 1 / (top + 1) for top in LEVELS])  # a uniform task with all three types
    corner = np.prod([1 / (top + 1) for top in LEVELS])
    assert likely(int((types == 3).sum()), COUNT, (inside + 1 / 8) / 3)
    assert likely(int(((types == 3) & is_binary).sum()), COUNT, (corner + 1 / 8) / 3)
    single = worse[types == 1]
    for axis, top in enumerate(LEVELS):
        hits = single[:, axis][(single[:, axis] > 0) & (single[:, axis] < top)]
        assert is_uniform(hits, 1, top - 1)
        assert likely(len(hits), COUNT, (top - 1) / (top + 1) / 9 + uniform_alone(axis))


def uniform_alone(axis: int) -> float:
    """Chance that a task is of the uniform distribution, between the ends on one axis and 0 on the others."""
    others = [1 / (top + 1) for at, top in enumerate(LEVELS) if at != axis]
    return (LEVELS[axis] - 1) / (LEVELS[axis] + 1) * float(np.prod(others)) / 3


@pytest.mark.parametrize("sampling", ["mixed", "paper"])
def test_a_relative_ground_truth_lies_between_clean_and_the_input(sampling: Sampling) -> None:
    worse, better = drawn(sampling, relative=True)
    assert ((better >= 0) & (better <= worse)).all()
    assert (better > 0).any()


@pytest.mark.parametrize("relative", [False, True])
@pytest.mark.parametrize("sampling", ["mixed", "paper"])
def test_tasks_are_the_way_between_levels_on_the_training_grid(sampling: Sampling, relative: bool) -> None:
    task_BD = draw_tasks(500, relative=relative, sampling=sampling, generator=torch.Generator().manual_seed(3))
    steps = task_BD.double() * torch.tensor(LEVELS)
    assert task_BD.shape == (500, 3)
    assert float((steps - steps.round()).abs().max()) < 1e-5
    assert float(task_BD.min()) == 0
    assert float(task_BD.max()) == 1
