"""The files of the page, as they lie in `static/`: read when they are asked for, in a thread, and kept."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from aiohttp import hdrs, web

STATIC = Path(__file__).parent / "static"

_TYPES = {
    ".html": "text/html",
    ".js": "text/javascript",
    ".mjs": "text/javascript",
    ".css": "text/css",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".ico": "image/x-icon",
    ".woff2": "font/woff2",
    ".txt": "text/plain",
    ".webmanifest": "application/manifest+json",
}
_TEXT = ("text/", "application/json", "application/manifest", "image/svg")
_PATH = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*")


@dataclass(frozen=True, slots=True)
class Asset:
    body: bytes
    packed: bytes | None
    """As gzip, where that is shorter."""
    kind: str
    etag: str
    stamp: tuple[int, int]


class Assets:
    """Names are paths below `folder`, with letters, digits and `._-`, none beginning with a dot."""

    def __init__(self, folder: Path = STATIC) -> None:
        self._folder = folder
        self._known: dict[str, Asset] = {}

    async def answer(self, request: web.Request, name: str) -> web.Response:
        """Raises `HTTPNotFound`. A browser keeps what it has, and asks each time whether that still holds."""
        asset = await asyncio.to_thread(self._read, name)
        if asset is None:
            raise web.HTTPNotFound
        packed = asset.packed is not None and "gzip" in request.headers.get(hdrs.ACCEPT_ENCODING, "")
        # the same file in two encodings must not have the same tag
        tag = f'"{asset.etag}-gzip"' if packed else f'"{asset.etag}"'
        headers = {hdrs.ETAG: tag, hdrs.CACHE_CONTROL: "no-cache", hdrs.VARY: hdrs.ACCEPT_ENCODING}
        if tag in request.headers.get(hdrs.IF_NONE_MATCH, ""):
            return web.Response(status=304, headers=headers)
        headers[hdrs.CONTENT_TYPE] = asset.kind
        if packed:
            headers[hdrs.CONTENT_ENCODING] = "gzip"
            return web.Response(body=asset.packed, headers=headers)
        return web.Response(body=asset.body, headers=headers)

    def _read(self, name: str) -> Asset | None:
        path = self._folder / name
        kind = _TYPES.get(path.suffix)
        if kind is None or not _PATH.fullmatch(name):
            return None
        try:
            if not path.is_file():
                return None
            status = path.stat()
            stamp = (status.st_mtime_ns, status.st_size)
            known = self._known.get(name)
            if known is None or known.stamp != stamp:
                self._known[name] = known = _asset(path.read_bytes(), kind, stamp)
        except OSError:
            return None
        return known


def _asset(body: bytes, kind: str, stamp: tuple[int, int]) -> Asset:
    text = kind.startswith(_TEXT)
    packed = gzip.compress(body, 6, mtime=0) if text else body
    return Asset(
        body=body,
        packed=packed if len(packed) < len(body) else None,
        kind=f"{kind}; charset=utf-8" if text else kind,
        etag=hashlib.sha256(body).hexdigest()[:20],
        stamp=stamp,
    )
