"""Run in a process of its own, because it holds for the rest of a process."""

from __future__ import annotations

import subprocess
import sys

import pytest

TIMES = 20

FAULTS = """
import resource, sys, torch
from tatsnet.system.allocator import keep_freed_memory
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


TRIMMED = """
from pathlib import Path
import torch
from tatsnet.system.allocator import keep_freed_memory, trim_above
def held():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 2**20
if not keep_freed_memory():
    print("unknown")
    raise SystemExit
blocks = [torch.ones(2**24) for _ in range(4)]
small = torch.ones(2**10)  # lies above them: the heap's end cannot move down
del blocks
assert not trim_above(2**40)
full = held()
assert trim_above(2**20)
print(full - held())
"""


def test_freed_memory_goes_back_where_more_is_held_than_may_be() -> None:
    done = subprocess.run([sys.executable, "-c", TRIMMED], capture_output=True, text=True, check=True).stdout.strip()
    if done == "unknown":
        pytest.skip("the C library is not glibc")
    assert float(done) > 200, "four blocks of 64 MiB"
