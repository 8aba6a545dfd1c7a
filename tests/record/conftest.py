"""The fixtures of the record's tests."""

from tests.bridge.conftest import rig

__all__ = ["rig"]
