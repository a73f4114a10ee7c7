"""The demo's server, started in this process on a free port, and requests as a page or a stranger sends them."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlencode

import uvicorn
from starlette.applications import Starlette

from tatsnet.demo.server import bound


class Client:
    """Sends what a page from this server would send, unless told otherwise."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.own = {"Host": f"127.0.0.1:{port}", "Origin": f"http://127.0.0.1:{port}"}

    def __call__(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None, **query: Any
    ) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            target = f"{path}?{urlencode(query)}" if query else path
            connection.request(method, target, body, self.own if headers is None else headers)
            answer = connection.getresponse()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
        finally:
            connection.close()


@contextmanager
def served(app: Starlette) -> Iterator[Client]:
    """The application for the length of the block."""
    with bound(0) as place:
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", ws="none", lifespan="off"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [place]})
        thread.start()
        try:
            while not server.started and thread.is_alive():
                time.sleep(0.01)
            yield Client(place.getsockname()[1])
        finally:
            server.should_exit = True
            thread.join(30)
