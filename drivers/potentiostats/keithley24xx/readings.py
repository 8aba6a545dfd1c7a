"""What the instruments say, as numbers and flags: readings, status words, identities, errors, time stamps."""

from __future__ import annotations

import math
import re
from typing import NamedTuple

from ...errors import DeviceError, ProtocolError
from ...samples import Flag

#: "no value" and "overflow" (6430 manual 17-47, 2400 manual 18-49). Both are finite: they must never meet a limit
#: check. The 2400 manual p. 7-2 has overflow as 9.91e37 too, so the status word decides where it says overflow.
_NO_VALUE = 9.91e37
_OVERFLOW = 9.9e37

#: Bits of the 2400's status word (6430 manual 17-48, 2400 manual 18-51, GSM-20H10 manual p. 232).
_OVERFLOW_BIT = 1 << 0
_COMPLIANCE_BITS = 1 << 3 | 1 << 4
_VOLTAGE_MEASURED_BIT = 1 << 11
_CURRENT_MEASURED_BIT = 1 << 12
_FUNCTION_BITS = 0b11111 << 11
_RANGE_COMPLIANCE_BIT = 1 << 16

#: SOURSTAT of the 2450 (reference manual 8-33)
_OVERTEMPERATURE = 16
_LIMITED = 32
OUTPUT_ON = 128


class RawReading(NamedTuple):
    """One reading. `stamp_s` is on the instrument's own clock; `output_on` is None where it does not say."""

    stamp_s: float
    voltage_v: float
    current_a: float
    flags: Flag
    output_on: bool | None = None


def number(text: str) -> float:
    """Exactly what the text says. Raises `ProtocolError`."""
    try:
        if "_" not in text:  # which Python reads over
            return float(text)
    except ValueError:
        pass
    raise ProtocolError(f"{text.strip()!r} came where a number was expected")


def finite(text: str) -> float:
    """A number that is neither infinite nor NaN, as stamps and status words are. Raises `ProtocolError`."""
    found = number(text)
    if not math.isfinite(found):
        raise ProtocolError(f"{text.strip()!r} came where a finite number was expected")
    return found


def value(text: str) -> tuple[float, Flag]:
    """A measured number, or NaN with the flag that says why there is none."""
    found = number(text)
    if math.isnan(found) or math.isclose(abs(found), _NO_VALUE, rel_tol=1e-4):
        return math.nan, Flag.INVALID
    if abs(found) >= _OVERFLOW * (1 - 1e-6):
        return math.nan, Flag.OVERLOAD
    return found, Flag.NONE


def fields(line: str, count: int) -> list[str]:
    """Split a reading. Raises `ProtocolError` unless there are `count` items."""
    items = [item.strip() for item in line.split(",")]
    if len(items) != count:
        raise ProtocolError(f"a reading has {len(items)} items instead of {count}: {line!r}")
    return items


def reading_2400(line: str) -> RawReading:
    """`:FORM:ELEM VOLT,CURR,RES,TIME,STAT`: always in that order, status as a decimal number.

    A column that is sourced but not measured holds the programmed value (6430 manual 17-47): that is no measurement,
    so it becomes NaN.
    """
    volts, amperes, _, stamp, status_text = fields(line, 5)
    status = int(finite(status_text))
    voltage, voltage_flag = value(volts)
    current, current_flag = value(amperes)
    flags = voltage_flag | current_flag
    if status & _FUNCTION_BITS:
        if not status & _VOLTAGE_MEASURED_BIT:
            voltage, flags = math.nan, flags | Flag.INVALID
        if not status & _CURRENT_MEASURED_BIT:
            current, flags = math.nan, flags | Flag.INVALID
    if status & _OVERFLOW_BIT:
        flags |= Flag.OVERLOAD
    if status & _COMPLIANCE_BITS:
        flags |= Flag.COMPLIANCE
    if status & _RANGE_COMPLIANCE_BIT:
        flags |= Flag.RANGE_COMPLIANCE
    return RawReading(finite(stamp), voltage, current, flags)


