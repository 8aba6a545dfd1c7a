"""The chamber that all simulated instruments of a rig share."""

from .clock import HostClock, Timeline
from .world import World

__all__ = ["HostClock", "Timeline", "World"]
