"""`manifest.json` of a run: who measured what with which parameters, devices, versions, and which files came of it.

format, format_version   "picobridge run", 1
run, procedure, parameters, status, error
complete                 true only when the run ended and everything of it was recorded
started_utc, ended_utc   and the same in ns since 1970
devices                  by name: role, driver, address, options, identity (firmware too), capabilities
streams                  by device: stream, first_index, next_index, samples, missing, file
events                   everything that was said about the run, from its start to its end
health                   what the health watch found
parts                    of a composed run: procedure, title and result of each, as they ended
software, host           versions of picobridge, Python and the libraries; the machine
configuration            the daemon's, without passwords
files                    by name: bytes and SHA-256, of every file but this one
sign                     "positive current charges"
bdf                      whose labels the .bdf files have
"""

from __future__ import annotations

import json
import platform
import socket
import sys
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from drivers.errors import InvalidValue

from .bdf import VERSION
from .files import json_text, replace_file, sha256_of

NAME, RESULT, EVENTS = "manifest.json", "result.json", "events.jsonl"
FORMAT, FORMAT_VERSION = "picobridge run", 1
#: What readers rely on.
_NEEDED: Mapping[str, type[Any]] = {
    "run": str,
    "procedure": str,
    "status": str,
    "started_ns": int,
    "events": list,
    "streams": dict,
    "files": dict,
}
_LIBRARIES = (
    "aiomqtt",
    "cbor2",
    "impedance",
    "matplotlib",
    "numpy",
    "pyarrow",
    "pyserial",
    "pyusb",
    "pyvisa",
    "pyvisa-py",
    "scipy",
)


def new(run: str, procedure: str, started_ns: int) -> dict[str, Any]:
    """What every manifest has; the rest is the caller's to add."""
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "run": run,
        "procedure": procedure,
        "parameters": {},
        "status": "running",
        "complete": False,
        "error": None,
        "started_ns": started_ns,
        "started_utc": utc(started_ns),
        "ended_ns": None,
        "ended_utc": None,
        "devices": {},
        "streams": {},
        "events": [],
        "health": [],
        "parts": [],
        "software": software(),
        "host": host(),
        "configuration": {},
        "files": {},
        "sign": "positive current charges",
        "bdf": VERSION,
    }


def utc(time_ns: int | None) -> str | None:
    """ISO 8601 to the microsecond, for people; the ns beside it are exact."""
    if time_ns is None:
        return None
    moment = datetime.fromtimestamp(time_ns // 10**9, UTC) + timedelta(microseconds=time_ns % 10**9 // 1000)
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


@cache
def software() -> dict[str, Any]:
    return {
        "picobridge": _version("picobridge"),
        "python": platform.python_version(),
        "implementation": sys.implementation.name,
        "libraries": {name: version for name in _LIBRARIES if (version := _version(name))},
    }


@cache
def host() -> dict[str, str]:
    return {"name": socket.gethostname(), "system": platform.platform(), "machine": platform.machine()}


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def read(folder: Path) -> dict[str, Any]:
    """Raises `InvalidValue` if the folder has none, or one that is not ours."""
    path = folder / NAME
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InvalidValue(f"{folder} is no run folder: its {NAME} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise InvalidValue(f"{path} is damaged: {error}") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise InvalidValue(f"{path} is no manifest of a run of picobridge")
    if content.get("format_version") != FORMAT_VERSION:
        known = f"accepted: {FORMAT_VERSION}"
        raise InvalidValue(f"{path} has format_version {content.get('format_version')!r:.100}; {known}")
    _check(path, content)
    return content


def _check(path: Path, content: Mapping[str, Any]) -> None:
    """Raises `InvalidValue` where something is not there that every manifest has, or is something else."""
    for key, kind in _NEEDED.items():
        if not isinstance(content.get(key), kind) or isinstance(content[key], bool):
            raise InvalidValue(f"{path} is damaged: {key} is {content.get(key)!r:.100}; accepted: {kind.__name__}")
    for table, key, kind in (("files", "sha256", str), ("streams", "missing", int)):
        for name, entry in content[table].items():
            if not isinstance(entry, dict) or not isinstance(entry.get(key), kind):
                raise InvalidValue(f"{path} is damaged: {table} has {name!r:.100} without {key}")


def write(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Raises `OSError`."""
    replace_file(folder / NAME, json_text(manifest))


def describe_files(folder: Path, paths: Iterable[Path], known: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Size and SHA-256 by name; `known` has checksums that need not be computed again."""
    known = known or {}
    return {
        path.relative_to(folder).as_posix(): {
            "bytes": path.stat().st_size,
            "sha256": known.get(path.name) or sha256_of(path),
        }
        for path in sorted(paths)
    }


def files_of(folder: Path) -> list[Path]:
    """Every file of a folder that a manifest should list: not itself, nothing half-written."""
    return [
        path for path in folder.rglob("*") if path.is_file() and path.name != NAME and not path.name.startswith(".")
    ]
