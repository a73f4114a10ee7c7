"""A new pattern never waits for a compiler, a known one runs compiled, and no more are kept than the bound."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tatsnet.pruned.section_cache import SectionCache

A, B, C, D, E = (((number,),) for number in range(5))
PATIENCE_S = 20.0


class Maker:
    """Makes sections that are only names, once it may."""

    def __init__(self, kind: str, *, open_now: bool = True) -> None:
        self.kind, self.made, self.gate = kind, [], threading.Event()  # type: ignore[var-annotated]
        if open_now:
            self.gate.set()

    def __call__(self, pattern: Any) -> Any:
        assert self.gate.wait(PATIENCE_S)
        self.made.append(pattern)
        return (self.kind, pattern)


def until(holds: Callable[[], bool]) -> None:
    waited = threading.Event()
    for _ in range(int(PATIENCE_S / 0.01)):
        if holds():
            return
        waited.wait(0.01)
    raise AssertionError("not within the time")


def test_answers_while_it_compiles_and_runs_compiled_after() -> None:
    slow, quick = Maker("compiled", open_now=False), Maker("at once")
    cache = SectionCache(slow, quick, bound=4)
    assert [cache.get(A), cache.get(A)] == [("at once", A)] * 2
    assert quick.made == [A], "made once"
    slow.gate.set()
    until(lambda: cache.get(A) == ("compiled", A))
    assert slow.made == [A]


def test_prepare_waits_for_all_of_them() -> None:
    slow, quick = Maker("compiled"), Maker("at once")
    cache = SectionCache(slow, quick, bound=4)
    cache.prepare([A, B, A])
    assert [cache.get(A), cache.get(B)] == [("compiled", A), ("compiled", B)]
    assert (slow.made, quick.made) == ([A, B], [])


def test_keeps_the_most_recently_used() -> None:
    maker = Maker("compiled")
    cache = SectionCache(maker, None, bound=2)
    for pattern in (A, B, A, C, A, B):
        cache.get(pattern)
        assert len(cache) <= 2
    assert maker.made == [A, B, C, B], "B made room for C, C for B, A stayed"


def test_a_waiting_compile_that_nobody_wants_any_more_is_given_up() -> None:
    slow, quick = Maker("compiled", open_now=False), Maker("at once")
    cache = SectionCache(slow, quick, bound=1)
    for pattern in (A, B, C):
        assert cache.get(pattern) == ("at once", pattern)
    slow.gate.set()
    until(lambda: cache.get(C) == ("compiled", C))
    assert B not in slow.made


def test_what_somebody_waits_for_is_compiled_while_another_thread_drags_a_slider() -> None:
    slow, quick = Maker("compiled", open_now=False), Maker("at once")
    cache = SectionCache(slow, quick, bound=2)
    cache.get(A)
    with ThreadPoolExecutor(1) as other:
        waiting = other.submit(cache.prepare, [B, C])
        until(lambda: len(cache) == 2)
        for pattern in (D, E, A):
            assert cache.get(pattern) == ("at once", pattern)
        slow.gate.set()
        waiting.result(PATIENCE_S)
    assert {B, C} <= set(slow.made)


class Fails:
    """Cannot make a section at first."""

    def __init__(self, times: int) -> None:
        self.left, self.failed = times, 0

    def __call__(self, pattern: Any) -> Any:
        if self.left:
            self.left, self.failed = self.left - 1, self.failed + 1
            raise MemoryError("just now")
        return ("compiled", pattern)


def test_what_cannot_be_compiled_is_answered_at_once_and_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    fails = Fails(2)
    cache = SectionCache(fails, Maker("at once"), bound=2)
    assert cache.get(A) == ("at once", A)
    until(lambda: cache.get(A) == ("compiled", A))
    assert fails.failed == 2
    assert [record.message for record in caplog.records] == [
        "a section could not be compiled (MemoryError('just now')); it is tried again (further warnings suppressed)"
    ]


@pytest.mark.parametrize("at_once", [None, Maker("at once")], ids=["no compiler", "compiler"])
def test_a_failure_is_not_kept(at_once: Maker | None) -> None:
    cache = SectionCache(Fails(1), at_once, bound=2)
    with pytest.raises(MemoryError, match="just now"):
        cache.prepare([A])
    cache.prepare([A])
    assert cache.get(A) == ("compiled", A)


@pytest.mark.parametrize("at_once", [None, Maker("at once")], ids=["no compiler", "compiler"])
def test_what_went_wrong_is_raised_where_it_is_asked_for(at_once: Maker | None) -> None:
    def broken(pattern: Any) -> Any:
        raise ValueError("weights of another network")

    cache = SectionCache(broken, at_once, bound=2)
    with pytest.raises(ValueError, match="another network"):
        cache.prepare([A])


def test_many_threads_ask_for_the_same_and_it_is_made_once() -> None:
    maker = Maker("compiled")
    cache = SectionCache(maker, None, bound=8)
    threads = [threading.Thread(target=cache.get, args=(pattern,)) for pattern in (A, B, C) * 8]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(maker.made) == [A, B, C]
