"""`history`: a stream's past in few points, the same to the bit as what was published."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import cbor2
import numpy as np
import pytest

from bridge.analysis.chunks import SMALL
from bridge.analysis.envelope import Envelope
from bridge.daemon import history
from bridge.daemon.config import BrokerConfig, Config, DeviceConfig
from bridge.daemon.daemon import Daemon
from bridge.daemon.history import History
from bridge.daemon.past import Past
from drivers.clock import SYSTEM_CLOCK
from drivers.errors import Busy, InvalidValue, Refused
from drivers.samples import SampleBlock
from tests.client.conftest import BenchMaker, bench

from . import fakes
from .conftest import Rig, RigMaker, eventually
from .fakes import ramp
from .listener import DTYPES, listen

__all__ = ["bench"]

GALVANOSTATIC = {"technique": "galvanostatic", "current_a": "10 pA", "duration_s": "30 s"}


def published(rig: Rig) -> dict[str, Any]:
    """All samples of the potentiostat as they were published, by column."""
    columns: dict[str, list[Any]] = {}
    for payload in rig.listener.of(f"{rig.prefix}/devices/pstat/samples"):
        for column in cbor2.loads(payload)["columns"]:
            data = column["data"]
            columns.setdefault(column["name"], []).append(np.frombuffer(data.value, DTYPES[data.tag]))
    return {name: np.concatenate(parts) for name, parts in columns.items()}


async def measured(rig: Rig, samples: int, per_block: int) -> str:
    """The stream, when a run has given so many samples and they were published."""
    rig.device("pstat").script = lambda technique: ramp(samples, per_block)
    await rig.result(await rig.run(**GALVANOSTATIC))
    state = await rig.listener.json(
        f"{rig.prefix}/devices/pstat/state", lambda s: s["published"] == s["next_index"] >= samples
    )
    return str(state["stream"])


@pytest.mark.parametrize("points", [7, 100, 4000])
async def test_it_is_what_was_published_to_the_bit(rig: RigMaker, points: int) -> None:
    async with rig(devices=("pstat",)) as r:
        stream = await measured(r, 500, 7)
        asked = {"stream": stream, "first_index": 0, "next_index": 500, "points": points, "charge_from": 0}
        answer = await r.request("history", **asked)
        samples = published(r)
    assert (answer["next_index"], answer["count"], answer["missing"]) == (500, 500, [])
    buckets = answer["buckets"]
    starts = np.array(buckets["index"])
    assert len(starts) <= points
    for name, of_all in (("min", np.minimum), ("max", np.maximum)):
        for column, unit in (("voltage_v", "V"), ("current_a", "A")):
            expected = of_all.reduceat(samples[column], starts)
            assert buckets["columns"][column]["unit"] == unit
            assert np.array(buckets["columns"][column][name]).tobytes() == expected.tobytes()
    assert np.array(buckets["t_s"]).tobytes() == samples["time_s"][starts].tobytes()
    assert buckets["n"] == np.diff([*starts, 500]).tolist()
    total = np.trapezoid(samples["current_a"], samples["time_s"])
    assert abs(buckets["charge_c"][-1] - total) < 1e-9 * total


async def test_a_long_range_is_read_of_chunks_and_is_the_same(rig: RigMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[tuple[int, int]] = []
    of_samples = Past._read

    def reading(self: Past, stream: str, first: int, after: int, wanted: Callable[[], bool]) -> Iterator[SampleBlock]:
        read.append((first, after))
        return of_samples(self, stream, first, after, wanted)

    monkeypatch.setattr(Past, "_read", reading)
    monkeypatch.setattr(history, "Envelope", partial(Envelope, one_by_one=1000))
    async with rig(devices=("pstat",)) as r:
        stream = await measured(r, 5000, 30)

        def chunks() -> int:
            known = r.daemon.streams.overviews.read(stream, SMALL, 0, 5000)
            return 0 if known is None else len(known.chunks)

        await eventually(lambda: chunks() == 64)
        asked = {"stream": stream, "first_index": 100, "next_index": 5000, "points": 8, "charge_from": 0}
        answer = await r.request("history", **asked)
        assert read == [(0, 128), (4096, 5000)], "chunk 1 begins before the range"
        samples = published(r)
    buckets = answer["buckets"]
    edges = [100, *range(704, 5000, 640), 5000]
    assert buckets["index"] == edges[:-1]
    for bucket, (first, after) in enumerate(pairwise(edges)):
        for name in ("voltage_v", "current_a"):
            values = samples[name][first:after]
            assert buckets["columns"][name]["min"][bucket] == values.min()
            assert buckets["columns"][name]["max"][bucket] == values.max()
        charge = np.trapezoid(samples["current_a"][:after], samples["time_s"][:after])
        assert abs(buckets["charge_c"][bucket] - charge) < 1e-9 * charge


async def test_it_survives_the_daemon_and_then_the_spool(tmp_path: Path) -> None:
    """What an earlier daemon measured is in the spool, and when that is gone, in the run's record."""

    def config() -> Config:
        device = DeviceConfig(name="pstat", driver="fake", address="tcp:pstat:1")
        folder = tmp_path / "state"
        return Config(
            state_dir=folder,
            data_dir=tmp_path / "runs",
            exports=False,
            broker=BrokerConfig(port=0),
            devices={"pstat": device},
        )

    def daemon() -> Daemon:
        return Daemon(config(), make=lambda device, _: fakes.FakePotentiostat(device.name, SYSTEM_CLOCK))

    async with daemon() as first, listen(first.broker, f"{first.topics.prefix}/#") as listener:
        stream = await measured(Rig(first, listener), 300, 7)
        asked = {"stream": stream, "first_index": 13, "next_index": 290, "points": 40, "charge_from": 2}
        at_first = await listener.request(first.topics.prefix, "history", asked)
    for spool in ("kept", "gone"):
        if spool == "gone":
            for path in (tmp_path / "state" / "spool").iterdir():
                path.unlink()
        async with daemon() as later, listen(later.broker, f"{later.topics.prefix}/#") as listener:
            assert await listener.request(later.topics.prefix, "history", asked) == at_first
            with pytest.raises(InvalidValue, match="first_index is 300; accepted: less than 300"):
                await listener.request(later.topics.prefix, "history", {**asked, "first_index": 300, "next_index": 301})


