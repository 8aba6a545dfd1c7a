"""The fixtures of the client's tests."""

from tests.client.conftest import any_broker, bench, mosquitto

__all__ = ["any_broker", "bench", "mosquitto"]