def reading_2450(line: str, *, current_is_sourced: bool) -> RawReading:
    """`READ,REL,SOUR,SOURSTAT,STAT`, in the order asked for (2450 manual 6-4: any order; the answer follows it)."""
    measured_text, stamp, sourced_text, source_status_text, _ = fields(line, 5)
    source_status = int(finite(source_status_text))
    measured, measured_flag = value(measured_text)
    sourced, sourced_flag = value(sourced_text)
    flags = measured_flag | sourced_flag
    if source_status & _LIMITED:
        flags |= Flag.COMPLIANCE
    if source_status & _OVERTEMPERATURE:
        raise DeviceError(
            "the instrument is too hot and has taken its source away",
            hint="Let it cool down, and check its ventilation.",
            code=_OVERTEMPERATURE,
        )
    voltage, current = (measured, sourced) if current_is_sourced else (sourced, measured)
    return RawReading(finite(stamp), voltage, current, flags, bool(source_status & OUTPUT_ON))


class Form:
    """How an instrument writes its numbers: always as `+3.612345E+00` (2400), without the plus on the 2450.

    A number that has lost its first characters on the way is still a number, only another one. So once an instrument
    has written in full form it is held to it; one that never does (a work-alike, a simulator) is not.
    """

    _FULL = re.compile(r"[+-]?\d\.\d{6}E[+-]\d\d")

    def __init__(self, *, signed: bool) -> None:
        self._signed = signed
        self._seen = False

    def check(self, numbers: list[str]) -> None:
        """Raises `ProtocolError`."""
        full = all(self._FULL.fullmatch(text) and (text[0] in "+-" or not self._signed) for text in numbers)
        if self._seen and not full:
            raise ProtocolError(f"a reading that is not whole: {', '.join(numbers)}")
        self._seen = self._seen or full


_ERROR = re.compile(r'\s*([+-]?\d{1,9})\s*,\s*"?([^";]*)')


def error_of(line: str) -> tuple[int, str]:
    """Code and text out of `-113,"Undefined header"`; the 2450 adds severity and date: `-113,"...;1;2026/..."`."""
    match = _ERROR.match(line)
    if match is None:
        raise ProtocolError(f"{line!r} is no entry of an error queue")
    return int(match[1]), match[2].strip()


class DeviceTime:
    """Seconds since the run's zero, by the instrument's stamps, which wrap and have few digits.

    The 2400's count from power-on and start again after 99 999.999 s (6430 manual 17-48); the 2450's count from the
    oldest reading in its buffer, so they may jump back (`wraps_at_s` None). Where a stamp does not advance (its last
    digit is 10 ms after three hours) or jumps, the host's clock fills in, with the flag that says so.
    """

    def __init__(self, wraps_at_s: float | None) -> None:
        self._wraps_at_s = wraps_at_s
        self._offset_s = 0.0
        self._stamp_s = 0.0
        self._host_s = 0.0
        self._elapsed_s = 0.0

    def start(self, stamp_s: float, host_s: float) -> None:
        self._stamp_s, self._host_s = stamp_s, host_s
        self._offset_s, self._elapsed_s = -stamp_s, 0.0

    def elapsed(self, stamp_s: float, host_s: float) -> tuple[float, Flag]:
        """Raises `DeviceError` if a clock that counts from power-on went back without a wrap."""
        by_host_s = self._elapsed_s + max(0.0, host_s - self._host_s)
        jumped = False
        if stamp_s < self._stamp_s:
            if self._wraps_at_s is None:
                self._offset_s, jumped = by_host_s - stamp_s, True
            elif self._stamp_s - stamp_s > 0.5 * self._wraps_at_s:
                self._offset_s += self._wraps_at_s
            else:
                raise DeviceError(
                    f"the instrument's clock went back from {self._stamp_s:g} s to {stamp_s:g} s: it was restarted "
                    "during the run, and its settings are lost",
                    hint="Look at its power supply; start the run again.",
                )
        elapsed, flag = stamp_s + self._offset_s, Flag.NONE
        if jumped or elapsed <= self._elapsed_s:
            elapsed, flag = by_host_s, Flag.HOST_TIME
        # stamps are decimal text: to the nanosecond their difference is again what was written
        self._stamp_s, self._host_s, self._elapsed_s = stamp_s, host_s, round(elapsed, 9)
        return self._elapsed_s, flag
