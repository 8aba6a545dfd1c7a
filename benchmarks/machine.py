"""What the machine is, and what a process has used of it, from /proc."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_PACKAGES = ("numpy", "paho-mqtt", "aiomqtt", "gmqtt", "cbor2")


def facts() -> dict[str, Any]:
    """For the head of every result."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "mosquitto": _mosquitto_version(),
        **{name: metadata.version(name) for name in _PACKAGES},
        "load_before": load(),
    }


def load() -> list[float]:
    """Over 1, 5 and 15 minutes: how many processes wanted a core at a time."""
    return [round(value, 2) for value in os.getloadavg()]


def cpu_s(pid: int) -> float:
    """Processor time of all threads so far, in user and kernel mode (to 10 ms)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S


def rss_bytes(pid: int) -> int:
    """Memory that is resident now."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE_BYTES


def percentile(values: Sequence[float], percent: float) -> float:
    """By nearest rank: a value that was measured, never one in between."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _mosquitto_version() -> str:
    said = subprocess.run(["mosquitto", "-h"], capture_output=True, text=True, check=False).stdout
    return said.partition("\n")[0].rpartition(" ")[2]
