"""How long a search still takes, by the iterations that were trained since it began, those of running trials too."""

from __future__ import annotations

import time
from collections.abc import Callable


class Estimate:
    """Counts iterations.

    Args:
        trials: that are wanted.
        iterations: of one that is trained to its end.
        done: trials that count already.
        done_iterations: that these were trained; fewer than `done * iterations` where some were stopped early.
        clock: seconds that only grow.
    """

    def __init__(
        self,
        trials: int,
        iterations: int,
        done: int = 0,
        done_iterations: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._trials, self._iterations, self._clock = trials, iterations, clock
        self._done, self._began = done, clock()
        self._done_iterations = float(done * iterations) if done_iterations is None else done_iterations
        self._running: dict[int, float] = {}
        self._trained = 0.0

    @property
    def iterations(self) -> float:
        """Of the trials that count and of those under way."""
        return self._done_iterations + sum(self._running.values())

    def reached(self, trial: int, iteration: int, *, counts: bool = True) -> None:
        """A trial is so far; what it comes with when it is handed out was not trained now."""
        if counts:
            self._trained += max(0.0, iteration - self._running.get(trial, 0.0))
        self._running[trial] = float(iteration)

    def ended(self, trial: int, iterations: float, *, counts: bool) -> None:
        """A trial ended after so many iterations; whether it is one of those wanted."""
        self._trained += max(0.0, iterations - self._running.pop(trial, 0.0))
        if counts:
            self._done += 1
            self._done_iterations += iterations

    def left_s(self) -> float | None:
        """Seconds; None before anything was trained.

        A trial that is not begun counts as much as those that are done on average.
        """
        if not self._trained:
            return None
        each = self._done_iterations / self._done if self._done else float(self._iterations)
        open_trials = max(0, self._trials - self._done)
        under_way = sorted(self._running.values(), reverse=True)[:open_trials]
        work = sum(max(0.0, self._iterations - reached) for reached in under_way)
        work += (open_trials - len(under_way)) * each
        return (self._clock() - self._began) / self._trained * work
