"""How long a search still takes, by the iterations that were trained since it began, those of running trials too."""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

_SIMULATED = 1000


@dataclass
class _Running:
    """A trial under way: when it was taken up, how far it was then and is now, when it said so."""

    began: float
    start: float
    reached: float
    told: float


class Estimate:
    """Counts iterations and the time that trials took for them.

    Args:
        trials: that are wanted.
        iterations: of one that is trained to its end.
        done: trials that count already.
        done_iterations: that these were trained; fewer than `done * iterations` where some were stopped early.
        places: trials at a time; 0 is unknown.
        clock: seconds that only grow.
    """

    def __init__(
        self,
        trials: int,
        iterations: int,
        done: int = 0,
        done_iterations: float | None = None,
        places: int = 1,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._trials, self._iterations, self._places, self._clock = trials, iterations, places, clock
        self._done = done
        self._done_iterations = float(done * iterations) if done_iterations is None else done_iterations
        self._running: dict[int, _Running] = {}
        self._busy_s, self._trained = 0.0, 0.0

    @property
    def iterations(self) -> float:
        """Of the trials that count and of those under way."""
        return self._done_iterations + sum(trial.reached for trial in self._running.values())

    @property
    def saved(self) -> float:
        """Share of the iterations of the trials that count which were not trained, as these were stopped early."""
        full = self._done * self._iterations
        return max(0.0, 1 - self._done_iterations / full) if full else 0.0

    def started(self, trial: int, iteration: float = 0.0) -> None:
        """A trial is handed out; what it comes with was not trained now."""
        now = self._clock()
        self._running[trial] = _Running(began=now, start=iteration, reached=iteration, told=now)

    def reached(self, trial: int, iteration: float) -> None:
        """A trial is so far."""
        if trial not in self._running:
            self.started(trial)
        self._running[trial].reached, self._running[trial].told = iteration, self._clock()

    def ended(self, trial: int, iterations: float, *, counts: bool) -> None:
        """A trial ended after so many iterations; whether it is one of those wanted."""
        known = self._running.pop(trial, None)
        if known is not None:
            self._busy_s += self._clock() - known.began
            self._trained += max(iterations, known.reached) - known.start
        if counts:
            self._done += 1
            self._done_iterations += iterations

    def left_s(self) -> float | None:
        """Seconds until all wanted trials are done, if none fails; None while nobody knows.

        A trial that is not begun counts as much as those that are done on average.
        """
        trials = self._running.values()
        trained = self._trained + sum(trial.reached - trial.start for trial in trials)
        if trained <= 0 or not self._places:
            return None
        now = self._clock()
        iteration_s = (self._busy_s + sum(trial.told - trial.began for trial in trials)) / trained
        each = self._done_iterations / self._done if self._done else float(self._iterations)
        open_trials = max(0, self._trials - self._done)
        running = sorted(
            max(0.0, (self._iterations - trial.reached) * iteration_s - (now - trial.told)) for trial in trials
        )[:open_trials]
        return _makespan(running, open_trials - len(running), each * iteration_s, self._places)


def _makespan(running: Iterable[float], waiting: int, each_s: float, places: int) -> float:
    """Seconds until all is done, where each place that falls free takes the next trial that waits."""
    ends = [*running]
    ends += [0.0] * (places - len(ends))
    if waiting > _SIMULATED:
        return (sum(ends) + waiting * each_s) / len(ends)
    heapq.heapify(ends)
    for _ in range(waiting):
        heapq.heapreplace(ends, ends[0] + each_s)
    return max(ends)
