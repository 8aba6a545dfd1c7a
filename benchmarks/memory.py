"""The daemon's resident memory while 10^8 samples pass."""

from __future__ import annotations

from statistics import linear_regression, median
from typing import Any

from . import daemon_process, stream_instrument, subscriber
from .broker import mosquitto
from .processes import Part
from .results import Target
from .throughput import INTERVAL_S, bridged, devices

SAMPLES, QUICK_SAMPLES = 100_000_000, 20_000_000
#: Small, because a queue of the usual 64 MB fills and empties with the machine's load, and would hide a leak.
QUEUE_BYTES = 4_000_000
_TIMEOUT_S = 3600.0
_MB = 1e6


def targets(result: dict[str, Any]) -> list[Target]:
    return [
        Target("the daemon's memory, last tenth over second tenth of the run", result["growth"], "<=", 1.05),
    ]


def run(quick: bool) -> dict[str, Any]:
    samples = QUICK_SAMPLES if quick else SAMPLES
    with (
        mosquitto() as broker,
        Part(stream_instrument.serve) as instrument,
        Part(daemon_process.run, broker.url, devices(instrument.ready), "aiomqtt", QUEUE_BYTES) as daemon,
    ):
        meters = {"daemon": daemon.pid}
        task = subscriber.Task(broker.url, samples, INTERVAL_S, meters, mark_every=samples // 200)
        with Part(subscriber.run, task) as taker:
            taker.send(True)
            outcome: subscriber.Outcome = taker.receive(_TIMEOUT_S)
    through = bridged(outcome, samples)
    sizes = [mark.rss_bytes["daemon"] / _MB for mark in outcome.marks]
    tenth = len(sizes) // 10
    tenths = [median(sizes[begin : begin + tenth]) for begin in range(0, 10 * tenth, tenth)]
    settled = outcome.marks[tenth:]
    slope = linear_regression([mark.samples / 1e6 for mark in settled], sizes[tenth:]).slope
    return {
        "samples": samples,
        "first_mb": sizes[0],
        "mb_of_each_tenth": tenths,
        "peak_mb": max(sizes),
        "growth": tenths[-1] / tenths[1],
        "slope_bytes_per_sample": slope * _MB / 1e6,
        "samples_per_s": through["samples_per_s"],
        "daemon_cpu_s_per_million": through["daemon_cpu_s_per_million"],
    }
