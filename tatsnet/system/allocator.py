"""Memory that is freed and soon wanted again: kept in the process, not given back to the system and faulted in anew."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

_M_TRIM_THRESHOLD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -4, -8
_NEVER = -1


def keep_freed_memory() -> bool:
    """Let the C library keep large blocks for the next image, for the rest of the process.

    Networks take and free hundreds of MiB per effect; glibc maps such blocks afresh each time, and the page faults cost
    up to a tenth of a pruned network's time, and a fifth of a small training's. All threads take from one place, so
    that what a compiling thread has freed serves the others. Programs call this at their start; the library leaves the
    process as it is. A block that is taken over and over may be held several times, because small ones come to lie in
    its place: `trim_above` ends that.

    Returns:
        Whether it was done: only glibc knows how.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):
        return False
    return bool(mallopt(_M_MMAP_MAX, 0) and mallopt(_M_TRIM_THRESHOLD, _NEVER) and mallopt(_M_ARENA_MAX, 1))


def trim_above(limit: int) -> bool:
    """Give freed memory back to the system where the process holds more than so many bytes.

    Returns:
        Whether it was done: only on Linux with glibc.
    """
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        if pages * os.sysconf("SC_PAGE_SIZE") <= limit:
            return False
        return bool(ctypes.CDLL(None).malloc_trim(0))
    except (OSError, AttributeError, TypeError, ValueError):
        return False
