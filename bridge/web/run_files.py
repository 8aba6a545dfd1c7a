"""The files of a run's record, to be looked at and kept: read only, from its own folder only."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Callable
from pathlib import Path

from aiohttp import hdrs, web

from bridge.transfer.topics import is_name

#: Shown by the browser; everything else is a download.
_SHOWN = {
    ".html": "text/html; charset=utf-8",
    ".json": "application/json",
    ".jsonl": "text/plain; charset=utf-8",
    ".csv": "text/csv; charset=utf-8",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".pdf": "application/pdf",
    ".txt": "text/plain; charset=utf-8",
}
#: A report is a document, not a program: no scripts, nothing from elsewhere, and none of the page's own rights.
_SANDBOX = (
    "sandbox; default-src 'none'; img-src 'self' data:; style-src 'unsafe-inline'; font-src data:; "
    "frame-ancestors 'none'"
)
_PART = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._+-]*")
_DEPTH = 4


class RunFiles:
    """`data_dir` gives the folder of the records as it is now, None if there is none."""

    def __init__(self, data_dir: Callable[[], Path | None]) -> None:
        self._data_dir = data_dir

    async def answer(self, run: str, name: str) -> web.StreamResponse:
        """Raises `HTTPNotFound`."""
        data_dir = self._data_dir()
        path = None if data_dir is None else await asyncio.to_thread(_find, data_dir, run, name)
        if path is None:
            raise web.HTTPNotFound
        shown = _SHOWN.get(path.suffix)
        headers = {
            hdrs.CONTENT_TYPE: shown or "application/octet-stream",
            hdrs.CONTENT_DISPOSITION: "inline" if shown else "attachment",
            hdrs.CACHE_CONTROL: "private, no-cache",
            "Content-Security-Policy": _SANDBOX,
        }
        return web.FileResponse(path, headers=headers)


def _find(data_dir: Path, run: str, name: str) -> Path | None:
    """The file, which lies in the run's folder and nowhere else, whatever links there are in it."""
    parts = name.split("/")
    if not is_name(run) or len(parts) > _DEPTH or not all(map(_PART.fullmatch, parts)):
        return None
    try:
        folders = sorted(entry for entry in os.listdir(data_dir) if entry.startswith(f"{run}_"))
        if not folders:
            return None
        folder = (data_dir / folders[0]).resolve(strict=True)
        path = folder.joinpath(*parts).resolve(strict=True)
        inside = folder.is_relative_to(data_dir.resolve()) and path.is_relative_to(folder)
        return path if inside and path.is_file() else None
    except OSError:
        return None
