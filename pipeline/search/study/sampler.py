"""Draws a study's points by one of Optuna's samplers, shown no more of the study than keeps a draw's cost flat."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy

import optuna
from optuna.samplers import BaseSampler, GPSampler, RandomSampler, TPESampler
from optuna.storages import InMemoryStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from pipeline.config import SamplerName, SearchConfig
from pipeline.search.study.pareto import constraint_key
from pipeline.search.study.space import Point, first_points, sample

MEMORY = 250
"""A sampler sees the last so many trials, at most twice as many, and of those before them the Pareto set."""

POINT = "point"
"""The trial's attribute that holds its point."""

INFEASIBLE = "infeasible"
"""The attribute of a failed trial whose point is to blame: True."""


class Sampler:
    """Suggestions first, then a sampler on a copy in memory of what is worth seeing of the study.

    Each draw has a sampler of its own, seeded by the trial's number, and what it sees follows from the study and that
    number: what is drawn depends on the study alone, and not on the process.

    Args:
        config: space, variants, suggestions, seed.
        directions: of the objectives.
        trials: of the study so far, by number from 0 without a gap.
        memory: in trials, see MEMORY.
    """

    def __init__(
        self,
        config: SearchConfig,
        directions: Sequence[StudyDirection],
        trials: Sequence[FrozenTrial],
        memory: int = MEMORY,
    ) -> None:
        self._config, self._directions, self._memory = config, list(directions), memory
        drawn = [trial.params for trial in trials]
        self._suggestions = [point for point in first_points(config) if point not in drawn]
        failed = [trial for trial in trials if trial.state == TrialState.FAIL]
        self._infeasible = {trial.number for trial in failed if trial.user_attrs.get(INFEASIBLE)}
        self._see({trial.number: trial for trial in trials}, len(trials))

    def draw(self, number: int) -> tuple[Point, FrozenTrial]:
        """The point of the study's next trial, and that trial, RUNNING, as a storage takes it."""
        if number % self._memory == 0:
            self._see(self.seen(), number)
        if self._suggestions:
            self._copy.enqueue_trial(self._suggestions.pop(0))
        begun = max(4, len(self._config.suggestions)) + len(self._infeasible.intersection(self._numbers))
        self._copy.sampler = optuna_sampler(self._config.sampler, self._config.seed + number, begun)
        trial = self._copy.ask()
        point = sample(trial, self._config.space, self._config.variants)
        trial.set_user_attr(POINT, point.to_json())
        self._numbers.append(number)
        return point, self._copy.get_trials(deepcopy=False)[trial.number]

    def constrain(self, number: int, violations: Mapping[str, float]) -> None:
        """By how much a drawn trial, which is to be told next, misses each constraint; at most 0 holds it."""
        place = self._numbers.index(number)
        trial_id = self._copy.get_trials(deepcopy=False)[place]._trial_id
        for name, violation in violations.items():
            self._copy._storage.set_trial_system_attr(trial_id, constraint_key(name), violation)

    def tell(
        self, number: int, state: TrialState, values: Sequence[float] | None = None, infeasible: bool = False
    ) -> None:
        """A drawn trial's end.

        Args:
            infeasible: it failed for its point, which is worse then than any that finished; else it tells nothing.
        """
        if infeasible:
            self._infeasible.add(number)
        self._copy.tell(self._numbers.index(number), values, TrialState.PRUNED if infeasible else state)

    def seen(self) -> dict[int, FrozenTrial]:
        """What the next draw rests on, by the study's numbers; the trials' own are their places in the copy."""
        return dict(zip(self._numbers, self._copy.get_trials(deepcopy=False), strict=True))

    def _see(self, trials: Mapping[int, FrozenTrial], number: int) -> None:
        """Copy of these trials what is worth seeing when the trial of a number is drawn."""
        recent = (number // self._memory - 1) * self._memory
        front = self._front({n: trial for n, trial in trials.items() if n < recent})
        self._numbers = [n for n in trials if n >= recent or n in front or trials[n].state == TrialState.RUNNING]
        seen = [_stopped(trials[n]) if n in self._infeasible else trials[n] for n in self._numbers]
        self._copy = self._study(seen)

    def _front(self, trials: Mapping[int, FrozenTrial]) -> set[int]:
        finished = {n: trial for n, trial in trials.items() if trial.state == TrialState.COMPLETE}
        if not finished:
            return set()
        numbers = list(finished)
        return {numbers[trial.number] for trial in self._study(list(finished.values())).best_trials}

    def _study(self, trials: Sequence[FrozenTrial]) -> optuna.Study:
        study = optuna.create_study(storage=InMemoryStorage(), directions=self._directions)
        study.add_trials(trials)
        return study


def optuna_sampler(name: SamplerName, seed: int, begun: int) -> BaseSampler:
    """The sampler that draws one trial.

    Args:
        seed: of this trial alone.
        begun: trials that are drawn at random before any is drawn by what is known.
    """
    match name:
        case "gp":
            return GPSampler(seed=seed, n_startup_trials=begun, warn_independent_sampling=False)
        case "random":
            return RandomSampler(seed=seed)
        case _:
            return TPESampler(seed=seed, n_startup_trials=begun, multivariate=True, group=True, constant_liar=True)


def _stopped(trial: FrozenTrial) -> FrozenTrial:
    """The same as a stopped trial: TPE takes such as worse than all that finished, and does not look at failed ones."""
    stopped = copy(trial)
    stopped.state = TrialState.PRUNED
    return stopped
