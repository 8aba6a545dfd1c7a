"""The report of a recorded run: from its folder alone, whether or not it ended well."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np

from bridge.record import RunRecord
from bridge.record.raw import SUFFIX
from drivers.samples import SampleBlock

from .page import write_report
from .provenance import MADE, provenance
from .summary import Summary, Tone, when

_TONES: Mapping[str, Tone] = {"failed": "fail"}
#: Of a longer record the pictures show the extremes only, so that a report needs no more memory than there is.
_DRAWN_BYTES = 100_000_000


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
        foot=provenance(record),
        now=now,
    )
    record.list_files([path for path in record.folder.iterdir() if path.suffix in MADE])
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
