"""The simulated instrument by itself: what the driver never sends, and how it refuses."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from drivers.transports import Transport, open_transport
from mocks.instruments.methodscript import MethodScriptMock
from mocks.instruments.methodscript.encoding import encode
from mocks.wires import serve
from mocks.world import World


class Terminal:
    """A person at a terminal program."""

    def __init__(self, mock: MethodScriptMock, transport: Transport, world: World) -> None:
        self.mock, self._transport, self._clock = mock, transport, world.host_clock("pstat")

    async def say(self, text: str) -> None:
        await self._transport.write(text.encode())

    async def until(self, end: str) -> str:
        """Everything up to and including `end`."""
        heard = ""
        while end not in heard:
            heard += (await self._transport.read(5.0)).decode()
        return heard

    async def ask(self, text: str, end: str = "\n") -> str:
        await self.say(text)
        return await self.until(end)

    async def recover(self) -> None:
        await self._clock.sleep(0.15)


@asynccontextmanager
async def terminal(**options: Any) -> AsyncIterator[Terminal]:
    world = World(seed=3)
    world.wiring.set_relay(0, True)
    mock = MethodScriptMock(world, "pstat", **options)
    async with serve(mock) as served:
        transport = open_transport(served.address, {"serial": {"baud": "230400"}})
        await transport.open()
        try:
            yield Terminal(mock, transport, world)
        finally:
            await transport.close()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.1, "DF5E100n"),
        (-0.01, "7676980n"),
        (0.0, "8000000 "),
        (1e-12, "80F4240a"),
        (float("nan"), "     nan"),
        (1e30, "     nan"),
    ],
)
def test_encoding_takes_the_finest_prefix_that_fits(value: float, text: str) -> None:
    assert encode(value) == text
    assert encode(5, integer=True) == "8000005i"


@pytest.mark.parametrize(
    ("script", "error"),
    [
        ("var p\nwrong 1\n", "4001: Line 2, Col 1"),
        ("var p\nvar p\n", "4026: Line 2, Col 5"),
        ("var P\n", "402B: Line 1, Col 5"),
        ("set_e 1.5\n", "4039: Line 1, Col 7"),
        ("set_e x\n", "420B: Line 1, Col 7"),
        ("var p\nmeas_loop_ocp p 100m\nendloop\n", "4004: Line 2, Col 21"),
        ("var p\nmeas_loop_ocp p 100m 2 3\nendloop\n", "420A: Line 2, Col 24"),
        ("var p\nmeas_loop_ocp p 100m 2 nscans(2)\nendloop\n", "4008: Line 2, Col 24"),
        ("var p\nmeas_loop_ocp p 100m 2\nmeas_loop_ocp p 100m 2\nendloop\nendloop\n", "400B: Line 3, Col 1"),
        ("var p\nvar c\nmeas_loop_ca p c 1 100m 2\nset_e 2\nendloop\n", "4032: Line 4, Col 1"),
        ("var p\nmeas_loop_ocp p 100m 2\n", "4018: Line 2, Col 1"),
        ("endif\n", "400E: Line 1, Col 1"),
        ("breakloop\n", "400C: Line 1, Col 1"),
    ],
)
async def test_refuses_scripts_with_code_line_and_column(script: str, error: str) -> None:
    async with terminal() as t:
        assert await t.ask(f"l\n{script}\n") == f"l!{error}\n"
        await t.recover()
        assert await t.ask("r\n") == "r!000C\n"


@pytest.mark.parametrize(
    ("script", "output"),
    [
        ("set_pgstat_mode 2\ncell_on\nvar p\nmeas_loop_ocp p 100m 1\nendloop\n", "!0014: Line 4\n"),
        ("set_pgstat_mode 2\nvar p\nvar c\nmeas_loop_ca p c 1 100m 1\nendloop\n", "!4027: Line 4\n"),
        ("set_pgstat_mode 2\nset_e 7\n", "!000F: Line 2\n"),
        ("set_pgstat_mode 5\n", "!0021: Line 1\n"),
        ("set_pgstat_mode 2\nset_i 1n\n", "!0023: Line 2\n"),
        ("var x\nstore_var x 1 ja\ndiv_var x 0\n", "!0028: Line 3\n"),
    ],
)
async def test_runtime_errors_leave_the_cell_as_it_is(script: str, output: str) -> None:
    async with terminal() as t:
        heard = await t.ask(f"e\n{script}on_finished:\ncell_off\n\n", "\n\n")
        assert heard == f"e\n{output}\n"
        assert t.mock.cell_is_on == ("cell_on" in script)


@pytest.mark.parametrize("model", ["espico", "senswb"])
async def test_a_pico_has_no_galvanostat(model: str) -> None:
    async with terminal(model=model) as t:
        assert await t.ask("l\nset_i 0\n\n") == "l!001B: Line 1, Col 1\n"
        await t.recover()
        reply = await t.ask("CM\n")
        assert int(reply[1:], 16) >> 67 & 0xF == 0


async def test_it_is_deaf_after_an_error() -> None:
    async with terminal() as t:
        assert await t.ask("x\n") == "x!0003\n"
        await t.say("i\n")
        async with asyncio.timeout(5):
            while t.mock.unheard != b"i\n":  # noqa: ASYNC110 - the instrument's state, not an event
                await asyncio.sleep(0)
        await t.recover()
        assert await t.ask("v\n") == "v01.09.00\n"


async def test_loops_arithmetic_and_text() -> None:
    script = (
        "var n\nstore_var n 0i ja\nloop n < 3i\nadd_var n 1i\nif n == 2i\npck_start\npck_add n\npck_end\n"
        'elseif n > 2i\nsend_string "over"\nelse\nwait 1m\nendif\nendloop\n'
    )
    async with terminal() as t:
        assert await t.ask(f"e\n{script}\n", "\n\n") == "e\nL\nPja8000002i\nTover\n+\n\n"


async def test_halt_resume_skip_and_abort_while_a_script_runs() -> None:
    loop = "meas_loop_ocp p 100m 10000\npck_start\npck_add p\npck_end\nendloop\n"
    script = f"var p\nset_pgstat_mode 2\n{loop}{loop}"
    async with terminal() as t:
        await t.ask(f"e\n{script}on_finished:\ncell_off\n\n", "M000B")
        await t.ask("i\n", "i!0006\n")
        await t.recover()
        await t.ask("h\n", "h\n")
        await t.ask("H\n", "H\n")
        heard = await t.ask("Y\n", "*\n")
        assert "Y\n" in heard
        heard = await t.ask("Z\n", "\n\n")
        assert heard.endswith("*\n\n")
        assert t.mock.record[-2:] == ["aborted", "cell off"]
        assert await t.ask("Z\n") == "Z!0006\n"


async def test_a_power_cycle_forgets_and_opens_the_relay() -> None:
    async with terminal(model="espico") as t:
        await t.ask("e\nset_pgstat_mode 2\ncell_on\n\n", "\n\n")
        assert t.mock.cell_is_on
        t.mock.power_cycle()
        assert await t.until("\x11") == "\x11"
        assert not t.mock.cell_is_on
        assert await t.ask("r\n") == "r!000C\n"