@pytest.mark.parametrize(
    ("params", "problem"),
    [
        ({"next_index": 5}, "next_index is 5; accepted: more than first_index, 5"),
        ({"first_index": -1}, "first_index is -1"),
        ({"points": 0}, "points is 0; accepted: from 1 to 4000"),
        ({"points": 4001}, "points is 4001; accepted: from 1 to 4000"),
        ({"points": 1.5}, "points is 1.5"),
        ({"columns": "voltage_v"}, "columns is 'voltage_v'"),
        ({"columns": [1]}, "columns is"),
        ({"charge_from": 6}, "charge_from is 6; accepted: at most first_index, 5"),
        ({"stream": "pstat-1"}, "stream is 'pstat-1', which is neither"),
        ({"stream": 3}, "stream is 3"),
        ({"colour": "red"}, "'colour' is not known"),
    ],
)
async def test_a_bad_question_is_refused_with_what_would_be_accepted(
    rig: RigMaker, params: dict[str, Any], problem: str
) -> None:
    async with rig(devices=("pstat",)) as r:
        stream = (await r.listener.json(f"{r.prefix}/devices/pstat/state", lambda s: s["stream"]))["stream"]
        asked = {"stream": stream, "first_index": 5, "next_index": 10, **params}
        with pytest.raises(InvalidValue) as refused:
            await r.request("history", **asked)
        assert problem in refused.value.message


async def test_only_the_columns_that_are_wanted_come(rig: RigMaker) -> None:
    async with rig(devices=("pstat",)) as r:
        stream = await measured(r, 20, 5)
        asked = {"stream": stream, "first_index": 0, "next_index": 50, "columns": ["current_a", "z_real_ohm"]}
        answer = await r.request("history", **asked)
        assert list(answer["buckets"]["columns"]) == ["current_a"]
        assert answer["next_index"] == 20
        assert "charge_c" not in answer["buckets"]


async def test_a_long_answer_is_not_kept_for_a_repetition(rig: RigMaker) -> None:
    async with rig(devices=("pstat",)) as r:
        stream = await measured(r, 20, 5)
        params = {"stream": stream, "first_index": 0, "next_index": 20}
        request = {"id": "once", "from": "test", "reply_to": f"{r.prefix}/reply/again", "params": params}
        request["expires_at"] = (await r.request("ping"))["time_s"] + 30
        topic = f"{r.prefix}/reply/again"
        for number in (1, 2):
            await r.listener.client.publish(f"{r.prefix}/request/history", json.dumps(request), qos=1)
            await r.listener.until(lambda number=number: len(r.listener.of(topic)) == number)  # type: ignore[misc]
        first, second = map(json.loads, r.listener.of(topic))
        assert first["result"]["count"] == 20
        assert second["error"]["error"] == Refused.__name__


async def test_a_script_gets_arrays(bench: BenchMaker) -> None:
    async with bench("pstat") as b:
        block = await b.lab.pstat.galvanostatic(current_a=1e-12, duration_s=2.0)
        past = await b.lab.history(block.stream, 0, 20, charge_from=0)
        assert past.index.tolist() == list(range(20))
        for bounds in (past.low, past.high):
            assert bounds["current_a"].tobytes() == block["current_a"].tobytes()
        assert past.units == {"voltage_v": "V", "current_a": "A"}
        assert len(past.charge_c) == 20


def test_an_answer_has_less_than_a_megabyte() -> None:
    """The longest numbers there are, in as many columns as are asked for."""
    longest = -1.2345678901234567e-100
    for columns in (None, [f"column_{number}_a" for number in range(32)]):
        names = columns or ["voltage_v", "current_a", "z_real_ohm"]
        points = history._points({"points": 4000}, None if columns is None else frozenset(names))
        bucket = {"index": 2**53, "n": 10**6, "t_s": longest, "flags": 1023, "charge_c": longest}
        entries = len(json.dumps(list(bucket.values()))) + 2 * len(names) * (len(repr(longest)) + 1)
        assert points * entries < 1_000_000


async def test_one_sender_has_one_answer_at_a_time_and_waits_for_few() -> None:
    release = asyncio.Event()
    loop = asyncio.get_running_loop()
    under_way = 0

    def fill(stream: str, envelope: Envelope, after: int, wanted: Callable[[], bool]) -> None:
        nonlocal under_way
        under_way += 1
        asyncio.run_coroutine_threadsafe(release.wait(), loop).result(30)
        envelope.add(ramp(10, 10)[0])

    async def reached(stream: str, first: int, after: int) -> int:
        return after

    past = History(fill, reached)
    asked = {"stream": "s", "first_index": 0, "next_index": 10}
    tasks = [asyncio.create_task(past.handlers["history"](asked)) for _ in range(history.WAITING)]
    await eventually(lambda: under_way > 0)
    with pytest.raises(Busy, match="wait already"):
        await past.handlers["history"](asked)
    assert under_way == 1
    release.set()
    answers = await asyncio.gather(*tasks)
    assert len({answer.text for answer in answers}) == 1
    assert under_way == history.WAITING
