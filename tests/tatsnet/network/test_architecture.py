"""The frozen spec of a found network: numbering, validation, JSON there and back, canonical patterns."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from tatsnet.network.architecture import (
    Architecture,
    Conv,
    NetworkConfig,
    Pattern,
    Role,
    canonical,
    convolutions,
    dumps,
    gather,
)

TINY = NetworkConfig(width=4, blocks=1)  # 6 points: head, in, mid, out, tail in, up out
FULL: Pattern = ((0, 1, 2, 3),) * 6
THIN: Pattern = ((0, 1, 2, 3), (0,), (1, 3), (2,), (0, 2), (1,))
ORIGIN, FAR = (0.0, 0.0, 0.0), (1.0, 0.5, 0.25)


def found(**changes: Any) -> Architecture:
    values: dict[str, Any] = {
        "network": TINY,
        "shared": 1,
        "patterns": (FULL, THIN),
        "tasks": ((ORIGIN, 0), (FAR, 1)),
        "controller_hidden": 8,
    }
    return Architecture(**(values | changes))


def test_the_papers_network() -> None:
    network = NetworkConfig()
    assert (network.width, network.blocks, network.points) == (64, 32, 99)
    assert len(convolutions(network)) == 1 + 64 + 1 + 2


@pytest.mark.parametrize(("width", "blocks"), [(0, 1), (6, 1), (2, 1), (-4, 1), (8, 0)])
def test_a_bad_size_is_refused(width: int, blocks: int) -> None:
    with pytest.raises(ValueError, match="must be"):
        NetworkConfig(width=width, blocks=blocks)


def test_convolutions_and_the_points_between_them() -> None:
    assert convolutions(TINY) == (
        Conv(Role.HEAD, None, None, 3, 0, 4, 0.25, 1),
        Conv(Role.ENTER, 0, 1, 4, 2, 4, 0.25, 3),
        Conv(Role.LEAVE, 0, 2, 4, 3, 4, 0.25, 4),
        Conv(Role.TAIL, None, 4, 4, None, 4, 0.25, 5),
        Conv(Role.UP, None, None, 1, 5, 4, 1.0, 6),
        Conv(Role.OUT, None, 5, 4, None, 3, 1.0, 6),
    )
    names = [conv.name for conv in convolutions(TINY)]
    assert names == ["head", "blocks.0.conv1", "blocks.0.conv2", "tail", "up", "out"]


@pytest.mark.parametrize("blocks", [1, 2, 32])
def test_every_point_is_written_or_read_and_the_order_of_sharing_is_the_order_of_the_network(blocks: int) -> None:
    network = NetworkConfig(width=8, blocks=blocks)
    convs = convolutions(network)
    points = {c.fan_in for c in convs} | {c.fan_out for c in convs}
    assert points - {None} == set(range(network.points))
    needed = [c.shared_from for c in convs]
    assert needed == sorted(needed)
    assert needed[-1] == network.points


def test_json_there_and_back() -> None:
    architecture = found()
    assert Architecture.from_json(json.loads(dumps(architecture))) == architecture
    assert dumps(Architecture.from_json(json.loads(dumps(architecture)))) == dumps(architecture)


def test_json_holds_plain_values() -> None:
    data = found().to_json()
    assert data["network"] == {"width": 4, "blocks": 1, "zero_task": "identity"}
    assert data["patterns"][1] == [[0, 1, 2, 3], [0], [1, 3], [2], [0, 2], [1]]
    assert data["tasks"][1] == {"task": [1.0, 0.5, 0.25], "pattern": 1}


@pytest.mark.parametrize("missing", ["network", "shared", "patterns", "tasks", "controller_hidden"])
def test_json_with_a_missing_key_is_refused(missing: str) -> None:
    data = copy.deepcopy(found().to_json())
    del data[missing]
    with pytest.raises(ValueError, match=missing):
        Architecture.from_json(data)


@pytest.mark.parametrize(
    "changes",
    [
        {"patterns": 3},
        {"patterns": [[["a"]] * 6]},
        {"network": []},
        {"network": {"width": 5, "blocks": 1}},
        {"tasks": [[0, 0, 0]]},
        {"shared": None},
    ],
)
def test_json_of_the_wrong_kind_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        Architecture.from_json(found().to_json() | changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"shared": 7}, "shared must be in 0 .. 6, got 7"),
        ({"shared": -1}, "shared must be in"),
        ({"shared": 2}, "pattern 1 disagrees"),
        ({"patterns": ()}, "at least one pattern"),
        ({"tasks": ()}, "at least one pattern and one task"),
        ({"patterns": (FULL, FULL[:5])}, "pattern 1 has 5 selection points"),
        ({"patterns": (FULL, (*THIN[:5], (3, 1)))}, "pattern 1, point 5: channels must be sorted"),
        ({"patterns": (FULL, (*THIN[:5], (1, 1)))}, "pattern 1, point 5"),
        ({"patterns": (FULL, (*THIN[:5], (1, 4)))}, "pattern 1, point 5"),
        ({"patterns": (FULL, (*THIN[:5], (-1, 1)))}, "pattern 1, point 5"),
        ({"tasks": ((ORIGIN, 2),)}, "names pattern 2, there are 2"),
        ({"tasks": ((ORIGIN, -1),)}, "names pattern -1"),
    ],
)
def test_an_invalid_architecture_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message.replace(".", r"\.")):
        found(**changes)


def test_a_closed_point_is_allowed() -> None:
    assert found(patterns=(FULL, (*THIN[:5], ()))).patterns[1][5] == ()


def test_shared_percent() -> None:
    assert found(shared=0).shared_percent == 0
    assert found().shared_percent == pytest.approx(100 / 6)
    kept = tuple((0,) for _ in range(99))
    assert round(gather(NetworkConfig(), 61, [(ORIGIN, kept)]).shared_percent) == 62
    assert round(gather(NetworkConfig(), 98, [(ORIGIN, kept)]).shared_percent) == 99


def test_gather_keeps_each_pattern_once_in_the_order_of_the_tasks() -> None:
    middle = (0.5, 0.5, 0.5)
    architecture = gather(TINY, 1, [(ORIGIN, THIN), (FAR, FULL), (middle, THIN)], 8)
    assert architecture.patterns == (THIN, FULL)
    assert architecture.tasks == ((ORIGIN, 0), (FAR, 1), (middle, 0))
    assert architecture.controller_hidden == 8


@pytest.mark.parametrize(
    ("pattern", "shared", "expected"),
    [
        # nothing idle
        ([[0, 1], [0], [2], [1], [0, 1], [3]], 0, [[0, 1], [0], [2], [1], [0, 1], [3]]),
        # the block reads 2, which the head has not written; the tail reads 2, which the block has
        ([[0, 1], [0, 2], [2], [2], [0, 2], [3]], 0, [[0], [0], [2], [2], [0, 2], [3]]),
        # the tail reads 3, which nobody has written; nobody reads what the block writes to 1
        ([[0], [0], [2], [1, 2], [2, 3], [3]], 0, [[0], [0], [2], [2], [2], [3]]),
        # the head's channel 1 is read by nobody, but other tasks may read what is shared
        ([[0, 1], [0], [2], [2], [2], [3]], 1, [[0, 1], [0], [2], [2], [2], [3]]),
        # the block's output to 1 is shared
        ([[0], [0], [2], [1, 2], [2], [3]], 4, [[0], [0], [2], [1, 2], [2], [3]]),
        # reading what is never written is idle in the shared part, too
        ([[0], [0, 3], [2], [2], [0, 2], [3]], 6, [[0], [0], [2], [2], [0, 2], [3]]),
    ],
)
def test_canonical_by_hand(pattern: list[list[int]], shared: int, expected: list[list[int]]) -> None:
    assert canonical(TINY, tuple(map(tuple, pattern)), shared) == tuple(map(tuple, expected))


def test_canonical_twice_is_canonical_once() -> None:
    once = canonical(TINY, ((0, 1), (0, 2), (2,), (1, 2), (2, 3), (3,)), 0)
    assert canonical(TINY, once, 0) == once
