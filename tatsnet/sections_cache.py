"""Task-specific sections, ready to run: a new pattern is answered at once, and compiled beside that."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Lock

from tatsnet.architecture import Pattern
from tatsnet.runtimes.api import Compiled

Make = Callable[[Pattern], Compiled]


class SectionCache:
    """The most recently used sections, by pattern. May be used by several threads.

    Args:
        compiled: makes a section in the runtime that was chosen; may take long.
        at_once: makes one that takes no time to make; None where `compiled` takes none.
        bound: sections kept, at least 1.
    """

    def __init__(self, compiled: Make, at_once: Make | None, bound: int) -> None:
        self._compiled, self._at_once, self._bound = compiled, at_once, bound
        self._made: OrderedDict[Pattern, Future[Compiled]] = OrderedDict()
        self._meanwhile: dict[Pattern, Compiled] = {}
        self._lock = Lock()
        self._pool = ThreadPoolExecutor(1, "compile") if at_once else None

    def get(self, pattern: Pattern) -> Compiled:
        """A section that runs now: the compiled one once it is there, until then one that needed no compiling."""
        future = self._future(pattern)
        if self._at_once is None or future.done():
            return future.result()
        with self._lock:
            section = self._meanwhile.get(pattern)
            if section is None:
                section = self._meanwhile[pattern] = self._at_once(pattern)
        return section

    def prepare(self, patterns: Iterable[Pattern]) -> None:
        """Compile patterns now and wait for it, so many as are kept."""
        for future in [self._future(pattern) for pattern in list(dict.fromkeys(patterns))[: self._bound]]:
            future.result()

    def __len__(self) -> int:
        """Sections kept."""
        return len(self._made)

    def _future(self, pattern: Pattern) -> Future[Compiled]:
        with self._lock:
            future = self._made.get(pattern)
            if future is None:
                future = self._made[pattern] = self._start(pattern)
            self._made.move_to_end(pattern)
            while len(self._made) > self._bound:
                old, dropped = self._made.popitem(last=False)
                dropped.cancel()
                self._meanwhile.pop(old, None)
            return future

    def _start(self, pattern: Pattern) -> Future[Compiled]:
        if self._pool is not None:
            future = self._pool.submit(self._compiled, pattern)
            future.add_done_callback(lambda _: self._meanwhile.pop(pattern, None))
            return future
        done: Future[Compiled] = Future()
        try:
            done.set_result(self._compiled(pattern))
        except BaseException as error:
            done.set_exception(error)
        return done
