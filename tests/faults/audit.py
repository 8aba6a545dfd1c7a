"""What the audit has on disk, read as anybody would read it."""

from __future__ import annotations

import json
from typing import Any

from .rig import Rig


def audited(rig: Rig, kind: str) -> list[Any]:
    """The records of a kind, the oldest first."""
    lines = (rig.config.state_dir / "audit" / "audit.jsonl").read_text().splitlines()
    return [record for record in map(json.loads, lines) if record["kind"] == kind]
