"""A training of the cluster beside a search that runs there, in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pipeline.cluster.ray_auth import cluster_address
from pipeline.cluster.store import place_of_all
from pipeline.config import Resources

_LOOK_S, _PATIENCE_S = 2.0, 120.0


@contextmanager
def beside(root: Path, module: str, arguments: Sequence[str], resources: Resources) -> Iterator[None]:
    """While the block runs, run a module, on a cluster with a store that takes several trials at a time; else nothing.

    The block waits until the module has been given a place, or a trial would take each that falls free before it.

    Args:
        root: the project folder, in which it runs.
        arguments: of its command line, after this process's id for `end_with` and the file that it makes when it has a
            place.
    """
    if not (cluster_address() and place_of_all() and resources.concurrent > 1):
        yield
        return
    with tempfile.TemporaryDirectory() as folder:
        placed = Path(folder) / "placed"
        command = [sys.executable, "-m", module, str(os.getpid()), str(placed), *arguments]
        process = subprocess.Popen(command, cwd=root)
        try:
            deadline = time.monotonic() + _PATIENCE_S
            while not placed.exists() and process.poll() is None and time.monotonic() < deadline:
                time.sleep(_LOOK_S / 4)
            yield
        finally:
            process.terminate()
            process.wait()


def end_with(parent: int) -> None:
    """End this process with the one that began it, however that ends."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_LOOK_S)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
