"""The MQTT libraries to choose from, behind the same seam."""

from __future__ import annotations

from collections.abc import Mapping

from bridge.transfer import aiomqtt_session
from bridge.transfer.mqtt import Connect

from . import gmqtt_session

SESSIONS: Mapping[str, Connect] = {"aiomqtt": aiomqtt_session.connect, "gmqtt": gmqtt_session.connect}
