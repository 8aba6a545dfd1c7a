"""What every HTTP request must be before anything looks at it, and what every answer says to the browser.

A page of somebody else that is open in the same browser can send requests to this computer. It cannot choose `Origin`,
and a name of its own that it makes point here (DNS rebinding) stands in `Host`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from urllib.parse import urlsplit

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

LOG = logging.getLogger("picobridge.web")

_LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")

#: Scripts, styles and pictures out of `static/` only, connections to this server only, nothing inline.
POLICY = (
    "default-src 'self'; img-src 'self' data: blob:; object-src 'none'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Server": "picobridge",
}


class Guard:
    """`names` are those under which the page may be asked for, beside this computer's own. `failed(text)` is told what
    broke in a handler."""

    def __init__(self, names: Collection[str], failed: Callable[[str], None]) -> None:
        self._names = {*_LOOPBACK_NAMES, *(name.lower() for name in names)}
        self._failed = failed

    def install(self, app: web.Application) -> None:
        app.middlewares.append(self._middleware())
        app.on_response_prepare.append(_add_headers)

    def _middleware(self) -> Middleware:
        @web.middleware
        async def judge(request: web.Request, handler: Handler) -> web.StreamResponse:
            if why := self._objection(request):
                LOG.warning("refused a request from %s: %s", request.remote, why)
                return web.Response(status=403, text=f"{why}\n")
            try:
                return await handler(request)
            except web.HTTPException as refusal:
                return web.Response(status=refusal.status, text=f"{refusal.reason}\n")
            except Exception as error:
                LOG.exception("%s could not be answered", request.path)
                self._failed(f"{request.path:.100} could not be answered: {type(error).__name__}: {error}")
                return web.Response(status=500, text="this could not be answered; the daemon's log says why\n")

        return judge

    def _objection(self, request: web.Request) -> str:
        hosts = request.headers.getall(hdrs.HOST, [])
        if len(hosts) != 1 or name_of(hosts[0]) not in self._names:
            return f"the page is not known as {', '.join(hosts)!r:.100}; [web] names says under which names it is"
        origin = request.headers.getall(hdrs.ORIGIN, [])
        if origin and origin != [f"{request.scheme}://{hosts[0]}"]:
            return f"a page of {', '.join(origin)!r:.100} asks for it"
        if request.method != hdrs.METH_GET:
            return f"{request.method:.20} is not for this server; accepted: GET"
        return ""


def name_of(host: str) -> str | None:
    """The name in a `Host` header, without its port; None if it is none."""
    try:
        parts = urlsplit(f"//{host}")
        return None if parts.path or parts.username is not None or parts.query else parts.hostname
    except ValueError:
        return None


async def _add_headers(request: web.Request, response: web.StreamResponse) -> None:
    for name, value in _HEADERS.items():
        if name not in response.headers or name == "Server":
            response.headers[name] = value
