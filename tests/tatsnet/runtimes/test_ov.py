"""What OpenVINO does to a process."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytest.importorskip("openvino")

SIGNAL_AFTER_RUNTIMES = """
import faulthandler, gc, os, signal
from tatsnet.runtimes.choose import pick
faulthandler.enable()  # gives the main thread a stack for signals
signal.signal(signal.SIGUSR1, lambda number, frame: print("answered"))
first, second = pick("openvino"), pick("openvino")
del first
gc.collect()
del second
gc.collect()
os.kill(os.getpid(), signal.SIGUSR1)
"""


def test_a_signal_is_answered_after_runtimes_came_and_went() -> None:
    done = subprocess.run([sys.executable, "-c", SIGNAL_AFTER_RUNTIMES], capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (0, "answered"), done.stderr
