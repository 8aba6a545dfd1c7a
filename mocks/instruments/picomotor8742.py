"""A simulated New Focus 8742: four counted axes without any feedback, behind USB or a telnet port.

Behaviour from the command texts quoted in quartiq/newfocus8742, and from what the drivers of Odemis and pyLabLib
expect. The tip of the world follows axes 1, 2 and 3 by what the motors really do, which is not what is counted: see
`slip`.
"""

from __future__ import annotations

import math
import re
from collections import deque
from collections.abc import Collection
from dataclasses import dataclass
from typing import ClassVar

from ..instrument import Instrument
from ..wires.tcp import TcpWire
from ..wires.usb_device import Endpoint, UsbDescriptor
from ..world import World

_NS = 1_000_000_000
_TELNET = b"\xff\xfd\x03\xff\xfb\x01"
_FAR = 1 << 31
_TEXTS = {
    0: "NO ERROR DETECTED",
    6: "COMMAND DOES NOT EXIST",
    7: "PARAMETER OUT OF RANGE",
    9: "AXIS NUMBER OUT OF RANGE",
    37: "AXIS NUMBER MISSING",
    38: "COMMAND PARAMETER MISSING",
}
_AXIS_TEXTS = {1: "PARAMETER OUT OF RANGE", 8: "MOTOR NOT CONNECTED", 14: "MOTION IN PROGRESS"}
_COMMAND = re.compile(r"(?:(\d+)>)?\s*(\d*)\s*(\*?[A-Z]+)\s*(\?|[+-]?\d*)\s*(.*)")


@dataclass(frozen=True, slots=True)
class _Motion:
    """Ramp up, run, ramp down; in steps, seconds and steps a second. A `sign` of 0 is no motion."""

    start_ns: int = 0
    start: int = 0
    distance: float = 0.0
    sign: int = 0
    top: float = 1.0
    acceleration: float = 1.0

    @property
    def _ramp_s(self) -> float:
        return min(self.top / self.acceleration, math.sqrt(self.distance / self.acceleration))

    @property
    def _peak(self) -> float:
        return self.acceleration * self._ramp_s

    @property
    def duration_s(self) -> float:
        if not self.distance:
            return 0.0
        return 2 * self._ramp_s + (self.distance - self._peak * self._ramp_s) / self._peak

    def speed(self, now_ns: int) -> float:
        elapsed = (now_ns - self.start_ns) / _NS
        return max(0.0, min(self._peak, self.acceleration * min(elapsed, self.duration_s - elapsed)))

    def at(self, now_ns: int) -> int:
        """The count."""
        elapsed, total = (now_ns - self.start_ns) / _NS, self.duration_s
        if elapsed >= total:
            return self.start + self.sign * round(self.distance)
        if elapsed <= self._ramp_s:
            done = self.acceleration * elapsed**2 / 2
        elif elapsed <= total - self._ramp_s:
            done = self._peak * (elapsed - self._ramp_s / 2)
        else:
            done = self.distance - self.acceleration * (total - elapsed) ** 2 / 2
        return self.start + self.sign * math.floor(done)

    def moving(self, now_ns: int) -> bool:
        return now_ns < self.start_ns + round(self.duration_s * _NS)


@dataclass(slots=True)
class _Axis:
    motor: int = 3
    velocity: int = 2000
    acceleration: int = 100_000
    count: int = 0
    target: int = 0
    home: int = 0
    motion: _Motion = _Motion()


