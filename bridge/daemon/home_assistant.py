"""The devices told to Home Assistant on its own topics, which are retained: again whenever something of them changes,
and taken back when a device goes or nobody wants it any more, also what an earlier daemon had told."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping

from bridge.store.errors import StoreError
from bridge.store.note_table import NoteTable
from bridge.transfer.plain import dumps
from bridge.transfer.topics import Topics
from bridge.transfer.uplink import Uplink

from .config import HomeAssistantConfig
from .discovery_messages import bridge_message, device_message, discovery_topic
from .supervisor import DeviceSupervisor

LOG = logging.getLogger("picobridge.homeassistant")

#: How often it is looked at.
LOOK_S = 1.0
_NOTE = "homeassistant.topics"


def messages(
    config: HomeAssistantConfig | None,
    topics: Topics,
    version: str,
    devices: Mapping[str, DeviceSupervisor],
) -> dict[str, bytes]:
    """By topic."""
    if config is None:
        return {}
    told = {discovery_topic(config.prefix, topics): dumps(bridge_message(topics, version))}
    for name, supervisor in devices.items():
        message = device_message(topics, version, name, supervisor.describe())
        told[discovery_topic(config.prefix, topics, name)] = dumps(message)
    return told


async def publish_discovery(wanted: Callable[[], Mapping[str, bytes]], uplink: Uplink, notes: NoteTable) -> None:
    """Until cancelled. Which topics have been told is on disk before they are, so that the next daemon can take them
    back."""
    said: dict[str, bytes] = dict.fromkeys(await _recall(notes), b"")
    while True:
        now = wanted()
        gone = said.keys() - now.keys()
        if now.keys() - said.keys():
            await _remember(notes, now.keys() | said.keys())
        for topic, payload in now.items():
            if said.get(topic) != payload:
                uplink.retain(topic, payload)
        for topic in gone:
            uplink.retain(topic, b"")
        said = dict(now)
        if gone:
            await uplink.connected.wait()
            await _remember(notes, said)
        await asyncio.sleep(LOOK_S)


async def _recall(notes: NoteTable) -> list[str]:
    try:
        return [str(topic) for topic in await notes.get(_NOTE, [])]
    except StoreError as error:
        LOG.warning("what Home Assistant was told before is not known: %s", error)
        return []


async def _remember(notes: NoteTable, topics: Iterable[str]) -> None:
    try:
        await notes.put(_NOTE, sorted(topics))
    except StoreError as error:
        LOG.warning("what Home Assistant is told could not be noted, and stays with the broker: %s", error)
