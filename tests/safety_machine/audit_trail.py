"""The audit as it is on disk at this moment, read by nothing of the daemon's."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path


class AuditTrail:
    """Counts intents by device; `folder` may change, to a copy of what was there."""

    def __init__(self) -> None:
        self.intents: Counter[str] = Counter()
        self._read = 0

    def read(self, state_dir: Path) -> None:
        """What was added since the last time. The files of a machine's few steps are never closed for their size."""
        path = state_dir / "audit" / "audit.jsonl"
        if not path.exists():
            return
        with path.open("rb") as file:
            file.seek(self._read)
            lines = file.read().split(b"\n")
        for line in lines[:-1]:
            self._read += len(line) + 1
            record = json.loads(line)
            if record["kind"] == "intent":
                self.intents[record["device"]] += 1
