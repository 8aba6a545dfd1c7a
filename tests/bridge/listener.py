"""A plain MQTT client for tests: paho on a thread's worth of asyncio, no code of ours but the addresses.

What it hears is judged independently of `bridge`: payloads are decoded by `json` and `cbor2` as anybody would.
"""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiomqtt
import cbor2
import numpy as np

from bridge.transfer.mqtt import BrokerAddress
from drivers.errors import PicobridgeError

DTYPES = {64: "u1", 70: "<u4", 71: "<u8", 85: "<f4", 86: "<f8"}


class Listener:
    def __init__(self, client: aiomqtt.Client) -> None:
        self.client = client
        self.messages: list[aiomqtt.Message] = []
        self._news = asyncio.Condition()
        self._seen: dict[str, set[int]] = {}

    async def collect(self) -> None:
        try:
            async for message in self.client.messages:
                self.messages.append(message)
                if str(message.topic).endswith("/samples"):
                    block = cbor2.loads(bytes(message.payload))  # type: ignore[arg-type]
                    length = len(block["columns"][0]["data"].value) // 8
                    self._seen.setdefault(str(message.topic), set()).update(
                        range(block["first_index"], block["first_index"] + length)
                    )
                async with self._news:
                    self._news.notify_all()
        except aiomqtt.MqttError:
            return  # the broker is gone; the test knows

    def of(self, topic: str) -> list[bytes]:
        """Payloads on a topic so far."""
        return [bytes(m.payload) for m in self.messages if str(m.topic) == topic]  # type: ignore[arg-type]

    async def until(self, condition: Callable[[], bool], timeout_s: float = 10.0) -> None:
        try:
            async with asyncio.timeout(timeout_s), self._news:
                await self._news.wait_for(condition)
        except TimeoutError:
            topics = sorted({str(message.topic) for message in self.messages})
            raise AssertionError(f"did not come; {len(self.messages)} messages on {topics}") from None

    async def json(self, topic: str, where: Callable[[Any], bool] = lambda _: True, timeout_s: float = 10.0) -> Any:
        """The newest message on a topic that satisfies `where`; waits for one."""

        def found() -> list[Any]:
            return [value for value in map(_json, self.of(topic)) if value is not None and where(value)]

        await self.until(lambda: bool(found()), timeout_s)
        return found()[-1]

    async def event(self, text: str) -> Any:
        """An event whose text holds `text`."""
        topic = next(iter({str(m.topic).partition("/devices")[0] for m in self.messages}), "picobridge/lab")
        prefix = "/".join(topic.split("/")[:2])
        return await self.json(f"{prefix}/events", lambda event: text in event["text"])

    async def request(self, prefix: str, method: str, params: Any, **envelope: Any) -> Any:
        if (
            method == "call"
            and isinstance(params, dict)
            and params.get("method") in _NEED_A_LEASE
            and "lease" not in envelope
        ):
            granted = await self.request(prefix, "lease", {"device": params.get("device"), "ttl": "60 s"})
            envelope = {**envelope, "lease": granted["lease"], "fence": granted["fence"]}
        identifier = envelope.pop("id", str(uuid.uuid4()))
        reply_to = f"{prefix}/reply/test"
        request = {
            "id": identifier,
            "from": "test",
            "expires_at": time.time() + 10,
            "reply_to": reply_to,
            "params": params,
            **envelope,
        }
        await self.client.publish(f"{prefix}/request/{method}", json.dumps(request), qos=1)
        reply = await self.json(reply_to, lambda reply: reply["id"] == identifier)
        if reply["ok"]:
            return reply["result"]
        raise PicobridgeError.from_dict(reply["error"])

    def count(self, topic: str) -> int:
        """How many different samples of a topic have arrived."""
        return len(self._seen.get(topic, ()))

    def samples(self, topic: str) -> dict[str, np.ndarray[Any, Any]]:
        """All samples of a topic, deduplicated by index, in order of arrival; column `index` beside the others."""
        columns: dict[str, list[Any]] = {}
        seen: set[int] = set()
        for block in self.blocks(topic):
            length = len(block["columns"]["time_s"])
            index = np.arange(block["first_index"], block["first_index"] + length)
            new = np.array([i not in seen for i in index.tolist()], dtype=bool)
            if not new.any() and columns:
                continue
            seen.update(index.tolist())
            for name, values in {**block["columns"], "index": index}.items():
                columns.setdefault(name, []).append(values[new])
        return {name: np.concatenate(parts) for name, parts in columns.items()}

    def blocks(self, topic: str) -> list[dict[str, Any]]:
        decoded = []
        for payload in self.of(topic):
            block = cbor2.loads(payload)
            block["columns"] = {
                c["name"]: np.frombuffer(c["data"].value, DTYPES[c["data"].tag]) for c in block["columns"]
            }
            decoded.append(block)
        return decoded


_NEED_A_LEASE = ("move_to", "move_by", "home", "insert", "retract", "set_speed", "select")


@asynccontextmanager
async def listen(address: BrokerAddress, *filters: str) -> AsyncIterator[Listener]:
    async with aiomqtt.Client(address.host, address.port, identifier=f"test-{uuid.uuid4().hex[:8]}") as client:
        client.pending_calls_threshold = 1000
        listener = Listener(client)
        for topic_filter in filters:
            await client.subscribe(topic_filter, qos=1)
        collecting = asyncio.create_task(listener.collect())
        try:
            yield listener
        finally:
            collecting.cancel()
            await asyncio.gather(collecting, return_exceptions=True)
            if client._disconnected.done():
                client._disconnected.exception()  # aiomqtt leaves it unread when a broker dies


def _json(payload: bytes) -> Any:
    try:
        return json.loads(payload)
    except ValueError:
        return None
