"""aiomqtt beside gmqtt on the sample path, behind the same seam: in the daemon and in the subscriber."""

from __future__ import annotations

from typing import Any

from . import latency, throughput
from .results import Target
from .sessions import SESSIONS

#: gmqtt would have to be so much better to be worth what it does not do (see the README).
_WORTH_A_CHANGE = 1.5


def targets(result: dict[str, Any]) -> list[Target]:
    return [
        Target(
            "the daemon's processor time with aiomqtt over gmqtt", result["daemon_cpu_ratio"], "<=", _WORTH_A_CHANGE
        ),
        Target(
            "p50 latency with aiomqtt over gmqtt, each by its bare loop", result["latency_ratio"], "<=", _WORTH_A_CHANGE
        ),
        Target("the same until `bridge.client` has the arrays", result["client_latency_ratio"], "<=", _WORTH_A_CHANGE),
    ]


def run(quick: bool) -> dict[str, Any]:
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
