"""Stops have a connection of their own; what both connections bring is one stop."""

from __future__ import annotations

import asyncio

from bridge.access.permissions import STOPS
from bridge.daemon.config import BrokerConfig
from bridge.daemon.lanes import WITHIN_S, Doubles, request_filters, stop_filters
from bridge.transfer.mqtt import Incoming
from bridge.transfer.topics import Topics

from .conftest import RigMaker, eventually

TOPICS = Topics("picobridge/lab")


def test_which_of_two_is_the_second() -> None:
    now = 0.0
    doubles = Doubles(lambda: now)
    assert not doubles.brought_before("a", "stops")
    assert not doubles.brought_before("a", "stops"), "pressed twice"
    assert doubles.brought_before("a", "all")
    assert not doubles.brought_before("b", "all")
    assert doubles.brought_before("a", "all")
    assert not doubles.brought_before("a", "all"), "three times, of which the other connection has brought two"
    assert doubles.brought_before("b", "stops")
    assert not doubles.brought_before("c", "stops")
    now = WITHIN_S + 1.0
    assert not doubles.brought_before("c", "all"), "too late to be the same"
    doubles.forget()
    assert not doubles.brought_before("c", "stops"), "one of the connections may have missed it"


def test_every_stop_is_on_both_connections() -> None:
    for users in (False, True):
        for stop in STOPS:
            wanted = {TOPICS.request(stop), *([TOPICS.request(stop, "+")] if users else [])}
            assert wanted <= set(stop_filters(TOPICS, users))
        assert all(topic.endswith((*STOPS, *(f"+/{stop}" for stop in STOPS))) for topic in stop_filters(TOPICS, users))
    assert request_filters(TOPICS, False) == ["picobridge/lab/request/+"]
    assert request_filters(TOPICS, True)[1:] == [TOPICS.request(stop) for stop in STOPS]


async def test_a_stop_is_executed_once_and_does_not_need_the_other_connection(rig: RigMaker) -> None:
    async with rig(devices=("stage",)) as r:
        stage = r.device("stage")
        await r.daemon._stop_lane.connected.wait()
        before = stage.done.count("stop")
        await r.request("stop")
        await r.request("ping")  # which comes behind the stop on the other connection
        assert stage.done.count("stop") == before + 1
        incoming = Incoming(TOPICS.request("stop"), b"")
        r.daemon._requests.receive_stop(incoming)
        await eventually(lambda: stage.done.count("stop") == before + 2)


async def test_only_stops_come_by_it(rig: RigMaker, any_broker: BrokerConfig) -> None:
    async with rig(any_broker, devices=("stage",)) as r:
        await asyncio.wait_for(r.daemon._stop_lane.connected.wait(), 10)
        heard: list[str] = []
        r.daemon._requests.receive_stop = lambda incoming: heard.append(incoming.topic)
        await r.request("ping")
        await r.request("stop")
        await eventually(lambda: len(heard) == 1)
        assert heard == [TOPICS.request("stop")]
