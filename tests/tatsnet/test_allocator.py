"""Run in a process of its own, because it holds for the rest of a process."""

from __future__ import annotations

import subprocess
import sys

import pytest

TIMES = 20

FAULTS = """
import resource, sys, torch
from tatsnet.allocator import keep_freed_memory
times, mode = int(sys.argv[1]), sys.argv[2]
if mode == "keep" and not keep_freed_memory():
    print("unknown")
    raise SystemExit
def take_and_free():
    for _ in range(times):
        torch.ones(2**24)
take_and_free()  # at first small blocks come to lie in the place of the large one, which goes elsewhere
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
take_and_free()
print((resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) / times)
"""


def faults(mode: str) -> str:
    command = [sys.executable, "-c", FAULTS, str(TIMES), mode]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_memory_that_was_used_is_not_faulted_in_again() -> None:
    kept = faults("keep")
    if kept == "unknown":
        pytest.skip("the C library is not glibc")
    assert float(kept) < 16 < float(faults("leave")), "64 MiB are 32 huge pages or 16384 small ones"
