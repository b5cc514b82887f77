"""Keeps other web pages away from this one: whose name it was asked by, who asks, and what browsers may do with it."""

import ipaddress
from collections.abc import Collection, Mapping
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
    "Cache-Control": "no-store",
}


class Guard:
    """Refuses foreign requests and adds headers to all answers.

    A page elsewhere can give its own host name this machine's address (DNS rebinding) and would then count as the same
    origin; a `Host` that is an address cannot be had that way. Starlette's own middleware knows only lists of names,
    and a machine's addresses, as seen from outside, are not known in it.

    Args:
        app: what is guarded.
        names: host names it may be asked by, besides addresses.
        headers: to add to every answer, besides those that are always added.
    """

    def __init__(self, app: ASGIApp, names: Collection[str], headers: Mapping[str, str]):
        self._app, self._names = app, frozenset(name.lower() for name in names)
        self._headers = _HEADERS | dict(headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""

        async def add(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(self._headers)
            await send(message)

        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif wrong := self._wrong(scope["method"], Headers(scope=scope)):
            await JSONResponse({"error": wrong}, 403)(scope, receive, add)
        else:
            await self._app(scope, receive, add)

    def _wrong(self, method: str, headers: Headers) -> str | None:
        host = headers.get("host", "")
        if not self._own(host):
            return "this address is not one of the server's; use the one that v2s-jax serve printed"
        origin = headers.get("origin")
        if method not in ("GET", "HEAD") and origin is not None and urlsplit(origin).netloc != host:
            return "the request comes from another web page; use the server's own"
        return None

    def _own(self, host: str) -> bool:
        try:
            name = urlsplit(f"//{host}").hostname or ""
            if name.lower() in self._names:
                return True
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True
