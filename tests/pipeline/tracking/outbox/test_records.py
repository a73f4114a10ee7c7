"""Runs that are not made yet have names of their own."""

from __future__ import annotations

import pytest

from pipeline.tracking.keys import check_key
from pipeline.tracking.outbox.records import is_local, local_id, with_run_ids

A, B = local_id(), local_id()


def test_a_local_name_is_new_each_time_and_can_be_a_key() -> None:
    assert A != B
    assert is_local(A)
    assert not is_local("0" * 32)
    assert not is_local(A + "0")
    check_key(A)


@pytest.mark.parametrize(
    ("value", "named"),
    [
        (A, "a"),
        (f"x {A} y {B}", f"x a y {B}"),
        ({"k": A, "l": [A, 1, None]}, {"k": "a", "l": ["a", 1, None]}),
        ({A: "kept"}, {A: "kept"}),
        (1.5, 1.5),
    ],
)
def test_known_names_become_ids_wherever_they_stand(value: object, named: object) -> None:
    assert with_run_ids(value, {A: "a"}.get) == named