class Picomotor8742Mock(Instrument):
    """`motors` are the types of the motors at the four axes (0 none, 2 tiny, 3 standard). `step_size_m` is the real
    step in the positive direction; negative steps are smaller by the fraction `slip`. `one_at_a_time` is the newer
    hardware's way. `lacks`: commands, such as QM, that this firmware does not know.
    """

    wire: ClassVar[str] = "usb"
    usb: ClassVar[UsbDescriptor] = UsbDescriptor(
        vid=0x104D,
        pid=0x4000,
        manufacturer="Newport Corporation",
        product="Picomotor Controller",
        serial="11511",
        endpoints=(Endpoint(0x81), Endpoint(0x02)),
    )

    def __init__(
        self,
        world: World,
        name: str = "picomotor",
        *,
        motors: tuple[int, int, int, int] = (3, 3, 3, 0),
        step_size_m: float = 30e-9,
        slip: float = 0.0,
        serial: str = "11511",
        address: int = 1,
        one_at_a_time: bool = True,
        lacks: Collection[str] = (),
    ) -> None:
        super().__init__(world, name)
        self._step_size_m = step_size_m
        self._slip = slip
        self._serial = serial
        self.address = address
        self._one_at_a_time = one_at_a_time
        self._lacks = frozenset(lacks)
        self._connected = tuple(motor != 0 for motor in motors)
        self._saved = [(motor, 2000, 100_000) for motor in motors]
        self.reset()

    def reset(self) -> None:
        """Counts and homes start at zero wherever the tip is; speeds and motor types are those saved last."""
        self.axes = [_Axis(motor, velocity, acceleration) for motor, velocity, acceleration in self._saved]
        self.errors: deque[int] = deque(maxlen=10)
        self._line = b""

    def client_connected(self) -> None:
        self._line = b""
        if isinstance(self.port, TcpWire):
            self.send(_TELNET)

    def receive(self, data: bytes) -> None:
        *lines, self._line = re.split(rb"[\r\n;]", self._line + data)
        for line in lines:
            text = line.decode("latin-1").strip().upper()
            if text:
                self.record.append(text)
                self._advance()
                self._interpret(text)

    # --- commands --------------------------------------------------------------------------------------------------

    def _interpret(self, text: str) -> None:
        match = _COMMAND.fullmatch(text)
        if match is None:
            self.errors.append(6)
            return
        address, axis_text, command, value, rest = match.groups()
        if address and int(address) != self.address:
            return  # for another unit on the chain, or for nobody
        prefix = f"{address}>" if address else ""
        handler = getattr(self, f"_do_{command.replace('*', 'star_').lower()}", None)
        asks = value == "?"
        if handler is None or command in self._lacks or (rest and not asks):
            self.errors.append(6)
            return
        axis = int(axis_text) if axis_text else 0
        if axis > len(self.axes):
            self.errors.append(9)
            return
        reply = handler(axis, asks, int(value) if value.lstrip("+-?") else None, value)
        if asks and reply is not None:
            self.send(f"{prefix}{reply}\r\n".encode("ascii"))

    def _axis(self, number: int) -> _Axis | None:
        if number == 0:
            self.errors.append(37)
            return None
        return self.axes[number - 1]

    def _do_star_idn(self, *_: object) -> str:
        return f"New_Focus 8742 v2.2 08/01/13 {self._serial}"

    def _do_ve(self, *_: object) -> str:
        return "8742 Version 2.2 08/01/13"

    def _do_tb(self, *_: object) -> str:
        code = self._pop_error()
        text = _AXIS_TEXTS.get(code % 100, "") if code >= 100 else _TEXTS[code]
        return f"{code}, {text}"

    def _do_te(self, *_: object) -> str:
        return str(self._pop_error())

    def _pop_error(self) -> int:
        """The maker says "the last error that occurred" of a queue that he calls first-in first-out; the oldest,
        then.
        """
        return self.errors.popleft() if self.errors else 0

    def _do_md(self, number: int, *_: object) -> str | None:
        axis = self._axis(number)
        return None if axis is None else str(int(not axis.motion.moving(self.timeline.now_ns)))

    def _do_tp(self, number: int, *_: object) -> str | None:
        axis = self._axis(number)
        return None if axis is None else str(axis.count)

    def _do_pa(self, number: int, asks: bool, value: int | None, _: str) -> str | None:
        axis = self._axis(number)
        if axis is None or asks:
            return None if axis is None else str(axis.target)
        self._start(number, axis, value)
        return None

    def _do_pr(self, number: int, asks: bool, value: int | None, _: str) -> str | None:
        axis = self._axis(number)
        if axis is None or asks:
            return None if axis is None else str(axis.target)
        self._start(number, axis, None if value is None else axis.count + value)
        return None

    def _do_mv(self, number: int, _: bool, __: int | None, sign: str) -> None:
        axis = self._axis(number)
        if axis is not None:
            self._start(number, axis, {"+": _FAR - 1, "-": -_FAR}.get(sign))

    def _do_st(self, number: int, *_: object) -> None:
        """Without an axis, whatever moves."""
        for axis in self.axes if number == 0 else [self.axes[number - 1]]:
            now = self.timeline.now_ns
            if axis.motion.moving(now):
                speed = axis.motion.speed(now)
                way = speed**2 / (2 * axis.acceleration)
                # the second half of a ramp that peaks now
                ramp_ns = round(speed / axis.acceleration * _NS)
                start = axis.count - axis.motion.sign * math.floor(way)
                axis.motion = _Motion(
                    now - ramp_ns, start, 2 * math.floor(way), axis.motion.sign, max(speed, 1e-9), axis.acceleration
                )

    def _do_ab(self, *_: object) -> None:
        for axis in self.axes:
            axis.motion = _Motion()

    def _do_dh(self, number: int, asks: bool, value: int | None, _: str) -> str | None:
        axis = self._axis(number)
        if axis is None or asks:
            return None if axis is None else str(axis.home)
        axis.home = axis.count = axis.target = value or 0
        return None

    def _do_va(self, number: int, asks: bool, value: int | None, _: str) -> str | None:
        axis = self._axis(number)
        if axis is None or asks:
            return None if axis is None else str(axis.velocity)
        if self._in_range(number, value, 1, 1750 if axis.motor == 2 else 2000):
            axis.velocity = value or axis.velocity
        return None

    def _do_ac(self, number: int, asks: bool, value: int | None, _: str) -> str | None:
        axis = self._axis(number)
        if axis is None or asks:
            return None if axis is None else str(axis.acceleration)
        if self._in_range(number, value, 1, 200_000):
            axis.acceleration = value or axis.acceleration
        return None

    def _do_qm(self, number: int, asks: bool, value: int | None, _: str) -> str | None:
        axis = self._axis(number)
        if axis is None or asks:
            return None if axis is None else str(axis.motor)
        if self._in_range(number, value, 0, 3):
            axis.motor = value or 0
        return None

    def _do_mc(self, *_: object) -> None:
        """Each axis goes a step back and forth; the types found are remembered."""
        for number, axis in enumerate(self.axes, start=1):
            if axis.motion.moving(self.timeline.now_ns):
                self.errors.append(100 * number + 14)
                return
        for axis, connected in zip(self.axes, self._connected, strict=True):
            axis.motor = (axis.motor or 3) if connected else 0

    def _do_sm(self, *_: object) -> None:
        self._saved = [(axis.motor, axis.velocity, axis.acceleration) for axis in self.axes]

    def _do_sa(self, _: int, asks: bool, value: int | None, __: str) -> str | None:
        if asks:
            return str(self.address)
        if self._in_range(0, value, 1, 31):
            self.address = value or self.address
        return None

    def _do_star_rst(self, *_: object) -> None:
        self.power_cycle()

    # --- motion ----------------------------------------------------------------------------------------------------

    def _in_range(self, number: int, value: int | None, low: int, high: int) -> bool:
        if value is None:
            self.errors.append(38)
        elif not low <= value <= high:
            self.errors.append(100 * number + 1 if number else 7)
        else:
            return True
        return False

    def _start(self, number: int, axis: _Axis, target: int | None) -> None:
        now = self.timeline.now_ns
        if not self._in_range(number, target, -_FAR, _FAR - 1):
            return
        assert target is not None
        others = self.axes if self._one_at_a_time else [axis]
        if any(other.motion.moving(now) for other in others):
            self.errors.append(100 * number + 14)
        elif not self._connected[number - 1]:
            axis.motor = 0
            self.errors.append(100 * number + 8)
        else:
            self.world.happenings.note(self.name, "moves")
            axis.target = target
            distance = target - axis.count
            sign = (distance > 0) - (distance < 0)
            axis.motion = _Motion(now, axis.count, abs(distance), sign, axis.velocity, axis.acceleration)

    def _advance(self) -> None:
        """Let the axes be where they are by now, and the tip with them."""
        now = self.timeline.now_ns
        for index, axis in enumerate(self.axes):
            if not axis.motion.sign:
                continue
            steps = axis.motion.at(now) - axis.count
            axis.count += steps
            if not axis.motion.moving(now):
                axis.motion = _Motion()
            if steps and index < 3:
                way = steps * self._step_size_m * (1.0 if steps > 0 else 1.0 - self._slip)
                name = ("x_m", "y_m", "z_m")[index]
                setattr(self.world.tip, name, getattr(self.world.tip, name) + way)
