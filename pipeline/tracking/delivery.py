"""Records on their way to the tracking server: a training never waits long for them and never dies of them."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

_log = logging.getLogger(__name__)
_LONGEST_PAUSE_S = 600.0

Kind = Literal["params", "metrics", "tags", "artifact", "text", "status", "experiment-tags"]


@dataclass(frozen=True, kw_only=True)
class Record:
    """One thing to write, as plain data, so that it could be kept on disk and sent later."""

    kind: Kind
    target: str
    payload: Mapping[str, Any]
    time_ms: int


class Delivery:
    """Sends records at once and drops, with one warning, those that cannot be delivered.

    After a failure to reach the server nothing is tried for `pause_s` seconds, twice as long after the next one and so
    on, so that an absent server costs one short wait per pause and not one per record. A record that the server
    refuses (a parameter with two values) is warned about once per kind and stops nothing else.

    Args:
        send: writes one record; raises when it could not.
        refused: whether such an error is the server's answer, and not its absence.
        pause_s: seconds without another try after the server was first not reached; never more than ten minutes.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        send: Callable[[Record], None],
        refused: Callable[[Exception], bool],
        pause_s: float = 30.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._send = send
        self._refused = refused
        self._first_pause_s = self._pause_s = pause_s
        self._clock = clock
        self._quiet_until = -float("inf")
        self._warned: set[str] = set()
        self.dropped = 0

    def __call__(self, record: Record) -> bool:
        """Deliver one record; False says that it was dropped."""
        if self._clock() < self._quiet_until:
            self.dropped += 1
            return False
        try:
            self._send(record)
        except Exception as error:
            self._fail(record, error)
            return False
        self._pause_s = self._first_pause_s
        return True

    def _fail(self, record: Record, error: Exception) -> None:
        self.dropped += 1
        if self._refused(error):
            self._warn(record.kind, f"the tracker refused {record.kind} of {record.target}: {error}")
            return
        self._quiet_until = self._clock() + self._pause_s
        self._pause_s = min(2 * self._pause_s, _LONGEST_PAUSE_S)
        self._warn("away", f"the tracker cannot be reached; the work goes on and its records are lost: {error}")

    def _warn(self, topic: str, message: str) -> None:
        if topic not in self._warned:
            self._warned.add(topic)
            _log.warning("%s (said once)", message)
