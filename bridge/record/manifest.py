"""`manifest.json` of a run: who measured what with which parameters, devices, versions, and which files came of it.

format, format_version   "picobridge run", 2
run, procedure, parameters, status, error
asked_by                 who started it
complete                 true only when the run ended and everything of it was recorded
started_utc, ended_utc   and the same in ns since 1970
devices                  by name: role, driver, address, options, identity (firmware too), capabilities, calibration
streams                  by device: stream, first_index, next_index, samples, missing, file
events                   everything that was said about the run, from its start to its end
health                   what the health watch found
safety                   the interlocks: `bridge.record.safety`
parts                    of a composed run: procedure, title and result of each, as they ended
software, host           versions of picobridge, Python and the libraries; the machine
configuration            the daemon's, without secrets; configuration_sha256 to compare it by
recorder                 who wrote the folder, where that was not the daemon: name, software, host
files                    by name: bytes and SHA-256, of every file but this one
sign                     "positive current charges"
bdf                      whose labels the .bdf files have
manifest_sha256          of all of this: of its JSON with sorted keys, no blanks, ASCII, without this key

Version 1 had no `asked_by`, `safety`, `calibration`, `configuration_sha256` and `manifest_sha256`. It can be read.
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
from .files import json_text, replace_file, sha256_of, sha256_of_json

NAME, RESULT, EVENTS = "manifest.json", "result.json", "events.jsonl"
FORMAT, FORMAT_VERSION = "picobridge run", 2
_READABLE = (1, FORMAT_VERSION)
_OWN = "manifest_sha256"
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
#: And in the entries of a table.
_NEEDED_WITHIN: Mapping[str, Mapping[str, Any]] = {
    "files": {"sha256": str},
    "streams": {"stream": str, "first_index": int | None, "next_index": int | None},
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
        "asked_by": "",
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
        "safety": {},
        "parts": [],
        "software": software(),
        "host": host(),
        "configuration": {},
        "recorder": None,
        "files": {},
        "sign": "positive current charges",
        "bdf": VERSION,
    }


def utc(time_ns: int | None) -> str | None:
    """ISO 8601 to the microsecond, for people; the ns beside it are exact."""
    if time_ns is None:
        return None
    try:
        moment = datetime.fromtimestamp(time_ns // 10**9, UTC) + timedelta(microseconds=time_ns % 10**9 // 1000)
    except (OverflowError, ValueError, OSError):  # a time that no calendar has, of somebody else's message
        return None
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
    return checked(path, content)


def checked(where: Path | str, content: Any) -> dict[str, Any]:
    """`content` if it is a manifest. `where` it was found is said by the `InvalidValue` that is raised otherwise."""
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise InvalidValue(f"{where} is no manifest of a run of picobridge")
    if content.get("format_version") not in _READABLE or isinstance(content["format_version"], bool):
        known = f"accepted: {' or '.join(map(str, _READABLE))}"
        raise InvalidValue(f"{where} has format_version {content.get('format_version')!r:.100}; {known}")
    for key, kind in _NEEDED.items():
        if not isinstance(content.get(key), kind) or isinstance(content[key], bool):
            raise InvalidValue(f"{where} is damaged: {key} is {content.get(key)!r:.100}; accepted: {kind.__name__}")
    if not isinstance(content.get("ended_ns"), int | None):
        raise InvalidValue(f"{where} is damaged: ended_ns is {content['ended_ns']!r:.100}; accepted: int or null")
    for table, needed in _NEEDED_WITHIN.items():
        for name, entry in content[table].items():
            for key, kind in needed.items():
                if not isinstance(entry, dict) or key not in entry or not isinstance(entry[key], kind):
                    raise InvalidValue(f"{where} is damaged: {table} has {name!r:.100} without {key}")
    return content


def samples_of(content: Mapping[str, Any]) -> dict[str, tuple[int, int]]:
    """By stream the index of its first sample, and that of the first one that is not the run's any more."""
    return {
        stream["stream"]: (stream["first_index"] or 0, stream["next_index"] or 0)
        for stream in content["streams"].values()
    }


def write(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Raises `OSError`."""
    content = {key: value for key, value in manifest.items() if key != _OWN}
    content["format_version"] = FORMAT_VERSION
    replace_file(folder / NAME, json_text(content | {_OWN: sha256_of_json(content)}))


def problem(folder: Path) -> str:
    """What is wrong with the file itself, if anything: it is not what was written. One of version 1 cannot tell.

    Raises as `read`.
    """
    content = read(folder)
    if content["format_version"] == 1:
        return ""
    told = content.pop(_OWN, None)
    same_text = (folder / NAME).read_bytes() == json_text(content | {_OWN: told}).encode(errors="backslashreplace")
    same = same_text and told == sha256_of_json(content)
    return "" if same else f"{NAME} is not what was written: its SHA-256 differs"


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
