"""Run in a process of its own, because it holds for the rest of a process."""

from __future__ import annotations

import subprocess
import sys

import pytest

FAULTS = """
import resource, sys, torch
from tatsnet.allocator import keep_freed_memory
if sys.argv[1] == "keep" and not keep_freed_memory():
    print("unknown")
    raise SystemExit
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(2**24)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults()
print(faults())
"""


def second_time(mode: str) -> str:
    done = subprocess.run([sys.executable, "-c", FAULTS, mode], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_memory_that_was_used_once_is_not_faulted_in_again() -> None:
    kept = second_time("keep")
    if kept == "unknown":
        pytest.skip("the C library is not glibc")
    assert int(kept) < 100 < int(second_time("leave"))
