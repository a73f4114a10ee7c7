"""Recordings are made once per size, and kept within a bound."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from tatsnet.runtimes.torch.cudagraph import SIZES, Record, Recorded, Recorder
from tatsnet.runtimes.torch.layers import State

NOTHING = torch.zeros(1, 0, 2, 2)
TASK = torch.tensor([0.5, 0.0, 1.0])


def add_up(state: State, task_D: Tensor) -> State:
    """A section that changes its input in place, as one may that owns it."""
    stream = state.stream_BCHW.add_(task_D.sum())
    return State(state.image_BCHW, stream, state.image_BCHW[:, :0], True)


def counting(made: list[int]) -> Record:
    def record(work: Callable[[], State]) -> tuple[State, Callable[[], None]]:
        made.append(1)
        result = work()

        def replay() -> None:
            for old, new in zip(result[:3], work()[:3], strict=True):
                old.copy_(new)

        return result, replay

    return record


def test_a_stream_that_is_read_in_place_is_recorded_where_it_lies_and_left_alone() -> None:
    made: list[int] = []

    def add(state: State, task_D: Tensor) -> State:
        assert not state.owned
        return state._replace(stream_BCHW=state.stream_BCHW + task_D.sum(), owned=True)

    section = Recorded(add, Recorder(counting(made), in_place=True))
    here, there = state_of(4, 1.0), state_of(4, 2.0)
    for given, value in [(here, 1.0), (there, 2.0), (here, 1.0)]:
        assert float(section(given, TASK).stream_BCHW[0, 0, 0, 0]) == value + 1.5
        assert float(given.stream_BCHW[0, 0, 0, 0]) == value
    here.stream_BCHW.fill_(5.0)
    assert float(section(here, 2 * TASK).stream_BCHW[0, 0, 0, 0]) == 8.0
    assert len(made) == 2


def state_of(width: int, value: float) -> State:
    return State(torch.zeros(1, 3, 2, 2), torch.full((1, 1, 2, width), value), NOTHING, False)


def test_a_size_is_recorded_once_and_answers_what_is_asked_each_time() -> None:
    made: list[int] = []
    section = Recorded(add_up, Recorder(counting(made)))
    first, second = (section(state_of(4, value), TASK) for value in (1.0, 2.0))
    assert float(first.stream_BCHW[0, 0, 0, 0]) == 2.5
    assert float(second.stream_BCHW[0, 0, 0, 0]) == 3.5
    assert len(made) == 1


def test_sizes_that_come_and_go_stay_right_and_bounded() -> None:
    made: list[int] = []
    recorder = Recorder(counting(made))
    sections = [Recorded(add_up, recorder), Recorded(add_up, recorder)]
    widths = range(1, SIZES + 3)
    for value in (1.0, 5.0):
        for width in widths:
            for section in sections:
                result = section(state_of(width, value), TASK).stream_BCHW
                assert torch.equal(result, torch.full((1, 1, 2, width), value + 1.5))
    assert len(made) == 2 * 2 * len(widths), "each round finds the sizes of the round before gone"
    assert all(len(section._recordings) == SIZES for section in sections)
    assert len(recorder._inputs) == SIZES
