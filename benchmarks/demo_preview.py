"""How fast the demo's previews follow the hand: `python -m benchmarks.demo_preview [PHOTO] [--model NAME]`.

The real server is asked over the wire, one position of the sliders after the other as a hand moves them, for the whole
photo and for the half that the page shows beside its divider. Printed are the median and the 95th percentile of the
time until the picture is there and unpacked, and the sizes that were chosen; and how many other programs wanted a core.
A photo of fewer than 1280 pixels is enlarged to that.
"""

from __future__ import annotations

import argparse
import http.client
import io
import json
import os
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlencode

import numpy as np
import uvicorn
from PIL import Image

from tatsnet.cli.work import load_model
from tatsnet.demo.app import SAMPLE, Demo
from tatsnet.demo.server import LOOPBACK, bound

LEAST = 1280


class Page:
    """What the page's script does, without the page."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection(LOOPBACK, port, timeout=120)
        self._connection.request("POST", "/api/sessions", headers={"Origin": f"http://{LOOPBACK}:{port}"})
        self._found = json.loads(self._connection.getresponse().read())
        self._serial = 0

    def drag(self, moves: int, *, half: bool, moving: bool) -> tuple[list[float], Counter[str]]:
        """Milliseconds of each preview, and how often each size came; the first position is at rest."""
        width, height = self._found["width"], self._found["height"]
        box = f"0,{width // 2 if half else 0},{height},{width}"
        self._ask({"box": box, "size": 640})
        time.sleep(1)
        times, sizes = [], Counter[str]()
        for step in range(moves):
            levels = {axis: 0.5 + 0.5 * np.sin(0.05 * step + shift) for shift, axis in enumerate(("deblur", "denoise"))}
            started = time.perf_counter()
            sizes[self._ask({**levels, "box": box, "size": 640, "moving": int(moving)})] += 1
            times.append(1000 * (time.perf_counter() - started))
        return times, sizes

    def _ask(self, query: dict[str, object]) -> str:
        self._serial += 1
        path = f"/api/sessions/{self._found['session']}/preview?{urlencode({**query, 'serial': self._serial})}"
        self._connection.request("GET", path)
        answer = self._connection.getresponse()
        Image.open(io.BytesIO(answer.read())).load()
        return str(answer.headers["X-Size"])


@contextmanager
def served(demo: Demo) -> Iterator[int]:
    """The port of the server, for the length of the block."""
    with bound(0) as place:
        server = uvicorn.Server(uvicorn.Config(demo.app(), log_level="warning", ws="none", lifespan="off"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [place]})
        thread.start()
        while not server.started and thread.is_alive():
            time.sleep(0.01)
        yield place.getsockname()[1]
        server.should_exit = True
        thread.join()


def enlarged(path: Path) -> bytes:
    """The photo's file, or that of a larger one."""
    with Image.open(path) as image:
        scale = LEAST / max(image.size)
        if scale <= 1:
            return path.read_bytes()
        buffer = io.BytesIO()
        image.resize((round(scale * image.width), round(scale * image.height))).save(buffer, "JPEG", quality=95)
        return buffer.getvalue()


def main() -> None:
    """Measure with sizes that are chosen, and at 640 pixels."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photo", type=Path, nargs="?", default=SAMPLE)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--moves", type=int, default=100)
    args = parser.parse_args()
    demo = Demo(load_model(args.model, "auto"), "network", ("p.jpg", enlarged(args.photo)), lambda height, width: 0.0)
    with served(demo) as port:
        page = Page(port)
        for moving, how in ((True, "sizes as the hand moves"), (False, "640 pixels")):
            for half, what in ((True, "half"), (False, "all")):
                times, sizes = page.drag(args.moves, half=half, moving=moving)
                median, late = np.percentile(times, [50, 95])
                load = f"{dict(sizes)}; load {os.getloadavg()[0]:.1f}"
                print(
                    f"{what} of the photo, {how}: median {median:.0f} ms, 95 % within {late:.0f} ms; {load}", flush=True
                )


if __name__ == "__main__":
    main()
