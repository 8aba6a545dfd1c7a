"""The lines of an audit: each record holds the hash of the one before it and its own; checking a folder of them.

A line is one JSON object in ASCII with sorted keys and no spaces, so that there is one way only to write it: whatever a
client put into a name or a reason stands in it escaped, and cannot begin a line.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

#: What the first record of all names as the one before it.
GENESIS = "0" * 64

CURRENT = "audit.jsonl"
_CLOSED = re.compile(r"audit-(\d{6,})\.jsonl")


def line_of(fields: Mapping[str, Any], seq: int, previous: str) -> tuple[bytes, str]:
    """A record's line, and its hash. `fields` are JSON values; "seq", "previous" and "hash" are not the caller's."""
    body = {name: value for name, value in fields.items() if name != "hash"} | {"seq": seq, "previous": previous}
    digest = hashlib.sha256(_canonical(body)).hexdigest()
    return _canonical({**body, "hash": digest}) + b"\n", digest


def record_of(line: bytes) -> dict[str, Any]:
    """A line without its end, checked against its own hash. Raises `ValueError` saying what is wrong."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ValueError("it is no JSON") from error
    if not isinstance(record, dict) or not isinstance(record.get("seq"), int):
        raise ValueError("it is no record")
    try:
        if _canonical(record) != line:
            raise ValueError("it was rewritten")
    except (ValueError, RecursionError) as error:
        raise ValueError("it was rewritten") from error
    said = record.get("hash")
    body = {name: value for name, value in record.items() if name != "hash"}
    if hashlib.sha256(_canonical(body)).hexdigest() != said:
        raise ValueError("its hash is not that of what it says")
    return record


def _canonical(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode("ascii")


def closed_files(folder: Path) -> list[Path]:
    """Oldest first, by number."""
    numbered = [(int(match[1]), path) for path in folder.iterdir() if (match := _CLOSED.fullmatch(path.name))]
    return [path for _, path in sorted(numbered)]


def closed_name(number: int) -> str:
    return f"audit-{number:06d}.jsonl"


def number_of(path: Path) -> int:
    match = _CLOSED.fullmatch(path.name)
    return 0 if match is None else int(match[1])


@dataclass(frozen=True, slots=True)
class Verification:
    """`records` are good up to the first broken link; `broken` says where and why (empty: nothing is). `first_seq`
    above 1: older files were taken away. `last_hash` is what the next record has to name: kept elsewhere, it also
    proves that nothing was cut off at the end."""

    records: int
    first_seq: int
    last_seq: int
    last_hash: str
    broken: str = ""

    @property
    def ok(self) -> bool:
        return not self.broken


def verify(folder: Path) -> Verification:
    """Check every link of an audit, oldest file first. Raises `OSError` if it cannot be read."""
    files = [*closed_files(folder), *(path for path in [folder / CURRENT] if path.exists())]
    records = first_seq = last_seq = 0
    last_hash = GENESIS
    for path in files:
        *lines, rest = path.read_bytes().split(b"\n")
        for number, line in enumerate([*lines, *([rest] if rest else [])], 1):
            where = f"{path.name}, line {number}"
            try:
                record = record_of(line)
            except ValueError as error:
                return Verification(records, first_seq, last_seq, last_hash, f"{where}: {error}")
            if records and record["previous"] != last_hash:
                why = f"it does not follow the record before it, {last_seq}"
                return Verification(records, first_seq, last_seq, last_hash, f"{where}: {why}")
            if records and record["seq"] != last_seq + 1:
                why = f"it is record {record['seq']}, after record {last_seq}"
                return Verification(records, first_seq, last_seq, last_hash, f"{where}: {why}")
            first_seq = first_seq or record["seq"]
            last_seq, last_hash = record["seq"], record["hash"]
            records += 1
    return Verification(records, first_seq, last_seq, last_hash)
