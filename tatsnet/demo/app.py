"""The web application of `tatsnet demo`: what the page asks for, and what it is given.

A session is a tab. A request for a picture carries a serial number; it is answered 409 where a newer one of its kind
has come meanwhile, so that the network works on nothing that nobody will see.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from tatsnet.demo.guard import Guard
from tatsnet.demo.pace import Pace
from tatsnet.demo.picture import BEFORE, Picture
from tatsnet.demo.sessions import Session, Sessions, Stale
from tatsnet.demo.uploads import Limits, PhotoError, TooLarge, body, photo_of
from tatsnet.demo.views import View
from tatsnet.network.tasks import AXES, Task, check_task
from tatsnet.photos.files import FORMATS, Pixels, photo_bytes
from tatsnet.quality.estimation import estimate
from tatsnet.restorer import Box, Restorer

PAGE = Path(__file__).parent / "page"
SAMPLE = PAGE / "sample.jpg"
MEDIA = {"JPEG": "image/jpeg", "PNG": "image/png", "TIFF": "image/tiff", "WEBP": "image/webp"}

STRIP_BYTES = 2**29
"""Of a strip of a large photo: restoring one that nobody waits for any more ends with its strip. Smaller ones cost
time, since the rows around each are computed again."""

T = TypeVar("T")


class Demo:
    """The page's server side.

    Args:
        restorer: the network.
        network: its name, for the page.
        first: file name and bytes of the photo that each tab begins with.
        dense_seconds: measures how long the dense network takes for a picture of (height, width).
        limits: of uploads.

    Attributes:
        pace: of this machine.
    """

    def __init__(
        self,
        restorer: Restorer,
        network: str,
        first: tuple[str, bytes],
        dense_seconds: Callable[[int, int], float],
        limits: Limits | None = None,
    ) -> None:
        self._restorer, self._network, self._first = restorer.in_strips(STRIP_BYTES), network, first
        self._dense_seconds, self._limits = dense_seconds, limits or Limits()
        self.pace, self._sessions = Pace(), Sessions()
        self._quick = ThreadPoolExecutor(1, "preview")
        self._slow = ThreadPoolExecutor(1, "full")
        self._ahead = ThreadPoolExecutor(1, "ahead")

    def app(self) -> Starlette:
        """The application."""
        session = "/api/sessions/{session}"
        routes = [
            Route("/", self._page),
            Route("/api/sessions", self._start, methods=["POST"]),
            Route(f"{session}/photo", self._photo, methods=["PUT"]),
            Route(f"{session}/sample", self._sample, methods=["PUT"]),
            Route(f"{session}/end", self._end, methods=["POST"]),
            Route(f"{session}/before", self._before),
            Route(f"{session}/preview", self._preview),
            Route(f"{session}/detail", self._detail),
            Route(f"{session}/full", self._full),
            Route(f"{session}/download", self._download),
            Route(f"{session}/auto", self._auto),
            Route(f"{session}/dense", self._dense),
            Mount("/page", StaticFiles(directory=PAGE)),
        ]
        told = {
            PhotoError: _told(422),
            TooLarge: _told(413),
            ValueError: _told(400),
            Stale: _told(409),
            KeyError: _gone,
        }
        app = Starlette(routes=routes, exception_handlers={**told, MemoryError: _told(507)})
        app.add_middleware(Guard)
        return app

    async def _page(self, request: Request) -> Response:
        return FileResponse(PAGE / "index.html")

    async def _start(self, request: Request) -> Response:
        name = self._sessions.start()
        found = await self._take(self._session(name), self._first[1], self._first[0])
        return JSONResponse({"session": name, "network": self._network, "runtime": self._restorer.runtime, **found})

    async def _photo(self, request: Request) -> Response:
        session = self._session(request.path_params["session"])
        name = Path(request.query_params.get("name", "photo")).name or "photo"
        return JSONResponse(await self._take(session, await body(request, self._limits), name))

    async def _sample(self, request: Request) -> Response:
        session = self._session(request.path_params["session"])
        return JSONResponse(await self._take(session, SAMPLE.read_bytes(), SAMPLE.name))

    async def _take(self, session: Session, data: bytes, name: str) -> dict[str, object]:
        photo = await self._run(self._slow, lambda: photo_of(data, name, self._limits))
        picture = Picture(photo, name, self._restorer)
        self._sessions.put(session, picture)
        height, width = photo.rgb_HWC.shape[:2]
        return {"name": name, "width": width, "height": height, "notes": list(photo.notes), "depth": photo.depth}

    async def _end(self, request: Request) -> Response:
        self._sessions.end(request.path_params["session"])
        return Response(status_code=204)

    async def _before(self, request: Request) -> Response:
        picture = self._picture(request)
        full = request.query_params.get("size") == "full"

        def work() -> tuple[bytes, str]:
            if full:
                return picture.shown(picture.photo.rgb_HWC, lossless=True)
            view = picture.views(picture.whole, BEFORE)[0]
            return picture.shown(picture.scaled(view.height, view.width), lossless=False)

        data, media = await self._run(self._slow if full else self._quick, work)
        return Response(data, media_type=media)

    async def _preview(self, request: Request) -> Response:
        """What the page shows: at the scale of the screen, or, while the hand moves, as large as is in time.

        A view at rest is what the hand will move next, so its smaller scales are encoded ahead.
        """
        session, picture, task = self._asked(request)
        serial, moving = _serial(request), request.query_params.get("moving") == "1"
        views = picture.views(_box(request, picture), _whole_number(request, "size", BEFORE))
        session.enter("preview", serial)
        session.move(task, serial)

        def work() -> tuple[bytes, str, View, float]:
            session.check("preview", serial)
            most = self.pace.pixels() if moving else views[0].pixels
            view = next((view for view in views if view.pixels <= most), views[-1])
            picture.prepare(view)
            started = time.perf_counter()
            restored_HWC = picture.preview(view, task)
            seconds = time.perf_counter() - started
            data, media = picture.shown(restored_HWC, lossless=False)
            self.pace.learn(view.pixels, time.perf_counter() - started)
            return data, media, view, seconds

        def ahead() -> None:
            for view in reversed(views):
                session.check("preview", serial)
                picture.prepare(view)

        data, media, view, seconds = await self._run(self._quick, work)
        if not moving:
            self._ahead.submit(ahead)
        shares = ",".join(f"{share:.6f}" for share in view.shares)
        headers = {"X-Milliseconds": f"{1000 * seconds:.1f}", "X-Size": str(view.size), "X-Box": shares}
        return Response(data, media_type=media, headers=headers)

    async def _detail(self, request: Request) -> Response:
        session, picture, task = self._asked(request)
        serial = _serial(request)
        session.enter("detail", serial)

        def work() -> tuple[bytes, str]:
            session.check("detail", serial)
            return picture.shown(picture.preview(picture.middle, task), lossless=False)

        data, media = await self._run(self._quick, work)
        return Response(data, media_type=media)

    async def _full(self, request: Request) -> Response:
        picture, restored_HWC, seconds = await self._restored(request)
        data, media = await self._run(self._slow, lambda: picture.shown(restored_HWC, lossless=True))
        return Response(data, media_type=media, headers={"X-Milliseconds": f"{1000 * seconds:.1f}"})

    async def _download(self, request: Request) -> Response:
        suffix = f".{request.query_params.get('format', 'png')}"
        if suffix not in FORMATS:
            raise ValueError(f"the format must be one of {', '.join(FORMATS)}, got {suffix}")
        picture, restored_HWC, _ = await self._restored(request)
        if FORMATS[suffix] == "JPEG" and picture.photo.alpha_HW is not None:
            raise ValueError("JPEG cannot hold the photo's transparency; take another format")
        data = await self._run(self._slow, lambda: photo_bytes(f"restored{suffix}", picture.photo, restored_HWC))
        return Response(data, media_type=MEDIA[FORMATS[suffix]])

    async def _restored(self, request: Request) -> tuple[Picture, Pixels, float]:
        session, picture, task = self._asked(request)
        serial = _serial(request)
        session.move(task, serial)

        def work() -> tuple[Pixels, float]:
            session.check("full", serial)
            started = time.perf_counter()
            restored_HWC = picture.full(task, lambda _: session.check("full", serial))
            return restored_HWC, time.perf_counter() - started

        return (picture, *await self._run(self._slow, work))

    async def _auto(self, request: Request) -> Response:
        picture = self._picture(request)
        found = await self._run(self._quick, lambda: estimate(picture.photo.rgb_HWC))
        levels = dict(zip(AXES, self._restorer.sliders.positions(found.task), strict=True))
        return JSONResponse({"levels": levels, "blur": found.blur, "noise": found.noise, "quality": found.quality})

    async def _dense(self, request: Request) -> Response:
        picture = self._picture(request)
        view = picture.views(picture.whole, BEFORE)[0]
        shape = (max(2, view.height), max(2, view.width))
        seconds = await self._run(self._slow, lambda: self._dense_seconds(*shape))
        return JSONResponse({"milliseconds": 1000 * seconds, "height": shape[0], "width": shape[1]})

    def _session(self, name: str) -> Session:
        session = self._sessions.find(name)
        if session is None:
            raise KeyError(name)
        return session

    def _picture(self, request: Request) -> Picture:
        picture = self._session(request.path_params["session"]).picture
        if picture is None:
            raise KeyError("photo")
        return picture

    def _asked(self, request: Request) -> tuple[Session, Picture, Task]:
        """Who asks, of which photo, and the task vector of where the sliders stand."""
        task = self._restorer.sliders.task(_positions(request))
        return self._session(request.path_params["session"]), self._picture(request), task

    async def _run(self, lane: ThreadPoolExecutor, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(lane, work)


def _positions(request: Request) -> Task:
    try:
        return check_task([float(request.query_params.get(axis, "0")) for axis in AXES])
    except ValueError as error:
        raise ValueError(f"{', '.join(AXES)} must be numbers from 0 to 1") from error


def _serial(request: Request) -> int:
    return _whole_number(request, "serial", 0)


def _whole_number(request: Request, name: str, default: int) -> int:
    text = request.query_params.get(name, str(default))
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise ValueError(f"{name} must be a whole number")
    return int(text)


def _box(request: Request, picture: Picture) -> Box:
    text = request.query_params.get("box")
    if text is None:
        return picture.whole
    try:
        return Box(*(int(side) for side in text.split(",")))
    except (TypeError, ValueError) as error:
        raise ValueError("box must be four whole numbers: top, left, bottom, right") from error


def _told(status: int) -> Callable[[Request, Exception], Awaitable[Response]]:
    async def handler(request: Request, error: Exception) -> Response:
        return JSONResponse({"message": str(error) or type(error).__name__}, status)

    return handler


async def _gone(request: Request, error: Exception) -> Response:
    return JSONResponse({"message": "this tab's photo is no longer held; load the page again"}, 404)
