"""The fixtures of the client's and the bridge's tests."""

from tests.bridge.conftest import rig
from tests.client.conftest import any_broker, bench, mosquitto

__all__ = ["any_broker", "bench", "mosquitto", "rig"]
