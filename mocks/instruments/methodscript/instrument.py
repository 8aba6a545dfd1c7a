"""The instrument: commands in, replies and the output of scripts out."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import ClassVar

from ...instrument import Instrument
from ...world import World
from .circuit import Circuit
from .interpreter import Interpreter
from .language import Program, ScriptError, load
from .memory import RuntimeFault
from .models import CC, MODELS

_NS = 1_000_000_000
#: how long the instrument hears nothing after an error reply
_DEAF_S = 0.075
_LINE_LIMIT = 255
_WHILE_RUNNING = "ZYhHR"


class MethodScriptMock(Instrument):
    """A PalmSens potentiostat. `model` is one of `espico senswb es4_lr es4_hr mes4lr mes4hr nexus1 espbl`.

    For tests: `fault_after = (packets, code)` makes the next script stop with a runtime error, which leaves the cell
    on; `xon_every` puts an XON byte in front of every so many lines; `cell_off_fails` makes `cell_off` scripts fail;
    `banner` is what it says when it starts again. `old_firmware` knows neither CC nor CM. `cell_is_on` is the relay.
    `unknown` are commands that it does not have; `lost_replies[command]` is how many replies to a command get lost;
    `rewrite` changes each line of a script's output (None: the line is lost). `taken` are all lines that it took for
    commands.
    """

    wire: ClassVar[str] = "pty"

    def __init__(
        self,
        world: World,
        name: str,
        *,
        model: str = "es4_hr",
        serial: str = "",
        old_firmware: bool = False,
        baud: int = 0,
    ) -> None:
        super().__init__(world, name)
        if model not in MODELS:
            raise ValueError(f"model is {model!r}; accepted: {', '.join(MODELS)}")
        self.model = MODELS[model]
        self.serial = serial or self.model.serial
        self.baud = baud or self.model.baud
        self.old_firmware = old_firmware
        self.fault_after: tuple[int, int] | None = None
        self.xon_every = 0
        self.cell_off_fails = False
        #: what came while it was deaf
        self.unheard = b""
        self.banner = b"\x11"
        self.unknown: frozenset[str] = frozenset()
        self.lost_replies: dict[str, int] = {}
        self.rewrite: Callable[[str], str | None] = lambda line: line
        self.taken: list[str] = []
        self._terminals = world.terminals(name, input_resistance_ohm=1e12)
        self.reset()

    def reset(self) -> None:
        self.circuit = Circuit(self.model, self._terminals, self.timeline)
        self._received = b""
        self._loading: list[str] | None = None
        self._load_command = ""
        self._program: Program | None = None
        self._running: Interpreter | None = None
        self._deaf_until_ns = 0
        self._deaf_until_s = 0.0
        self._lines_sent = 0

    @property
    def cell_is_on(self) -> bool:
        return self.circuit.cell_is_on

    @property
    def is_running(self) -> bool:
        return self._running is not None

    def halt(self) -> None:
        """As by the command h, without a word: the script says nothing until it is resumed or aborted."""
        if self._running is not None:
            self._running.resumed.clear()

    def power_cycle(self) -> None:
        super().power_cycle()
        self.record.append("power cycle")
        self.send(self.banner)

    # --- commands ------------------------------------------------------------------------------------------------

    def receive(self, data: bytes) -> None:
        if self._is_deaf():
            self.unheard += data
            return
        self._received += data.replace(b"\r", b"")
        while b"\n" in self._received:
            line, _, self._received = self._received.partition(b"\n")
            self._line(line.decode("ascii", "replace"))
            if self._is_deaf():
                self._received = b""

    def _is_deaf(self) -> bool:
        # whichever clock gets there first: a client need not live on this instrument's time
        return self.timeline.now_ns < self._deaf_until_ns and asyncio.get_running_loop().time() < self._deaf_until_s

    def _line(self, line: str) -> None:
        if self._loading is not None:
            if line.strip():
                self._loading.append(line)
            else:
                self._load()
            return
        if not line.strip():
            return
        if len(line) > _LINE_LIMIT:
            self._error(line[0], 0x0008)
        elif self._running is not None:
            self._while_running(line, self._running)
        else:
            self._command(line)

    def _command(self, line: str) -> None:
        known = not self.old_firmware
        self.taken.append(line)
        if line in self.unknown:
            self._error(line[0], 0x0003)
        elif line == "t":
            self._answer("t", f"t{self.model.code}{self.model.version}#Mar 12 2026 14:28:01")
            self._reply("R*")
        elif self.model.code == "espbl":
            self._error(line[0], 0x0003)
        elif line == "i":
            self._answer("i", f"i{self.serial}")
        elif line == "v":
            self._answer("v", "v01.09.00")
        elif line == "CC" and known:
            self._answer("CC", f"C{CC:064X}")
        elif line == "CM" and known:
            self._answer("CM", f"C{self.model.commands:064X}")
        elif line in ("e", "l"):
            self._loading, self._load_command = [], line
        elif line == "r":
            if self._program is None:
                self._error("r", 0x000C)
            else:
                self._start(self._program, "r")
        elif line in _WHILE_RUNNING:
            self._error(line, 0x0006)
        else:
            self._error(line[0], 0x0003)

    def _while_running(self, line: str, running: Interpreter) -> None:
        if line not in _WHILE_RUNNING:
            self._error(line[0], 0x0006)
            return
        self.record.append(line)
        self._reply(line)
        if line == "Z":
            running.abort = True
        elif line == "Y":
            running.skip_loop = True
        if line == "h":
            running.resumed.clear()
        else:
            running.resumed.set()

    def _load(self) -> None:
        lines, command, self._loading = self._loading or [], self._load_command, None
        try:
            program = load(lines, self.model.refused)
        except ScriptError as error:
            self._program = None
            self.record.append(f"refused {error.code:04X}")
            self._error(command, error.code, f": Line {error.line}, Col {error.column}")
            return
        self.record.append(f"loaded {len(lines)} lines")
        self._program = program
        if command == "l":
            self._answer("l", "l")
        else:
            self._start(program, "e")

    def _answer(self, command: str, line: str) -> None:
        """A reply that may get lost."""
        if self.lost_replies.get(command, 0):
            self.lost_replies[command] -= 1
        else:
            self._reply(line)

    def _reply(self, line: str) -> None:
        self.send(line.encode("ascii") + b"\n")

    def _error(self, echo: str, code: int, where: str = "") -> None:
        self._reply(f"{echo}!{code:04X}{where}")
        self._deafen()

    def _deafen(self) -> None:
        self._deaf_until_ns = self.timeline.now_ns + round(_DEAF_S * _NS)
        self._deaf_until_s = asyncio.get_running_loop().time() + _DEAF_S

    # --- scripts -------------------------------------------------------------------------------------------------

    def _start(self, program: Program, echo: str) -> None:
        only_cell_off = [node.name for node in program.body] == ["cell_off"] and not program.finish
        fault = self.fault_after
        if only_cell_off:
            fault = None
        else:
            self.fault_after = None
        self.record.append("run")
        self._answer(echo, echo)
        self._running = Interpreter(
            program, self.model, self.circuit, self.timeline, self._say, self.record.append, fault
        )
        self.spawn(self._execute(self._running, only_cell_off and self.cell_off_fails))

    async def _execute(self, interpreter: Interpreter, fails: bool) -> None:
        try:
            if fails:
                raise RuntimeFault(0x0001, 1)
            await interpreter.run()
        except RuntimeFault as fault:
            self._running = None
            self.record.append(f"error {fault.code:04X}")
            self._reply(f"!{fault.code:04X}: Line {fault.line}")
            self._reply("")
            self._deafen()
            return
        self._running = None
        self._reply("")

    async def _say(self, line: str) -> None:
        self._lines_sent += 1
        flow = b"\x11" if self.xon_every and self._lines_sent % self.xon_every == 0 else b""
        text = self.rewrite(line)
        if text is not None:
            self.send(flow + text.encode("ascii") + b"\n")
        if self.port is not None:
            await self.port.drain()
