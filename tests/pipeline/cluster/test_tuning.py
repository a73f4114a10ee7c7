"""What Ray Tune does not survive is one message."""

from __future__ import annotations

from typing import Any

import pytest
from ray.exceptions import OutOfMemoryError

from pipeline.cluster.tuning import fit
from pipeline.common.errors import UserError


class Dies:
    def __init__(self, cause: Exception | None) -> None:
        self._cause = cause

    def fit(self) -> None:
        raise RuntimeError("Caught unexpected exception") from self._cause


def dying(cause: Exception | None) -> Any:
    return Dies(cause)


def test_workers_that_ray_killed_for_memory_are_one_message_with_a_cure() -> None:
    with pytest.raises(UserError, match=r"ran out of memory.*search\.resources\.concurrent.*same command goes on"):
        fit(dying(OutOfMemoryError("2 workers were killed")))


@pytest.mark.parametrize("cause", [None, KeyError("x")])
def test_an_error_of_ours_stays_one(cause: Exception | None) -> None:
    with pytest.raises(RuntimeError, match="unexpected") as caught:
        fit(dying(cause))
    assert not isinstance(caught.value, UserError)
