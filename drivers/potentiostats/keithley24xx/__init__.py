"""Keithley 2400 series, 6430 and 2450 source-measure units."""

from .driver import Keithley24xx
from .options import Keithley24xxOptions

__all__ = ["Keithley24xx", "Keithley24xxOptions"]
