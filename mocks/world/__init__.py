"""The chamber that all simulated instruments of a rig share."""

from .clock import HostClock, Timeline
from .drives import CurrentDrive, Drive, OpenDrive, Reading, VoltageDrive
from .terminals import Terminals
from .world import World

__all__ = [
    "CurrentDrive",
    "Drive",
    "HostClock",
    "OpenDrive",
    "Reading",
    "Terminals",
    "Timeline",
    "VoltageDrive",
    "World",
]
