"""Warnings that are said once each, however often their cause repeats."""

from __future__ import annotations

import logging

_log = logging.getLogger(__name__)


class WarnOnce:
    """Logs the first warning of every topic."""

    def __init__(self) -> None:
        self._said: set[str] = set()

    def __call__(self, topic: str, message: str) -> None:
        if topic not in self._said:
            self._said.add(topic)
            _log.warning("%s (further warnings suppressed)", message)
