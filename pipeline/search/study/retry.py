"""A study's database may be away for a while: it is started anew, moves to another machine, or its disk is full."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from optuna.exceptions import StorageInternalError
from sqlalchemy.exc import SQLAlchemyError

from pipeline.common.errors import UserError
from pipeline.common.progress import say

T = TypeVar("T")


class StudyAway(UserError):
    """The study could not be read or written."""


class Patience:
    """Repeats what a database that is away could not do.

    Args:
        limit_s: seconds for which one call is repeated. Once they were not enough, every later call is tried once.
        pause_s: seconds between two tries.
    """

    def __init__(self, limit_s: float = 300.0, pause_s: float = 5.0) -> None:
        self._limit_s, self._pause_s = limit_s, pause_s

    def __call__(self, call: Callable[[bool], T]) -> T:
        """What `call` returns.

        Args:
            call: is told whether it is a repetition: an earlier try may have done the work and only not have said so.

        Raises:
            StudyAway: the database stays away.
        """
        began, again = time.monotonic(), False
        while True:
            try:
                return call(again)
            except (StorageInternalError, SQLAlchemyError) as error:
                why = _brief(error)
                if time.monotonic() - began >= self._limit_s:
                    self._limit_s = 0.0
                    raise StudyAway(
                        f"the study's database cannot be used ({why}): start it, or give it space, see TATSNET_STUDY; "
                        "what is trained lies in the store, and the same command goes on"
                    ) from error
            if not again:
                say(f"search  waits for the study's database, {self._limit_s:g} s at most: {why}")
            again = True
            time.sleep(self._pause_s)


def _brief(error: Exception) -> str:
    """The first line of what the database's driver said: what follows are statements and their values."""
    cause = error.__cause__ if isinstance(error, StorageInternalError) and error.__cause__ else error
    return str(getattr(cause, "orig", None) or cause).strip().partition("\n")[0]
