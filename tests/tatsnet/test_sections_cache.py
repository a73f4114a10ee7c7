"""A new pattern never waits for a compiler, a known one runs compiled, and no more are kept than the bound."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from tatsnet.sections_cache import SectionCache

A, B, C = ((0,),), ((1,),), ((2,),)
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
