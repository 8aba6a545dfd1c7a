"""Is a record complete, and is every file of it what was written? Each kind of damage has words of its own.

What proves what: a file's SHA-256 in the manifest that it is unchanged, the manifest's own that no entry was, the list
of files that none came or went. The indices within the raw files, against the range that the daemon took, prove that no
sample is missing, however the files got there. Who edits everything in step can forge a record: the daemon's audit has
the SHA-256 of each record's raw files and result, in a chain.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from drivers.errors import InvalidValue

from . import manifest
from .files import sha256_of
from .raw import SUFFIX, RawReader


def problems(folder: Path, content: Mapping[str, Any]) -> list[str]:
    """What is wrong, a line each. `content` is the manifest. Raises `InvalidValue` if it cannot be read any more."""
    return [
        *_own(folder),
        *_end(content),
        *_files(folder, content),
        *(line for name in sorted(os.listdir(folder)) if name.endswith(SUFFIX) for line in _raw(folder / name)),
        *_samples(folder, content),
    ]


def _own(folder: Path) -> Iterator[str]:
    if problem := manifest.problem(folder):
        yield problem


def _end(content: Mapping[str, Any]) -> Iterator[str]:
    if content.get("ended_ns") is None:
        status = "unfinished" if content["status"] == "running" else content["status"]
        yield f"the run did not end properly (status {status}); this is what was saved"
    elif content.get("complete") is not True:
        yield "the record is not complete"


def _files(folder: Path, content: Mapping[str, Any]) -> Iterator[str]:
    """Listed and missing, changed, cut or grown; there and not listed."""
    for name, known in content["files"].items():
        path = folder / name
        try:
            size = path.stat().st_size if path.is_file() else None
        except (OSError, ValueError):  # a name that no file can have
            size = None
        if size is None:
            yield f"{name} is missing"
        elif isinstance(known.get("bytes"), int) and size < known["bytes"]:
            yield f"{name} is cut: {size} bytes of {known['bytes']} are there"
        elif isinstance(known.get("bytes"), int) and size > known["bytes"]:
            yield f"{name} has grown: {size} bytes are there, {known['bytes']} were written"
        elif sha256_of(path) != known["sha256"]:
            yield f"{name} is not what was written: its SHA-256 differs"
    if content.get("complete") is not True:
        return  # a crash leaves files that nobody had the time to list
    for path in sorted(manifest.files_of(folder)):
        name = path.relative_to(folder).as_posix()
        if name not in content["files"]:
            yield f"{name} is not of this record: it was not there when the manifest was written"


def _raw(path: Path) -> Iterator[str]:
    """Blocks that cannot be read, and indices that are missing between those that can."""
    reader, expected = RawReader(path), None
    for block in reader:
        if expected is not None and block.first_index > expected:
            yield f"{path.name} lacks samples {expected} to {block.first_index - 1}: blocks are missing"
        elif expected is not None and block.first_index < expected:
            yield f"{path.name} has samples {block.first_index} to {min(expected, block.next_index) - 1} twice"
        expected = max(expected or 0, block.next_index)
    if reader.unread_bytes:
        yield f"the last {reader.unread_bytes} bytes of {path.name} cannot be read: {reader.reason}"


def _samples(folder: Path, content: Mapping[str, Any]) -> Iterator[str]:
    """Against the range of indices that the daemon took, device by device."""
    for device, stream in content["streams"].items():
        first, after = stream["first_index"] or 0, stream["next_index"] or 0
        there = _count(folder, stream, first, after)
        if there < after - first:
            yield f"{after - first - there} samples of {device} are missing"


def _count(folder: Path, stream: Mapping[str, Any], first: int, after: int) -> int:
    """How many samples of a range are in a stream's raw file."""
    name = stream.get("file")
    if not isinstance(name, str) or "/" in name or not (folder / name).is_file():
        return 0
    count, expected = 0, first
    try:
        for block in RawReader(folder / name):
            if block.stream == stream["stream"]:
                count += max(0, min(block.next_index, after) - max(block.first_index, expected))
                expected = max(expected, block.next_index)
    except InvalidValue:
        return count
    return count
