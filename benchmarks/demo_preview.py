"""How fast the demo's previews follow the hand: `python -m benchmarks.demo_preview [PHOTO] [--model NAME]`.

The real server is asked over the wire, one position of the sliders after the other as a hand moves them. Printed are
the median and the 95th percentile of the time until the picture is there, and the sizes that were chosen.
"""

from __future__ import annotations

import argparse
import http.client
import json
import threading
import time
from collections import Counter
from pathlib import Path
from urllib.parse import urlencode

import numpy as np
import uvicorn

from tatsnet.cli.work import load_model
from tatsnet.demo.app import SAMPLE, Demo
from tatsnet.demo.server import LOOPBACK, bound


def drag(port: int, moves: int, size: str) -> tuple[list[float], Counter[str]]:
    """Milliseconds of each preview, and how often each size came."""
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=120)
    own = {"Origin": f"http://{LOOPBACK}:{port}"}
    connection.request("POST", "/api/sessions", headers=own)
    session = json.loads(connection.getresponse().read())["session"]
    times, sizes = [], Counter[str]()
    for step in range(moves):
        levels = {axis: 0.5 + 0.5 * np.sin(0.05 * step + shift) for shift, axis in enumerate(("deblur", "denoise"))}
        query = urlencode({**levels, "size": size, "serial": step + 1})
        started = time.perf_counter()
        connection.request("GET", f"/api/sessions/{session}/preview?{query}")
        answer = connection.getresponse()
        answer.read()
        times.append(1000 * (time.perf_counter() - started))
        sizes[answer.headers["X-Size"]] += 1
    return times, sizes


def main() -> None:
    """Measure with sizes that are chosen, and at 640 pixels."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photo", type=Path, nargs="?", default=SAMPLE)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--moves", type=int, default=100)
    args = parser.parse_args()
    restorer = load_model(args.model, "auto")
    app = Demo(restorer, "network", (args.photo.name, args.photo.read_bytes()), lambda height, width: 0.0).app()
    with bound(0) as place:
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", ws="none", lifespan="off"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [place]})
        thread.start()
        port = place.getsockname()[1]
        while not server.started and thread.is_alive():
            time.sleep(0.01)
        for size in ("auto", "640"):
            times, sizes = drag(port, args.moves, size)
            median, late = np.percentile(times, [50, 95])
            print(f"size {size}: median {median:.0f} ms, 95 % within {late:.0f} ms; sizes {dict(sizes)}", flush=True)
        server.should_exit = True
        thread.join()


if __name__ == "__main__":
    main()
