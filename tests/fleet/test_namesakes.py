"""Two daemons of one name on one broker: one is the bridge, the other is not, and both say so."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from bridge.client import connect
from bridge.daemon import namesakes
from bridge.daemon.namesakes import Namesakes
from bridge.transfer.mqtt import Incoming, Message
from bridge.transfer.topics import Topics
from drivers.errors import Refused
from tests.bridge.conftest import Mosquitto, eventually
from tests.bridge.listener import listen

from .conftest import DaemonMaker, done

PREFIX = "picobridge/lab"


def events_of(audit: Path) -> str:
    return "".join(path.read_text() for path in audit.rglob("*") if path.is_file())


@pytest.mark.mosquitto
async def test_the_second_keeps_away_and_takes_over_when_the_first_ends(
    daemon: DaemonMaker, mosquitto: Mosquitto, tmp_path: Path
) -> None:
    async with (
        listen(mosquitto.address, f"{PREFIX}/#") as listener,
        daemon("lab", mosquitto.address, at="one") as one,
        asyncio.TaskGroup() as group,
    ):
        starting = group.create_task(_started(daemon, mosquitto, "two"))
        await listener.event("also calls itself 'lab' on this broker; it is kept out")
        await eventually(lambda: "keeps away" in events_of(tmp_path / "two" / "audit"))
        async with connect(str(mosquitto.address), name="test") as lab:
            assert (await lab.stage.move_to(x_m="1 mm")).x_m == 0.001
            said = "also calls itself 'lab' and is kept out"
            health = await listener.json(f"{PREFIX}/health", lambda health: said in " ".join(health["reasons"]))
            assert health["status"] == "degraded"
        online = [json.loads(payload)["instance"] for payload in listener.of(f"{PREFIX}/status")]
        assert set(online) == {one._namesakes.described["instance"]}, "clients never see the other one"
        before = done(one, "stage").count("stop")
        await listener.client.publish(f"{PREFIX}/request/stop", "", qos=1)
        await eventually(lambda: done(one, "stage").count("stop") == before + 1)
        one.stop()
        await one.__aexit__(None, None, None)
        two, leave = await starting
        try:
            await asyncio.wait_for(two.uplink.connected.wait(), 20)
            async with connect(str(mosquitto.address), name="test") as lab:
                assert (await lab.stage.move_to(x_m="2 mm")).x_m == 0.002
            moves = [sum(asked.startswith("move") for asked in done(each, "stage")) for each in (one, two)]
            assert moves == [1, 1], "each request was executed by one of them"
            assert done(two, "stage").count("stop") > done(two, "stage").count("identify"), "stops reach both"
        finally:
            await leave()


async def _started(daemon: DaemonMaker, mosquitto: Mosquitto, at: str) -> Any:
    running = daemon("lab", mosquitto.address, at=at)
    made = await running.__aenter__()
    return made, lambda: running.__aexit__(None, None, None)


class Line:
    """A broker between daemons that only know each other by `claim` and `status`."""

    def __init__(self) -> None:
        self.sent: list[tuple[Namesakes, Message]] = []
        self.members: list[Namesakes] = []
        self.retained: Incoming | None = None
        self.left: list[Namesakes] = []

    def join(self, version: str = "1") -> Namesakes:
        member = Namesakes("lab", version, Topics(PREFIX))
        member.leave = lambda reason: self.left.append(member)
        return member

    async def connect(self, member: Namesakes) -> None:
        self.members.append(member)
        try:
            await member.admit(_Session(self, member))  # type: ignore[arg-type]
        except Refused:
            self.members.remove(member)
            raise
        said = {"status": "online", **member.described}
        self.retained = Incoming(f"{PREFIX}/status", json.dumps(said).encode(), retain=True)
        self.deliver(self.retained)

    def deliver(self, message: Incoming) -> None:
        for member in list(self.members):
            member.receive(message)
        for member in self.left:
            if member in self.members:
                self.members.remove(member)


class _Session:
    def __init__(self, line: Line, member: Namesakes) -> None:
        self.lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._line = line
        self._member = member

    async def subscribe(self, topic_filter: str, qos: int = 1, *, retained: bool | None = None) -> None:
        if topic_filter.endswith("/status") and self._line.retained is not None:
            self._member.receive(self._line.retained)

    def send(self, message: Message) -> asyncio.Future[None]:
        loop = asyncio.get_running_loop()
        loop.call_soon(self._line.deliver, Incoming(message.topic, message.payload))
        acknowledged: asyncio.Future[None] = loop.create_future()
        acknowledged.set_result(None)
        return acknowledged


async def test_of_two_that_had_the_name_apart_the_older_keeps_it() -> None:
    """Two brokers that are joined while both daemons are the bridge of theirs."""
    apart, joined = Line(), Line()
    older, newer = apart.join(), joined.join()
    await apart.connect(older)
    await joined.connect(newer)
    apart.members = joined.members = [older, newer]
    joined.deliver(Incoming(f"{PREFIX}/claim", json.dumps({**newer.described, "version": "1"}).encode()))
    await eventually(lambda: bool(apart.left or joined.left))
    assert (apart.left, joined.left) == ([], [newer])
    assert "also calls itself" in older.reasons[0]
    assert "already" in newer.reasons[0]


async def test_of_two_that_come_at_once_one_is_admitted() -> None:
    for _ in range(20):
        line = Line()
        both = [line.join(), line.join()]
        outcomes = await asyncio.gather(*(line.connect(each) for each in both), return_exceptions=True)
        for _ in range(10):
            await asyncio.sleep(0)
        assert len(line.members) == 1, outcomes


async def test_whoever_did_not_say_goodbye_is_waited_for_and_not_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(namesakes, "OBJECTION_S", 0.01)
    line = Line()
    await line.connect(line.join())
    line.members.clear()
    newcomer = line.join()
    await line.connect(newcomer)
    assert newcomer in line.members


async def test_a_daemon_of_an_older_version_is_noticed() -> None:
    line = Line()
    ours = line.join()
    published: list[int] = []
    ours.status = lambda: published.append(1)
    await line.connect(ours)
    before = len(published)
    line.deliver(Incoming(f"{PREFIX}/status", b'{"status": "online", "bridge": "lab", "version": "0.0.9"}'))
    assert "picobridge 0.0.9 on an unknown computer also calls itself 'lab'" in ours.reasons[0]
    assert len(published) > before, "what the broker retains is ours again"


async def test_rubbish_on_the_topic_changes_nothing() -> None:
    line = Line()
    ours = line.join()
    await line.connect(ours)
    for payload in (b"", b"{", b"[]", b'{"instance": 3}', b'{"since_ns": -1}', b'{"since_ns": "1"}', b'{"host": null}'):
        assert ours.receive(Incoming(f"{PREFIX}/claim", payload))
    assert (ours.reasons, line.left) == ([], [])
