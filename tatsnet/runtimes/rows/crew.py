"""Threads that work together on one image after the other and are awake when the next one comes."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Sequence

import numpy as np

from tatsnet.runtimes.rows import loops

Work = Callable[[loops.Integers], None]
"""Something to do; it adds 1 to what it is given as soon as it needs no Python any more."""

LOOKS = 100_000
"""At what others have done, before a thread lets others run: some tenths of a millisecond."""

AWAKE = 3_000_000
"""Looks at whether there is more to do, before a thread sleeps: some hundredths of a second.

A sleeping thread starts late: Linux may wake it on the caller's core, and takes some milliseconds to move it to a free
one, which is a fifth of an effect at 480x320.
"""


class Crew:
    """Runs several works at a time, one in the calling thread.

    Args:
        threads: that work, the caller's included; the others start with the first work.
    """

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._turn = threading.Lock()  # works that wait for one another must all be running
        self._called = threading.Condition()
        self._given = 0
        self._begun, self._done = np.zeros(1, np.int64), np.zeros(1, np.int64)
        self._works: Sequence[Work] = ()
        self._failures: list[BaseException] = []
        self._started = False

    def run(self, works: Sequence[Work]) -> None:
        """Run at most as many works as there are threads, all at a time; callers take turns.

        Raises:
            BaseException: what one of them raised.
        """
        if len(works) == 1:
            works[0](np.zeros(1, np.int64))
            return
        with self._turn:
            self._start()
            self._works, self._failures = works[1:], []
            with self._called:
                self._given += 1
                self._called.notify_all()
            try:
                works[0](self._begun)
            finally:
                self._begun[0] = self._given
                wait_for(self._done, self._given * (self._threads - 1))
                self._works = ()  # they hold an image
            if self._failures:
                raise self._failures[0]

    def _start(self) -> None:
        if not self._started:
            for index in range(self._threads - 1):
                threading.Thread(target=self._work, args=(index,), daemon=True).start()
            self._started = True

    def _work(self, index: int) -> None:
        for number in range(1, sys.maxsize):
            self._await(number)
            try:
                if index < len(self._works):
                    self._works[index](np.zeros(1, np.int64))
            except BaseException as error:  # raised in the caller's thread
                self._failures.append(error)
            finally:
                loops.arrive(self._done)

    def _await(self, number: int) -> None:
        """Return when so many works have been given, and the caller is at its own."""
        if not loops.all_there(self._begun, number, AWAKE):
            with self._called:
                self._called.wait_for(lambda: self._given >= number)
            wait_for(self._begun, number)


def wait_for(counter: loops.Integers, goal: int) -> None:
    """Return when a counter is there."""
    while not loops.all_there(counter, goal, LOOKS):
        time.sleep(0)
