"""What a search sees while no trial runs, so that nobody reports: no node has room for one, and time may be up."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ray.tune import Stopper
from ray.tune.experiment import Trial

if TYPE_CHECKING:
    from ray.tune.execution.tune_controller import TuneController


class Watch(Stopper):
    """Ends Tune where it is to end and no trial runs that could be suspended at its rung; tells of nothing running.

    Args:
        reached: what a search is to end for, or None.
        idle: called once each time that nothing has run for `patience_s`.
        patience_s: seconds.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        reached: Callable[[], str | None],
        idle: Callable[[], None],
        patience_s: float = 60.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.controller: TuneController | None = None
        self._reached, self._idle, self._patience_s, self._clock = reached, idle, patience_s, clock
        self._since: float | None = None
        self._said = False

    def __getstate__(self) -> dict[str, Any]:
        """Nothing, for the copies that Tune pickles and nobody reads."""
        return {}

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """No trial ends for its result alone."""
        return False

    def stop_all(self) -> bool:
        """Tune asks some ten times a second."""
        live = list(self.controller.get_live_trials()) if self.controller else []
        if not live or any(trial.status == Trial.RUNNING for trial in live):
            self._since, self._said = None, False
            return False
        self._since = self._clock() if self._since is None else self._since
        if self._clock() - self._since >= self._patience_s and not self._said:
            self._said = True
            self._idle()
        return self._reached() is not None
