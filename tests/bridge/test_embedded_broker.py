"""What the embedded broker must not do, seen from a plain client."""

from __future__ import annotations

import asyncio

from bridge.transfer.aiomqtt_session import connect
from bridge.transfer.mqtt import BrokerAddress, Incoming, Message


async def test_a_new_client_gets_only_what_it_subscribed_to(broker: BrokerAddress) -> None:
    """amqtt by itself sends every new client what is retained under everybody's subscriptions."""
    seen: list[Incoming] = []
    async with connect(broker, identifier="first", on_message=lambda _: None) as first:
        await first.subscribe("lab/+/status")
        retained = first.send(Message("lab/a/status", b"online", retain=True))
        assert retained is not None
        await retained
        async with connect(broker, identifier="second", on_message=seen.append) as second:
            await second.subscribe("lab/a/samples")
            arrived: asyncio.Future[None] | None = first.send(Message("lab/a/samples", b"block"))
            assert arrived is not None
            await arrived
            async with asyncio.timeout(5):
                while not any(message.payload == b"block" for message in seen):
                    echo = second.send(Message("lab/echo", b""))
                    assert echo is not None
                    await echo
    assert [message.topic for message in seen] == ["lab/a/samples"]
