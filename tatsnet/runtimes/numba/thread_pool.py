"""Threads that work together on one image after the other and are awake when the next one comes."""

from __future__ import annotations

import itertools
import threading
import time
import weakref
from collections.abc import Callable, Sequence

import numpy as np

from tatsnet.runtimes.numba import loops

Work = Callable[[loops.Integers], None]
"""Something to do; it adds 1 to what it is given as soon as it needs no Python any more."""

LOOKS = 100_000
"""At what others have done, before a thread lets others run: some tenths of a millisecond."""

AWAKE = 3_000_000
"""Looks at whether there is more to do, before a thread sleeps: some hundredths of a second.

A sleeping thread starts late: Linux may wake it on the caller's core, and takes some milliseconds to move it to a free
one, which is a fifth of an effect at 480x320.
"""


class ThreadPool:
    """Runs several works at a time, one in the calling thread.

    Args:
        threads: that work, the caller's included; the others start with the first work, and end with the pool.
    """

    def __init__(self, threads: int) -> None:
        self._others = threads - 1
        self._turn = threading.Lock()  # works that wait for one another must all be running
        self._board = _Board()
        self._started = False
        weakref.finalize(self, self._board.call, ())

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
            board = self._board
            board.call(works[1:])
            try:
                works[0](board.begun)
            finally:
                board.begun[0] = board.given
                wait_for(board.done, board.given * self._others)
                board.works = ()  # they hold an image
            failures, board.failures = board.failures, []
            if failures:
                raise failures[0]

    def _start(self) -> None:
        if not self._started:
            for index in range(self._others):
                threading.Thread(target=_work, args=(self._board, index), daemon=True).start()
            self._started = True


class _Board:
    """What the caller and the other threads know of one another.

    Attributes:
        given: how often there was something to do.
        works: of the others; none once nothing more will come.
        begun: as `given`, as soon as the caller is at its own work.
        done: by how many threads, in all.
        failures: of the works that were given last.
    """

    def __init__(self) -> None:
        self.called = threading.Condition()
        self.given = 0
        self.works: Sequence[Work] = ()
        self.begun, self.done = np.zeros(1, np.int64), np.zeros(1, np.int64)
        self.failures: list[BaseException] = []

    def call(self, works: Sequence[Work]) -> None:
        """Give works to the others; none sends them home."""
        self.works, self.failures = works, []
        with self.called:
            self.given += 1
            self.called.notify_all()
        if not works:
            self.begun[0] = self.given

    def wait(self, number: int) -> Sequence[Work]:
        """Return when so many works have been given, and the caller is at its own."""
        if not loops.all_there(self.begun, number, AWAKE):
            with self.called:
                self.called.wait_for(lambda: self.given >= number)
            wait_for(self.begun, number)
        return self.works


def _work(board: _Board, index: int) -> None:
    """What another thread than the caller's does until there will be nothing more."""
    for number in itertools.count(1):
        works = board.wait(number)
        if not works:
            return
        try:
            if index < len(works):
                works[index](np.zeros(1, np.int64))
        except BaseException as error:  # raised in the caller's thread
            board.failures.append(error)
        finally:
            del works
            loops.arrive(board.done)


def wait_for(counter: loops.Integers, goal: int) -> None:
    """Return when a counter is there."""
    while not loops.all_there(counter, goal, LOOKS):
        time.sleep(0)
