"""A real web server on 127.0.0.1 that can resume, and can misbehave on demand."""

from __future__ import annotations

import hashlib
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from pipeline.sources.download import Remote


@dataclass
class Fault:
    """How one request goes wrong.

    Args:
        status: answered in place of the file.
        cut: the connection ends after so many bytes of the body.
        deaf: the Range header is not heeded.
        shift: the range starts so many bytes later than asked.
        unmeasured: no Content-Length.
        silent: no answer until the site closes.
    """

    status: int = 0
    cut: int | None = None
    deaf: bool = False
    shift: int = 0
    unmeasured: bool = False
    silent: bool = False


@dataclass
class Site:
    """Files by path, faults of the next requests, and the Range header of every request so far."""

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    faults: deque[Fault] = field(default_factory=deque)
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    closing: threading.Event = field(default_factory=threading.Event)

    def remote(self, path: str, data: bytes, served: bytes | None = None) -> Remote:
        """Serve `data` (or something else in its place), and the record that a source would pin for it."""
        self.files[f"/{path}"] = data if served is None else served
        name = path.rpartition("/")[2]
        return Remote(url=f"{self.url}/{path}", name=name, bytes=len(data), sha256=hashlib.sha256(data).hexdigest())


def _handler(site: Site) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = self.headers.get("Range")
            site.asked.append((self.path, wanted))
            fault = site.faults.popleft() if site.faults else Fault()
            if fault.silent:
                site.closing.wait(20)
                return
            data = site.files.get(self.path)
            if fault.status or data is None:
                self.send_error(fault.status or 404)
                return
            start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and not fault.deaf else 0
            if start >= len(data) > 0:
                self.send_error(416)
                return
            start += fault.shift
            self.send_response(206 if wanted and not fault.deaf else 200)
            if wanted and not fault.deaf:
                self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
            if not fault.unmeasured:
                self.send_header("Content-Length", str(len(data) - start))
            self.end_headers()
            self.wfile.write(data[start:] if fault.cut is None else data[start : start + fault.cut])

        def log_message(self, *_: object) -> None:
            pass

    return Handler


@contextmanager
def served() -> Iterator[Site]:
    """A site on a free port, for as long as the block lasts."""
    site = Site()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(site))
    site.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield site
    finally:
        site.closing.set()
        server.shutdown()
        thread.join()
        server.server_close()
