"""Task-specific sections, ready to run: a new one is answered for at once, and compiled beside that."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Lock
from typing import Generic, TypeVar
from weakref import WeakSet

from tatsnet.runtimes.api import Compiled

_log = logging.getLogger(__name__)
Key = TypeVar("Key", bound=Hashable)


class SectionCache(Generic[Key]):
    """The most recently used sections, each by what tells it from others. May be used by several threads.

    What could not be compiled is not kept: it is tried again when it is asked for again.

    Args:
        compiled: makes a section in the runtime that was chosen; may take long.
        at_once: makes one that takes no time to make; None where `compiled` takes none.
        bound: sections kept, at least 1.
    """

    def __init__(
        self, compiled: Callable[[Key], Compiled], at_once: Callable[[Key], Compiled] | None, bound: int
    ) -> None:
        self._compiled, self._at_once, self._bound = compiled, at_once, bound
        self._made: OrderedDict[Key, Future[Compiled]] = OrderedDict()
        self._meanwhile: dict[Key, Compiled] = {}
        self._awaited: WeakSet[Future[Compiled]] = WeakSet()
        self._said = False
        self._lock = Lock()
        self._pool = ThreadPoolExecutor(1, "compile") if at_once else None

    def get(self, key: Key) -> Compiled:
        """A section that runs now: the compiled one once it is there, until then one that needed no compiling.

        What `compiled` raises is raised here only where there is no `at_once`.
        """
        future = self._future(key)
        if self._at_once is None or _succeeded(future):
            return future.result()
        with self._lock:
            section = self._meanwhile.get(key)
            if section is None:
                section = self._meanwhile[key] = self._at_once(key)
        return section

    def prepare(self, keys: Iterable[Key]) -> None:
        """Compile them now and wait for it, so many as are kept; what `compiled` raises is raised here."""
        kept = list(dict.fromkeys(keys))[: self._bound]
        for future in [self._future(key, awaited=True) for key in kept]:
            future.result()

    def __len__(self) -> int:
        """Sections kept."""
        return len(self._made)

    def _future(self, key: Key, *, awaited: bool = False) -> Future[Compiled]:
        """The compiling of a section, begun, under way or done; one that is awaited is never cancelled."""
        with self._lock:
            future = self._made.get(key)
            if future is not None and future.done() and (error := future.exception()) is not None:
                self._say_once(error)
                future = None
            if future is None:
                future = self._made[key] = self._start(key)
            if awaited:
                self._awaited.add(future)
            self._made.move_to_end(key)
            while len(self._made) > self._bound:
                old, dropped = self._made.popitem(last=False)
                if dropped not in self._awaited:
                    dropped.cancel()
                self._meanwhile.pop(old, None)
            return future

    def _say_once(self, error: BaseException) -> None:
        if not self._said:
            self._said = True
            _log.warning("a section could not be compiled (%r); it is tried again (further warnings suppressed)", error)

    def _start(self, key: Key) -> Future[Compiled]:
        if self._pool is not None:
            future = self._pool.submit(self._compiled, key)
            future.add_done_callback(lambda _: self._meanwhile.pop(key, None))
            return future
        done: Future[Compiled] = Future()
        try:
            done.set_result(self._compiled(key))
        except BaseException as error:
            done.set_exception(error)
        return done


def _succeeded(future: Future[Compiled]) -> bool:
    return future.done() and not future.cancelled() and future.exception() is None
