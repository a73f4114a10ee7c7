"""Serves the page on this computer alone."""

from __future__ import annotations

import socket
import threading
import time
import webbrowser
from functools import lru_cache

import torch
import uvicorn
from starlette.applications import Starlette

from tatsnet.network.architecture import NetworkConfig
from tatsnet.network.supernet import SuperNetwork
from tatsnet.runtimes.choose import pick
from tatsnet.runtimes.dense import DenseRestorer

LOOPBACK = "127.0.0.1"


def bound(port: int) -> socket.socket:
    """A socket on loopback, not yet listening; port 0 takes a free one.

    It says that it is TCP: only then does asyncio send at once, and not some 40 ms later (Nagle's algorithm).
    On Windows the port is taken for this process alone: there SO_REUSEADDR would share one that is in use.

    Raises:
        OSError: the port is taken.
    """
    place = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    place.setsockopt(socket.SOL_SOCKET, getattr(socket, "SO_EXCLUSIVEADDRUSE", socket.SO_REUSEADDR), 1)
    try:
        place.bind((LOOPBACK, port))
    except OSError:
        place.close()
        raise
    return place


def serve(app: Starlette, place: socket.socket, *, open_browser: bool) -> None:
    """Serve until Ctrl+C."""
    config = uvicorn.Config(app, log_level="warning", access_log=False, server_header=False, ws="none", lifespan="off")
    if open_browser:
        link = f"http://{LOOPBACK}:{place.getsockname()[1]}/"
        opener = threading.Timer(0.5, webbrowser.open, [link])
        opener.daemon = True
        opener.start()
    uvicorn.Server(config).run(sockets=[place])


class DenseClock:
    """Times the dense network that a network was found from; once for each size of picture.

    Its weights are random: the time does not depend on them.

    Args:
        network: width and depth.
        runtime: what runs it, as the pruned one is run.
    """

    def __init__(self, network: NetworkConfig, runtime: str) -> None:
        self._network, self._runtime = network, runtime
        self.seconds = lru_cache(16)(self._measure)

    def _measure(self, height: int, width: int) -> float:
        supernet = SuperNetwork(self._network, torch.Generator().manual_seed(0))
        restorer = DenseRestorer(supernet, pick(self._runtime))
        image_BCHW = torch.rand((1, 3, height, width), generator=torch.Generator().manual_seed(0))
        started = time.perf_counter()
        for _ in restorer.effects(image_BCHW, [(0.5, 0.5, 0.5)]):
            pass
        return time.perf_counter() - started
