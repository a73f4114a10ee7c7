"""The table of the test set is whole, and training never sees one of its photos."""

from __future__ import annotations

import re
from pathlib import Path

from pipeline.sources.bsds import BsdsSource
from pipeline.sources.cbsd68 import cbsd68
from pipeline.sources.div2k import Div2kSource


def test_table_is_whole() -> None:
    test = cbsd68()
    assert [remote.name for remote in test.remotes] == [f"{number:04}.png" for number in range(68)]
    assert len(test.bsds_ids) == len({remote.sha256 for remote in test.remotes}) == 68
    assert all(re.fullmatch(r"[0-9a-f]{64}", remote.sha256) for remote in test.remotes)
    assert all(name.isdigit() for name in test.bsds_ids)
    assert sum(remote.bytes for remote in test.remotes) == 20_084_133


def test_both_sources_test_on_the_same_bytes() -> None:
    assert BsdsSource(cache=Path()).test == Div2kSource(cache=Path()).test == cbsd68()
