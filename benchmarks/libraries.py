"""aiomqtt beside gmqtt on the sample path, behind the same seam: in the daemon and in the subscriber."""

from __future__ import annotations

from typing import Any

from . import latency, throughput
from .results import Target
from .sessions import SESSIONS


def targets(result: dict[str, Any]) -> list[Target]:
    return [
        Target("aiomqtt's samples a second over gmqtt's", result["throughput_ratio"], ">=", 0.9),
        Target("aiomqtt's p50 latency over gmqtt's, each by its bare loop", result["latency_ratio"], "<=", 1.1),
    ]


def run(quick: bool) -> dict[str, Any]:
    """The choice stands while aiomqtt is not clearly the slower of the two."""
    result: dict[str, Any] = {}
    for name in SESSIONS:
        result[name] = {"throughput": throughput.run(quick, name), "latency": latency.run(quick, name)}
    ours, other = result["aiomqtt"], result["gmqtt"]
    return result | {
        "throughput_ratio": ours["throughput"]["samples_per_s"] / other["throughput"]["samples_per_s"],
        "daemon_cpu_ratio": ours["throughput"]["daemon_cpu_s_per_million"]
        / other["throughput"]["daemon_cpu_s_per_million"],
        "latency_ratio": ours["latency"]["bridge_to_bare_p50"] / other["latency"]["bridge_to_bare_p50"],
        "client_latency_ratio": ours["latency"]["client_to_bare_p50"] / other["latency"]["client_to_bare_p50"],
    }
