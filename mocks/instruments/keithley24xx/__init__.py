"""Simulated Keithley source-measure units: 2400, 6430 and 2450."""

from .instrument import Keithley24xxMock

__all__ = ["Keithley24xxMock"]
