"""Progress of a transfer, in MB (10^6 bytes)."""

from __future__ import annotations

from collections.abc import Callable

from pipeline.sources.source import Report
from tatsnet.system.progress import Ticker

_MB = 10**6


def transfer(name: str, total: int, report: Report, start: int = 0) -> Callable[[int], None]:
    """What takes note of how many of a file's `total` bytes are there, and reports it every few seconds."""
    ticker = Ticker(name, -(-total // _MB), report, every=3.0, start=start // _MB)
    return lambda done: ticker.at(done // _MB, "MB")


def megabytes(count: int) -> str:
    """Bytes as a readable number of MB."""
    return f"{count / _MB:.1f} MB"
