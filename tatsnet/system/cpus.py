"""How many processors this process may use, on any system."""

from __future__ import annotations

import os


def usable_cpus() -> int:
    """Processors that the system lets this process use; at least 1.

    Only some systems can bind a process to processors: elsewhere it is how many the machine has.
    """
    affinity = getattr(os, "sched_getaffinity", None)
    if affinity is not None:
        try:
            return max(1, len(affinity(0)))
        except OSError:
            pass
    return os.cpu_count() or 1
