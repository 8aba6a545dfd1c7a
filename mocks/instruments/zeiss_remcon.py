"""SmartSEM's RemCon32 with a six-axis stage.

Written from the sheet `protocols/motion.md`, section 1: commands end in CR, an LF after it is ignored; every answer has
two lines; C95 moves all six axes and returns at once; the moving flag rises a little after a move was accepted.

The stage moves on the instrument's timeline, each axis with its own speed; where it is, is computed when somebody
looks.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from typing import ClassVar

from ..instrument import Instrument
from ..world import World

_UNKNOWN, _COUNT, _TYPE, _RANGE, _CANNOT = 600, 601, 602, 603, 616
#: mm, mm, mm, degrees, degrees, mm
_LOWEST = (0.0, 0.0, 0.0, -5.0, -360.0, 0.0)
_HIGHEST = (152.0, 152.0, 40.0, 90.0, 360.0, 10.0)
_ROTATION, _M = 4, 5


class ZeissRemconMock(Instrument):
    """`lacks`: verbs that this server does not know. `crlf`: it waits for CR LF, as some compatible servers do.
    `flag_delay_s`: how long a move that was accepted still reads as idle. `result_delay_s`: between the two lines.
    `explains`: whether a rejection has a second line.

    The touch alarm is the world's: once `world.chamber.touch_alarm` is "tripped" the stage stops where it is, unless
    the specimen current monitor is on, which blinds the alarm.
    """

    wire: ClassVar[str] = "pty"
    baud: ClassVar[int] = 9600

    def __init__(
        self,
        world: World,
        name: str = "stage",
        *,
        speed_mm_per_s: float = 2.0,
        speed_deg_per_s: float = 10.0,
        m_mm: float = 0.0,
        flag_delay_s: float = 0.0,
        result_delay_s: float = 0.0,
        lacks: Collection[str] = (),
        crlf: bool = False,
        explains: bool = True,
        version: str = "SmartSEM Remote Control V06.01, February 2016",
    ) -> None:
        super().__init__(world, name)
        self._speeds = (speed_mm_per_s,) * 3 + (speed_deg_per_s,) * 2 + (speed_mm_per_s,)
        self._flag_delay_s = flag_delay_s
        self._result_delay_s = result_delay_s
        self.lacks = frozenset(lacks)
        self._crlf = crlf
        self._explains = explains
        self.version = version
        self.initialised = True
        self.monitor_on = False
        #: the stage comes to rest this far (mm) before its target on x, as one that is blocked does
        self.short_of_x_mm = 0.0
        #: moves are accepted and nothing happens
        self.ignores_moves = False
        #: ABO is accepted and the stage moves on
        self.ignores_aborts = False
        pose = world.chamber.stage
        here = (pose.x_m * 1e3, pose.y_m * 1e3, pose.z_m * 1e3, pose.tilt_deg, pose.rotation_deg, m_mm)
        self._from: tuple[float, ...] = here
        self._to: tuple[float, ...] = here
        self._began_s = 0.0
        self._buffer = bytearray()
        self._waiting: deque[str] = deque()
        self._busy = False

    def reset(self) -> None:
        """RemCon32 was started anew; the stage itself stays where it is and forgets that it was initialised."""
        self._stop()
        self._buffer.clear()
        self._waiting.clear()
        self._busy = False
        self.monitor_on = False
        self.initialised = False

    # --- the stage -------------------------------------------------------------------------------------------------

    @property
    def position(self) -> tuple[float, ...]:
        """x, y, z in mm, tilt and rotation in degrees, m in mm, now."""
        elapsed = max(0.0, self.timeline.now_s - self._began_s - self._flag_delay_s)
        axes = []
        for start, end, speed in zip(self._from, self._to, self._speeds, strict=True):
            way = min(elapsed * speed, abs(end - start))
            axes.append(end if way == abs(end - start) else start + (way if end > start else -way))
        return tuple(axes)

    @property
    def arrived(self) -> bool:
        return self.position == self._to

    @property
    def moving(self) -> bool:
        return not self.arrived and self.timeline.now_s - self._began_s >= self._flag_delay_s

    def place(self, *axes: float) -> None:
        """Be somewhere else at once: x, y, z in mm, tilt and rotation in degrees, m in mm."""
        self._from = self._to = axes
        self._show()

    def push(self, axis: int, to: float) -> None:
        """Somebody moves an axis with the joystick."""
        self._go(tuple(to if index == axis else value for index, value in enumerate(self.position)))

    def _go(self, target: tuple[float, ...]) -> None:
        self._from, self._to, self._began_s = self.position, target, self.timeline.now_s
        self._show()

    def _stop(self) -> None:
        here = self.position
        self._from = self._to = here
        self._show()

    def _show(self) -> None:
        """Tell the world where the stage is."""
        if self.world.chamber.touch_alarm == "tripped" and not self.monitor_on and not self.arrived:
            here = self.position
            self._from = self._to = here
        x, y, z, tilt, rotation, _ = self.position
        self.world.chamber.set_stage(x / 1e3, y / 1e3, z / 1e3, tilt, rotation % 360)
        self.world.chamber.stage_moving = not self.arrived

    # --- the conversation ------------------------------------------------------------------------------------------

    def receive(self, data: bytes) -> None:
        for byte in data:
            if self._crlf:
                self._buffer.append(byte)
                if self._buffer.endswith(b"\r\n"):
                    self._take(bytes(self._buffer[:-2]))
            elif byte == 0x0D:
                self._take(bytes(self._buffer))
            elif byte != 0x0A:
                self._buffer.append(byte)

    def _take(self, line: bytes) -> None:
        self._buffer.clear()
        self._waiting.append(line.decode("latin-1"))
        self._next()

    def _next(self) -> None:
        while self._waiting and not self._busy:
            self._answer(self._waiting.popleft())

    def _answer(self, line: str) -> None:
        verb, *arguments = line.split(" ") if line else ("",)
        verb = verb.upper()
        self._show()
        if verb in self.lacks or verb not in _VERBS:
            self._reject(_UNKNOWN)
        elif len(arguments) != _VERBS[verb]:
            self._reject(_COUNT)
        else:
            self.record.append(" ".join((verb, *arguments)))
            self.send(b"@\r\n")
            result = self._execute(verb, arguments)
            text = f"* {result}" if isinstance(result, int) else f">{result}"
            if self._result_delay_s:
                self._busy = True
                self.spawn(self._finish_later(text))
            else:
                self.send(f"{text}\r\n".encode())

    async def _finish_later(self, text: str) -> None:
        await self.timeline.work(round(self._result_delay_s * 1e9))
        self.send(f"{text}\r\n".encode())
        self._busy = False
        self._next()

    def _reject(self, code: int) -> None:
        self.send(f"#\r\n* {code}\r\n".encode() if self._explains else b"#\r\n")

    def _execute(self, verb: str, arguments: list[str]) -> str | int:
        """The result's data, or an error number."""
        if verb == "VER?":
            return self.version
        if verb == "C95?":
            flag = "1.0" if self.moving else "0.0"
            return " ".join(f"{value:.5f}" for value in self._readings()) + f" {flag}"
        if verb == "STG?":
            flag = "1.0" if self.moving else "0.0"
            return " ".join(f"{value:.5f}" for value in self._readings()[:3]) + f" {flag}"
        if verb == "IST?":
            return f"1 {0 if self.initialised else 1}"
        if verb == "PRB?":
            return "3.2E-11" if self.monitor_on else _CANNOT
        if verb == "ABO":
            if not self.ignores_aborts:
                self._stop()
            return ""
        if verb == "SCM":
            if arguments[0] not in ("0", "1"):
                return _RANGE
            self.monitor_on = arguments[0] == "1"
            return ""
        if verb == "C95":
            return self._start(arguments)
        return ""

    def _readings(self) -> tuple[float, ...]:
        return tuple(value % 360 if axis == _ROTATION else value for axis, value in enumerate(self.position))

    def _start(self, arguments: list[str]) -> str | int:
        try:
            target = tuple(float(argument) for argument in arguments)
        except ValueError:
            return _TYPE
        if not all(low <= value <= high for low, value, high in zip(_LOWEST, target, _HIGHEST, strict=True)):
            return _RANGE
        if not self.initialised or (self.world.chamber.touch_alarm == "tripped" and not self.monitor_on):
            return _CANNOT
        if not self.ignores_moves:
            self.world.happenings.note(self.name, "moves")
            self._go((target[0] - self.short_of_x_mm, *target[1:]))
        return ""


#: number of arguments by verb; "" is the null command
_VERBS = {"": 0, "VER?": 0, "C95?": 0, "C95": 6, "STG?": 0, "IST?": 0, "ABO": 0, "SCM": 1, "PRB?": 0}
