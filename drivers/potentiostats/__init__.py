"""Potentiostats, galvanostats and source-measure units."""

from .keithley24xx import Keithley24xx, Keithley24xxOptions
from .methodscript import MethodScript, MethodScriptOptions
from .tdstat import Tdstat, TdstatOptions

__all__ = [
    "Keithley24xx",
    "Keithley24xxOptions",
    "MethodScript",
    "MethodScriptOptions",
    "Tdstat",
    "TdstatOptions",
]
