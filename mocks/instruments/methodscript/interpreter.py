"""A loaded script under way."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing

from ...world import Timeline
from .circuit import GALVANOSTAT, Circuit
from .language import Node, Program
from .loops import Loops
from .memory import Memory
from .models import MockModel

_NS = 1_000_000_000
_TECHNIQUE_ID = {"lsv": 0x0, "cv": 0x5, "ca": 0x7, "cp": 0xA, "ocp": 0xB, "eis": 0xD}


class _Abort(Exception):
    pass


class _Break(Exception):
    pass


class Interpreter:
    """Runs one program. `abort`, `skip_loop` and `resumed` are what the commands Z, Y, h and H act on."""

    def __init__(
        self,
        program: Program,
        model: MockModel,
        circuit: Circuit,
        timeline: Timeline,
        say: Callable[[str], Awaitable[None]],
        note: Callable[[str], None],
        fault_after: tuple[int, int] | None,
    ) -> None:
        self._program, self._model, self._circuit, self._timeline = program, model, circuit, timeline
        self._say, self._note, self._fault_after = say, note, fault_after
        self._memory = Memory()
        self._loops = Loops(model, circuit, self._memory, timeline, self._pass)
        self._packet: list[str] | None = None
        self._packets = 0
        self._timer_ns = 0
        self._output = True
        self._finishing = False
        self.abort = self.skip_loop = False
        self.resumed = asyncio.Event()
        self.resumed.set()

    async def run(self) -> None:
        """Raises `RuntimeFault`."""
        try:
            await self._block(self._program.body)
        except _Abort:
            self._note("aborted")
        self._finishing = True
        self.abort = False
        await self._block(self._program.finish)

    # --- commands ------------------------------------------------------------------------------------------------

    async def _block(self, nodes: list[Node]) -> None:
        for node in nodes:
            await self._node(node)

    async def _node(self, node: Node) -> None:
        self._check_abort()
        self._memory.line = node.line
        name, arguments = node.name, node.arguments
        if name.startswith("meas_loop"):
            await self._measure(node)
        elif name in ("if", "elseif"):
            await self._block(node.body if self._memory.holds(*arguments) else node.otherwise)
        elif name == "loop":
            await self._loop(node)
        elif name == "breakloop":
            raise _Break
        elif name == "abort":
            raise _Abort
        elif name == "wait":
            await self._pass(self._memory.ns(arguments[0]))
        elif name == "meas":
            await self._measure_once(arguments)
        elif name == "pck_end":
            await self._send_packet()
        elif name == "send_string":
            await self._print("T" + arguments[0].strip('"'))
        else:
            self._set(node)

    def _set(self, node: Node) -> None:
        name, arguments, circuit, memory = node.name, node.arguments, self._circuit, self._memory
        if name == "var":
            memory.declare(arguments[0])
        elif name == "store_var":
            memory.set_number(*arguments)
        elif name == "copy_var":
            memory.copy(*arguments)
        elif name in ("add_var", "sub_var", "mul_var", "div_var"):
            memory.compute(name, *arguments)
        elif name == "set_pgstat_mode":
            self._set_mode(int(arguments[0].rstrip("i")))
        elif name == "set_acquisition_frac_autoadjust":
            self._loops.mains_hz = memory.number(arguments[0])
        elif name in ("set_range", "set_autoranging", "set_range_minmax"):
            self._set_range(arguments)
        elif name == "set_e":
            circuit.potential_v = self._loops.potential(arguments[0])
            circuit.drive()
        elif name == "set_i":
            if circuit.mode != GALVANOSTAT:
                raise self._memory.fault(0x0023)
            circuit.current_a = self._loops.current(arguments[0])
            circuit.drive()
        elif name == "cell_on":
            self._cell(True)
        elif name == "cell_off":
            self._cell(False)
        elif name == "timer_start":
            self._timer_ns = self._now_ns
        elif name == "timer_get":
            memory.set_time(arguments[0], (self._now_ns - self._timer_ns) / _NS)
        elif name == "pck_start":
            if self._packet is not None:
                raise self._memory.fault(0x401B)
            self._packet = []
        elif name == "pck_add":
            if self._packet is None:
                raise self._memory.fault(0x401B)
            self._packet.append(memory.text(arguments[0]))
        elif name == "set_script_output":
            self._output = arguments[0].rstrip("i") in ("1", "3")

    def _set_mode(self, mode: int) -> None:
        if mode not in (0, 2, 3, 4, 6) or (mode == GALVANOSTAT and not self._model.galvanostat):
            raise self._memory.fault(0x0021)
        self._circuit.mode = mode

    def _set_range(self, arguments: list[str]) -> None:
        kind, *values = arguments
        numbers = sorted(abs(self._memory.number(value)) for value in values)
        if kind in ("ba", "db"):
            if numbers[0] <= 0:
                raise self._memory.fault(0x4204)
            self._circuit.set_ranges(numbers[0], numbers[-1])

    def _cell(self, on: bool) -> None:
        if on and self._circuit.mode == 0:
            raise self._memory.fault(0x0023)
        self._circuit.cell_is_on = on
        self._circuit.drive()
        self._note("cell on" if on else "cell off")

    async def _loop(self, node: Node) -> None:
        await self._print("L")
        while self._memory.holds(*node.arguments):
            try:
                await self._block(node.body)
            except _Break:
                break
            await self._pass(1000)
        await self._print("+")

    async def _measure_once(self, arguments: list[str]) -> None:
        duration = self._memory.ns(arguments[0])
        if not self._circuit.cell_is_on:
            self._circuit.listen()
        await self._pass(duration)
        potential, current, _ = self._circuit.measure(self._timeline.now_ns, duration)
        measured = current if arguments[2] in ("ba", "db") else potential
        self._memory.store(arguments[1], arguments[2], measured)
        self._circuit.drive()

    async def _send_packet(self) -> None:
        if self._packet is None:
            raise self._memory.fault(0x401B)
        packet, self._packet = self._packet, None
        await self._print("P" + ";".join(packet))
        self._packets += 1
        if self._fault_after is not None and self._packets == self._fault_after[0]:
            raise self._memory.fault(self._fault_after[1])

    # --- measurement loops ---------------------------------------------------------------------------------------

    async def _measure(self, node: Node) -> None:
        technique = node.name.removeprefix("meas_loop_")
        points = self._loops.start(technique, node)
        await self._print(f"M{_TECHNIQUE_ID[technique]:04X}")
        self.skip_loop = False
        scan: int | None = None
        aborted = False
        try:
            async with aclosing(points):
                async for number, point in points:
                    if number != scan:
                        if scan is not None:
                            await self._print("-")
                        scan = number
                        await self._print(f"C{scan:04d}")
                    for variable, kind, measured in point:
                        self._memory.store(variable, kind, measured)
                    await self._block(node.body)
                    if self.skip_loop:
                        break
        except _Break:
            pass
        except _Abort:
            aborted = True
        if scan is not None:
            await self._print("-")
        self._loops.due_ns = None
        await self._print("*")
        if not self._circuit.cell_is_on:
            self._circuit.drive()
        if aborted:
            raise _Abort

    @property
    def _now_ns(self) -> int:
        return self._timeline.now_ns if self._loops.due_ns is None else self._loops.due_ns

    # --- time and output -----------------------------------------------------------------------------------------

    async def _pass(self, duration_ns: int) -> None:
        if not self.resumed.is_set():
            await self.resumed.wait()
        await self._timeline.work(max(0, duration_ns))
        self._check_abort()

    def _check_abort(self) -> None:
        if self.abort and not self._finishing:
            raise _Abort

    async def _print(self, line: str) -> None:
        if self._output:
            await self._say(line)
