"""What a device of each kind can be asked, whatever its make."""

from .device import Device, Identity, Options, option
from .feedthrough import Feedthrough, FeedthroughCapabilities
from .gauge import Gauge, GaugeStatus, Pressure
from .manipulator import Manipulator, ManipulatorCapabilities, ManipulatorPosition
from .potentiostat import CurrentRange, Potentiostat, PotentiostatCapabilities
from .stage import Stage, StageCapabilities, StagePosition, TouchAlarm

__all__ = [
    "CurrentRange",
    "Device",
    "Feedthrough",
    "FeedthroughCapabilities",
    "Gauge",
    "GaugeStatus",
    "Identity",
    "Manipulator",
    "ManipulatorCapabilities",
    "ManipulatorPosition",
    "Options",
    "Potentiostat",
    "PotentiostatCapabilities",
    "Pressure",
    "Stage",
    "StageCapabilities",
    "StagePosition",
    "TouchAlarm",
    "option",
]
