"""The web application of `tatsnet demo`: what the page asks for, and what it is given.

A session is a tab. A request for a picture carries a serial number; it is answered 409 where a newer one of its kind
has come meanwhile, so that the network works on nothing that nobody will see.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TypeVar

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from tatsnet.demo.guard import Guard
from tatsnet.demo.pace import SIZES, Pace
from tatsnet.demo.picture import Picture
from tatsnet.demo.sessions import Session, Sessions, Stale
from tatsnet.demo.uploads import Limits, PhotoError, TooLarge, body, photo_of
from tatsnet.network.tasks import AXES, Task, check_task
from tatsnet.photos.files import FORMATS, Pixels, photo_bytes
from tatsnet.quality.estimation import estimate
from tatsnet.restorer import Restorer

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
        self._sessions, self._pace = Sessions(), Pace()
        self._quick = ThreadPoolExecutor(1, "preview")
        self._slow = ThreadPoolExecutor(1, "full")

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

        def work() -> tuple[bytes, str]:
            if request.query_params.get("size") == "full":
                return picture.shown(picture.photo.rgb_HWC, lossless=True)
            return picture.shown(picture.scaled(SIZES[0]), lossless=False)

        full = request.query_params.get("size") == "full"
        data, media = await self._run(self._slow if full else self._quick, work)
        return Response(data, media_type=media)

    async def _preview(self, request: Request) -> Response:
        picture, height, width = self._shape(request)
        asked = request.query_params.get("size", "auto")
        if asked not in ("auto", *map(str, SIZES)):
            raise ValueError(f"size must be auto or one of {SIZES}, got {asked!r}")
        size = self._pace.size(height, width) if asked == "auto" else int(asked)
        prepare = partial(picture.prepare, size)
        answer = await self._answer(request, "preview", self._quick, partial(picture.preview, size), prepare)
        answer.headers["X-Size"] = str(size)
        return answer

    async def _detail(self, request: Request) -> Response:
        return await self._answer(request, "detail", self._quick, self._picture(request).detail)

    async def _answer(
        self,
        request: Request,
        kind: str,
        lane: ThreadPoolExecutor,
        make: Callable[[Task], Pixels],
        prepare: Callable[[], None] | None = None,
    ) -> Response:
        session, picture, task = self._session(request.path_params["session"]), self._picture(request), _task(request)
        serial = _serial(request)
        session.enter(kind, serial)
        if kind == "preview":
            session.enter("full", serial)  # the sliders move: the full size of where they were is not wanted

        def work() -> tuple[bytes, str, float]:
            session.check(kind, serial)
            if prepare is not None:
                prepare()
            started = time.perf_counter()
            restored_HWC = make(task)
            seconds = time.perf_counter() - started
            if kind == "preview":
                self._pace.learn(restored_HWC.shape[0] * restored_HWC.shape[1], seconds)
            return (*picture.shown(restored_HWC, lossless=False), seconds)

        data, media, seconds = await self._run(lane, work)
        return Response(data, media_type=media, headers={"X-Milliseconds": f"{1000 * seconds:.1f}"})

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
        session, picture, task = self._session(request.path_params["session"]), self._picture(request), _task(request)
        serial = _serial(request)
        session.enter("full", serial)

        def work() -> tuple[Pixels, float]:
            session.check("full", serial)
            started = time.perf_counter()
            restored_HWC = picture.full(task, lambda _: session.check("full", serial))
            return restored_HWC, time.perf_counter() - started

        return (picture, *await self._run(self._slow, work))

    async def _auto(self, request: Request) -> Response:
        picture = self._picture(request)
        found = await self._run(self._quick, lambda: estimate(picture.photo.rgb_HWC))
        levels = dict(zip(AXES, found.task, strict=True))
        return JSONResponse({"levels": levels, "blur": found.blur, "noise": found.noise, "quality": found.quality})

    async def _dense(self, request: Request) -> Response:
        _, height, width = self._shape(request)
        scale = min(1.0, SIZES[0] / max(height, width))
        shape = (max(2, round(height * scale)), max(2, round(width * scale)))
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

    def _shape(self, request: Request) -> tuple[Picture, int, int]:
        picture = self._picture(request)
        height, width = picture.photo.rgb_HWC.shape[:2]
        return picture, height, width

    async def _run(self, lane: ThreadPoolExecutor, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(lane, work)


def _task(request: Request) -> Task:
    try:
        return check_task([float(request.query_params.get(axis, "0")) for axis in AXES])
    except ValueError as error:
        raise ValueError(f"{', '.join(AXES)} must be numbers from 0 to 1") from error


def _serial(request: Request) -> int:
    text = request.query_params.get("serial", "0")
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise ValueError("serial must be a whole number")
    return int(text)


def _told(status: int) -> Callable[[Request, Exception], Awaitable[Response]]:
    async def handler(request: Request, error: Exception) -> Response:
        return JSONResponse({"message": str(error) or type(error).__name__}, status)

    return handler


async def _gone(request: Request, error: Exception) -> Response:
    return JSONResponse({"message": "this tab's photo is no longer held; load the page again"}, 404)
