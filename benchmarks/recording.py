"""What recording costs: samples a second and the daemon's share with the record on and off, in turn."""

from __future__ import annotations

from statistics import median
from typing import Any

from . import daemon_process, stream_instrument, subscriber
from .broker import mosquitto
from .processes import Part
from .results import Target
from .throughput import INTERVAL_S, bridged, devices

ROUNDS, QUICK_ROUNDS = 4, 2
SAMPLES, QUICK_SAMPLES = 5_000_000, 3_000_000
_TIMEOUT_S = 300.0


def targets(result: dict[str, Any]) -> list[Target]:
    rate = result["recorded"]["samples_per_s"]
    return [Target("samples to a subscriber and to disk, none missing", rate, ">=", 2e6, "a second")]


def run(quick: bool) -> dict[str, Any]:
    """Medians over rounds. A round fails if a sample does not reach the subscriber."""
    rounds = QUICK_ROUNDS if quick else ROUNDS
    samples = QUICK_SAMPLES if quick else SAMPLES
    figures: dict[str, list[dict[str, float]]] = {"recorded": [], "not_recorded": []}
    for _ in range(rounds):
        for name, record in (("recorded", True), ("not_recorded", False)):
            figures[name].append(_round(samples, record))
    result: dict[str, Any] = {
        name: {key: median(each[key] for each in own) for key in own[0]} for name, own in figures.items()
    }
    on, off = result["recorded"], result["not_recorded"]
    result["daemon_cpu_ratio"] = on["daemon_cpu_s_per_million"] / off["daemon_cpu_s_per_million"]
    result["samples_a_round"] = samples
    return result


def _round(samples: int, record: bool) -> dict[str, float]:
    with (
        mosquitto() as broker,
        Part(stream_instrument.serve) as instrument,
        Part(daemon_process.run, broker.url, devices(instrument.ready), "aiomqtt", 64_000_000, record) as daemon,
    ):
        meters = {"instrument": instrument.pid, "daemon": daemon.pid, "broker": broker.pid}
        with Part(subscriber.run, subscriber.Task(broker.url, samples, INTERVAL_S, meters, "aiomqtt")) as taker:
            taker.send(True)
            outcome: subscriber.Outcome = taker.receive(_TIMEOUT_S)
            return bridged(outcome, samples)
