"""From the last byte of a sample on the wire to a subscriber's callback, at 100 samples a second, beside the time from
`publish` to the callback of the bare loop through the same broker in the same seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import Any

from bridge.transfer.codec import decode
from bridge.transfer.topics import Topics

from . import bare, daemon_process, stream_instrument, subscriber
from .broker import mosquitto
from .machine import percentile
from .processes import Part
from .results import Target
from .throughput import devices

RATE_HZ = 100.0
ROUNDS, QUICK_ROUNDS = 5, 2
SAMPLES, QUICK_SAMPLES = 1000, 300
_TIMEOUT_S = 120.0


def targets(result: dict[str, Any]) -> list[Target]:
    return [Target("p50 of a sample to a callback, over the bare loop's p50", result["bridge_to_bare_p50"], "<=", 2.0)]


def stamps_of(payload: bytes) -> Sequence[float]:
    """The times at which a block's samples were handed to the instrument's socket."""
    stamps: Sequence[float] = decode(payload)["voltage_v"].tolist()
    return stamps


def run(quick: bool, session: str = "aiomqtt") -> dict[str, Any]:
    """Medians over rounds. In every round the bare loop runs beside the bridge.

    In one half of the rounds the subscriber of the samples is the same plain paho program as the bare loop's
    ("bridge"), in the other half it is `bridge.client`, which decodes to arrays ("client").
    """
    samples = QUICK_SAMPLES if quick else SAMPLES
    rounds = QUICK_ROUNDS if quick else ROUNDS
    topic = Topics.of(daemon_process.BRIDGE).samples(subscriber.DEVICE)
    with (
        mosquitto() as broker,
        Part(stream_instrument.serve) as instrument,
        Part(daemon_process.run, broker.url, devices(instrument.ready, paced=True), session) as daemon,
        Part(bare.subscribe, broker.port) as bare_taker,
        Part(bare.publish, broker.port) as publisher,
    ):
        meters = {"daemon": daemon.pid}

        def task(takes: bool) -> subscriber.Task:
            return subscriber.Task(broker.url, samples, 1 / RATE_HZ, meters, session, values=False, takes=takes)

        by_client: list[dict[str, float]] = []
        payload = [b"\0" * 400]
        with Part(subscriber.run, task(True)) as taker:
            for _ in range(1 + rounds):
                alone = _begin(bare_taker, publisher, taker, payload, samples)
                outcome: subscriber.Outcome = taker.receive(_TIMEOUT_S)
                payload = [outcome.payloads[-1]]
                by_client.append(_compare("client", outcome.latencies_s, alone()) | _cores(outcome))
        by_plain: list[dict[str, float]] = []
        with (
            Part(subscriber.run, task(False)) as starter,
            Part(bare.subscribe, broker.port, topic, stamps_of) as plain,
        ):
            for _ in range(1 + rounds):
                plain.send(samples)
                plain.receive(_TIMEOUT_S)
                alone = _begin(bare_taker, publisher, starter, payload, samples)
                starter.receive(_TIMEOUT_S)
                seen: bare.Received = plain.receive(_TIMEOUT_S)
                by_plain.append(_compare("bridge", seen.latencies_s, alone()))
    del by_client[0], by_plain[0]  # everybody's first time
    result: dict[str, Any] = {
        key: median(one[key] for one in part) for part in (by_plain, by_client) for key in part[0]
    }
    return result | {
        "bridge_to_bare_p50_of_each_round": [round(one["bridge_to_bare_p50"], 2) for one in by_plain],
        "rate_hz": RATE_HZ,
        "samples_a_round": samples,
        "rounds": rounds,
        "payload_bytes": len(payload[0]),
    }


def _begin(bare_taker: Part, publisher: Part, starter: Part, payload: list[bytes], samples: int) -> Any:
    """Start both; returns what gives the bare loop's outcome."""
    bare_taker.send(samples)
    bare_taker.receive(_TIMEOUT_S)
    starter.send(True)
    publisher.send(bare.Task(payload, samples, 1 / RATE_HZ))

    def finish() -> Sequence[float]:
        received: bare.Received = bare_taker.receive(_TIMEOUT_S)
        publisher.receive(_TIMEOUT_S)
        return received.latencies_s

    return finish


def _compare(name: str, latencies_s: Sequence[float], alone_s: Sequence[float]) -> dict[str, float]:
    p50, p99 = (percentile(latencies_s, percent) * 1e3 for percent in (50, 99))
    bare50, bare99 = (percentile(alone_s, percent) * 1e3 for percent in (50, 99))
    return {
        f"{name}_p50_ms": p50,
        f"{name}_p99_ms": p99,
        f"bare_p50_ms_beside_{name}": bare50,
        f"bare_p99_ms_beside_{name}": bare99,
        f"{name}_to_bare_p50": p50 / bare50,
        f"{name}_to_bare_p99": p99 / bare99,
    }


def _cores(outcome: subscriber.Outcome) -> dict[str, float]:
    if outcome.missing or outcome.duplicated:
        raise RuntimeError(f"{outcome.missing} samples missing, {outcome.duplicated} twice")
    first, last = outcome.marks[0], outcome.marks[-1]
    return {"daemon_cores": (last.cpu_s["daemon"] - first.cpu_s["daemon"]) / (last.time_s - first.time_s)}
