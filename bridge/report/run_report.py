"""The report of a recorded run: from its folder alone, whether or not it ended well."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from bridge.analysis.formatting import duration
from bridge.record import RunRecord
from bridge.record.raw import SUFFIX
from drivers.samples import SampleBlock

from .page import write_report
from .plain_page import value, words
from .summary import Summary, Table, Tone, when

_TONES: Mapping[str, Tone] = {"failed": "fail"}
#: So many events are shown; the rest is in their file.
_EVENTS = 200
#: Of a longer record the pictures show the extremes only, so that a report needs no more memory than there is.
_DRAWN_BYTES = 100_000_000
#: What a report consists of.
_MADE = (".html", ".png", ".svg")


def report(record: RunRecord, *, now: datetime | None = None) -> Path:
    """Write `report.html` and the pictures into the run's folder; returns the page's path.

    Takes about a second a picture, and memory for the run's samples. Raises `OSError`, `InvalidValue`.
    """
    result = record.result if isinstance(record.result, Mapping) else {}
    shown = {"procedure": record.procedure, **result}
    parts = [part for part in record.manifest["parts"] if isinstance(part, Mapping)]
    if parts and not shown.get("parts"):  # a composed run that failed has its parts in the manifest alone
        shown["parts"] = parts
    results = [shown] if result or parts or record.raw_files else []
    if record.manifest["health"]:
        results.append({"procedure": "health-watch", "health": record.manifest["health"]})
    samples = _samples(record)
    page = write_report(
        record.folder,
        results,
        [samples] * max(1, len(results)),
        title=f"{record.procedure.replace('-', ' ').capitalize()}, {when(record.manifest['started_ns'])}",
        head=_status(record),
        foot=_provenance(record),
        now=now,
    )
    record.list_files([path for path in record.folder.iterdir() if path.suffix in _MADE])
    return page


def _samples(record: RunRecord) -> dict[str, list[SampleBlock]]:
    """What the pictures need: all samples or, of very many, the extremes of each stretch."""
    from .style import thinned

    found: dict[str, list[SampleBlock]] = {}
    for path in record.raw_files:
        share = min(1.0, _DRAWN_BYTES / max(1, path.stat().st_size))
        kept = found[path.name.removesuffix(SUFFIX)] = []
        for block in record.blocks(path):
            if share < 1.0 and len(block):
                points = max(2, round(share * len(block) / len(block.columns)))
                keep = np.unique(np.concatenate([thinned(block[column.name], points) for column in block.columns]))
                data = {column.name: block[column.name][keep] for column in block.columns}
                block = replace(block, data=data)
            kept.append(block)
    return found


def _status(record: RunRecord) -> Summary | None:
    """How it ended, where that is not as it should."""
    if record.complete and record.status == "finished":
        return None
    error = record.manifest["error"]
    reason = f"{error['message']}. {error.get('hint', '')}".strip() if isinstance(error, Mapping) else ""
    if not record.complete:
        reason = f"{reason} The run did not end properly: this is what was saved.".strip()
    return Summary(f"Run {record.run}", record.status, _TONES.get(record.status, "doubt"), reason)


def _provenance(record: RunRecord) -> Summary:
    content = record.manifest
    software, host = content["software"], content["host"]
    libraries = ", ".join(f"{name} {version}" for name, version in software["libraries"].items())
    ended = content["ended_ns"]
    rows = [
        ("Run", record.run),
        ("Started", str(content["started_utc"])),
        (
            "Ended",
            f"{content['ended_utc']}, after {duration((ended - content['started_ns']) / 1e9)}" if ended else "no",
        ),
        ("Asked for by", str(content.get("asked_by") or "not known")),
        ("picobridge", f"{software['picobridge']}, Python {software['python']}"),
        ("Libraries", libraries),
        ("Computer", f"{host['name']}, {host['system']}"),
        ("Sign of a current", str(content["sign"])),
    ]
    rows += [
        (
            f"Samples of {device}",
            f"{stream['samples']} (index {stream['first_index']} to {stream['next_index'] - 1}), "
            f"{stream['missing']} missing",
        )
        for device, stream in content["streams"].items()
    ]
    tables = [
        Table("Devices", ("device", "role", "instrument", "driver", "address"), list(_devices(content))),
        Table(
            "Parameters",
            ("parameter", "value"),
            [(words(key), value(key, v)) for key, v in content["parameters"].items()],
        ),
        Table("What was said during the run", ("time", "", "what"), list(_events(record))),
        Table(
            "Files, with their SHA-256",
            ("file", "bytes", "SHA-256"),
            [
                (name, str(known["bytes"]), known["sha256"])
                for name, known in content["files"].items()
                if not name.endswith(_MADE)
            ],
        ),
    ]
    return Summary("Where this comes from", rows=rows, tables=[table for table in tables if table.rows])


def _devices(content: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    for name, device in content["devices"].items():
        identity = device.get("identity") or {}
        who = " ".join(str(identity[key]) for key in ("make", "model", "serial") if identity.get(key))
        firmware = f", firmware {identity['firmware']}" if identity.get("firmware") else ""
        yield name, str(device.get("role", "")), who + firmware, str(device["driver"]), str(device["address"])


def _events(record: RunRecord) -> Iterator[tuple[str, ...]]:
    events = record.events
    for event in events[:_EVENTS]:
        yield when(event["time_ns"]), event["severity"], event["text"]
    if len(events) > _EVENTS:
        yield "", "", f"and {len(events) - _EVENTS} more, in events.jsonl"
