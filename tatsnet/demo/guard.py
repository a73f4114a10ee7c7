"""What keeps other sites and other computers out of a server on this computer."""

from __future__ import annotations

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Guard:
    """Lets through only what this computer's own page asks for.

    A request must name this computer as its host: a name that some site has made point here (DNS rebinding) is
    refused. One that changes something must come from the page itself: browsers say so in `Origin`.

    Args:
        app: what is guarded.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        reason = _refusal(scope)
        if reason is not None:
            await PlainTextResponse(reason, 403)(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        await self._app(scope, receive, with_headers)


def _refusal(scope: Scope) -> str | None:
    headers, port = Headers(scope=scope), (scope.get("server") or ("", 0))[1]
    hosts = {f"{name}:{port}" for name in ("127.0.0.1", "localhost")}
    if headers.get("host") not in hosts:
        return "This page is for this computer alone: open it by the link that tatsnet demo printed."
    origin = headers.get("origin")
    if origin is None and scope["method"] not in ("GET", "HEAD"):
        return "A change must come from the page itself."
    if origin is not None and origin not in {f"http://{host}" for host in hosts}:
        return "Another site may not use this page."
    if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return "Another site may not use this page."
    return None
