"""Samples a second from an instrument's socket to numpy arrays in a subscriber, beside the bare loop."""

from __future__ import annotations

from statistics import median
from typing import Any

from bridge.daemon.config import DeviceConfig

from . import bare, daemon_process, stream_instrument, subscriber
from .broker import mosquitto
from .processes import Part
from .results import Target

ROUNDS, QUICK_ROUNDS = 5, 2
SAMPLES, QUICK_SAMPLES = 10_000_000, 3_000_000
#: Rows of an instrument of 2.5 million samples a second.
INTERVAL_S = 4e-7
_TIMEOUT_S = 300.0


def targets(result: dict[str, Any]) -> list[Target]:
    return [
        Target("samples to arrays in a subscriber, none missing", result["samples_per_s"], ">=", 2e6, "a second"),
        Target("the daemon, while it does that", result["daemon_cores"], "<", 1.0, "cores"),
        Target("the daemon, at 2 million samples a second", 2 * result["daemon_cpu_s_per_million"], "<", 1.0, "cores"),
    ]


def run(quick: bool, session: str = "aiomqtt") -> dict[str, Any]:
    """Medians over rounds, bridge and bare loop in turn."""
    samples = QUICK_SAMPLES if quick else SAMPLES
    rounds: list[dict[str, float]] = []
    with (
        mosquitto() as broker,
        Part(stream_instrument.serve) as instrument,
        Part(daemon_process.run, broker.url, devices(instrument.ready), session) as daemon,
    ):
        meters = {"instrument": instrument.pid, "daemon": daemon.pid, "broker": broker.pid}
        task = subscriber.Task(broker.url, samples, INTERVAL_S, meters, session)
        with (
            Part(subscriber.run, task) as taker,
            Part(bare.publish, broker.port) as publisher,
            Part(bare.subscribe, broker.port) as bare_taker,
        ):
            for _ in range(QUICK_ROUNDS if quick else ROUNDS):
                taker.send(True)
                outcome: subscriber.Outcome = taker.receive(_TIMEOUT_S)
                through = bridged(outcome, samples)
                through["bare_samples_per_s"] = _bare(publisher, bare_taker, outcome)
                rounds.append(through)
    result: dict[str, Any] = {key: median(each[key] for each in rounds) for key in rounds[0]}
    result |= {
        "samples_a_round": samples,
        "rounds": len(rounds),
        "samples_per_s_of_each_round": [round(each["samples_per_s"]) for each in rounds],
        "ratio_to_bare_loop": median(each["samples_per_s"] / each["bare_samples_per_s"] for each in rounds),
        "samples_per_s_of_a_daemon_core": 1e6 / result["daemon_cpu_s_per_million"],
    }
    return result


def devices(port: int, **options: Any) -> dict[str, DeviceConfig]:
    """The instrument at `port` as the daemon's one device."""
    name = subscriber.DEVICE
    return {name: DeviceConfig(name=name, driver="stream", address=f"tcp:127.0.0.1:{port}", options=options)}


def bridged(outcome: subscriber.Outcome, samples: int) -> dict[str, float]:
    """Rates between the first block's arrival and the last one's. Raises if a sample is missing or not what it was."""
    lost = samples - outcome.received
    if lost or outcome.missing or outcome.duplicated or outcome.malformed or outcome.wrong:
        raise RuntimeError(
            f"{lost} samples lost, {outcome.missing} missing, {outcome.duplicated} twice, {outcome.wrong} wrong, "
            f"{outcome.malformed} messages that are no block"
        )
    first, last = outcome.marks[0], outcome.marks[-1]
    elapsed_s, count = last.time_s - first.time_s, last.samples - first.samples
    used = {name: last.cpu_s[name] - first.cpu_s[name] for name in first.cpu_s}
    return {
        "samples_per_s": count / elapsed_s,
        "daemon_cores": used["daemon"] / elapsed_s,
        **{f"{name}_cpu_s_per_million": seconds / count * 1e6 for name, seconds in used.items()},
        "samples_a_message": outcome.received / outcome.blocks,
    }


def _bare(publisher: Part, taker: Part, outcome: subscriber.Outcome) -> float:
    """Samples a second of the bare loop, sending as many of the same payloads."""
    taker.send(outcome.blocks)
    taker.receive(_TIMEOUT_S)
    publisher.send(bare.Task(outcome.payloads, outcome.blocks))
    received: bare.Received = taker.receive(_TIMEOUT_S)
    publisher.receive(_TIMEOUT_S)
    return outcome.received / (received.last_s - received.first_s)
